"""What decision asks quota on the wire, and what it makes of the answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from chassis import item_client
from decision.quota_client import Answer, QuotaClient, QuotaUnavailable, limit_message
from decision.rules.quota import QuotaRule
from decision.verdict import LOCKED, LimitState, MailEvent, Mode, Objection, Stage, Verb
from protos import quota_pb2 as pb
from tests.support.conversations import Channel
from tests.support.mails import mail
from tests.support.observed import Observed
from tests.support.virtual_time import in_virtual_time, settle

BERLIN_DAY = pb.CalendarDay(time_zone="Europe/Berlin")
LIMIT = pb.Limit(
    name="quota", unit=pb.UNIT_RECIPIENTS, calendar_day=BERLIN_DAY, maximum=10, mode=pb.MODE_ENFORCE
)
STATE = pb.LimitState(name="quota", maximum=10, used=4, refused=2, resets_unix_ms=99, would_refuse=True)
OBJECTION = Objection(Verb.REJECT, "5.7.1", "Sending mail from country US is not allowed", "US")


@asynccontextmanager
async def connected(
    seen: Observed, answer: Callable[[pb.Batch], Any]
) -> AsyncIterator[tuple[QuotaClient, Channel]]:
    """A client whose every message is answered by `answer`."""
    channel = Channel(answer)
    client = QuotaClient(channel.as_grpc, log=seen.log.logger, metrics=seen.metrics)
    engine = asyncio.create_task(client.run())
    try:
        yield client, channel
    finally:
        engine.cancel()
        await asyncio.gather(engine, return_exceptions=True)


def charge(
    client: QuotaClient,
    *,
    event: MailEvent | None = None,
    limits: Sequence[pb.Limit] = (LIMIT,),
    country: str = "DE",
    exempt: bool = False,
    timeout: float = 1.5,
) -> list[Answer]:
    """Charge; the list gets every answer."""
    answers: list[Answer] = []
    client.charge(
        event or mail(),
        limits,
        country=country,
        exempt=exempt,
        decision_id="0123456789",
        settings="5e771965",
        day=BERLIN_DAY,
        expires_unix_ms=1_900_000_000_000,
        timeout=timeout,
        done=answers.append,
    )
    return answers


def record(client: QuotaClient, *, enforced: bool = True, country: str = "US") -> list[bool]:
    """Record a refusal; the list gets every answer."""
    answers: list[bool] = []
    client.record(
        mail(client_address=b"8.8.8.8"),
        "country",
        OBJECTION._replace(country=country),
        enforced=enforced,
        decision_id="0123456789",
        settings="5e771965",
        day=BERLIN_DAY,
        expires_unix_ms=1_900_000_000_000,
        timeout=1.5,
        done=answers.append,
    )
    return answers


def results(batch: pb.Batch, **fields: Any) -> pb.Results:
    """The same result for each charge."""
    return pb.Results(charges=[pb.ChargeResult(id=item.id, **fields) for item in batch.charges])


@in_virtual_time
async def test_a_charge_carries_the_whole_request() -> None:
    """Every field that quota reads is set."""
    async with connected(
        Observed(), lambda batch: results(batch, outcome=pb.OUTCOME_CHARGED, limits=[STATE])
    ) as (client, channel):
        charge(client, event=mail(stage=Stage.DATA, recipient_count=3), exempt=True)
        await settle()

    (batch,) = channel.sent
    assert batch == pb.Batch(
        charges=[
            pb.Charge(
                id=1,
                account=b"alice",
                login=b"Alice",
                instance=b"i1",
                recipient=b"bob@example.net",
                stage=pb.STAGE_DATA,
                recipient_count=3,
                decision_id="0123456789",
                expires_unix_ms=1_900_000_000_000,
                limits=[LIMIT],
                address=b"84.128.0.1",
                country="DE",
                exempt=True,
                sender=b"alice@example.org",
                settings="5e771965",
            )
        ]
    )


@pytest.mark.parametrize(("country", "sent"), [("", ""), ("DE", "DE"), ("D", ""), ("DEU", "")])
@in_virtual_time
async def test_odd_country_data_costs_no_charge(country: str, sent: str) -> None:
    """Quota takes a charge only with a code of two letters, or none."""
    async with connected(Observed(), lambda batch: results(batch)) as (client, channel):
        charge(client, country=country)
        record(client, country=country)
        await settle()
    (batch,) = channel.sent

    assert [item.country for item in (*batch.charges, *batch.refusals)] == [sent, sent]


@pytest.mark.parametrize(
    ("stage", "sent"),
    [
        (Stage.RCPT, pb.STAGE_RCPT),
        (Stage.DATA, pb.STAGE_DATA),
        (Stage.END_OF_MESSAGE, pb.STAGE_END_OF_MESSAGE),
    ],
)
@in_virtual_time
async def test_stages_are_told_apart(stage: Stage, sent: int) -> None:
    """Each stage that charges has its word on the wire."""
    async with connected(Observed(), lambda batch: results(batch)) as (client, channel):
        charge(client, event=mail(stage=stage))
        await settle()
    assert channel.sent[0].charges[0].stage == sent


@pytest.mark.parametrize("outcome", [pb.OUTCOME_CHARGED, pb.OUTCOME_REPEATED, pb.OUTCOME_REFUSED])
@in_virtual_time
async def test_the_states_of_the_limits_come_back(outcome: "pb.Outcome.ValueType") -> None:
    """Charged, repeated or refused: the rules judge the states."""
    async with connected(Observed(), lambda batch: results(batch, outcome=outcome, limits=[STATE])) as (
        client,
        _,
    ):
        answers = charge(client)
        await settle()
    assert answers == [[LimitState(10, 4, 2, 99, would_refuse=True)]]


@pytest.mark.parametrize("outcome", [pb.OUTCOME_UNAVAILABLE, pb.OUTCOME_UNSPECIFIED, 99])
@in_virtual_time
async def test_any_other_outcome_is_no_permission(outcome: "pb.Outcome.ValueType") -> None:
    """Unavailable, unset or unknown: quota's reason is handed on."""
    error = pb.Error(code=14, message="the store failed")
    async with connected(
        Observed(), lambda batch: results(batch, outcome=outcome, limits=[STATE], error=error)
    ) as (client, _):
        answers = charge(client)
        await settle()

    (answer,) = answers
    assert isinstance(answer, QuotaUnavailable)
    assert str(answer) == "the store failed"
    assert not answer.overloaded


@pytest.mark.parametrize("states", [[], [STATE, STATE]])
@in_virtual_time
async def test_an_answer_that_does_not_fit_is_no_permission(states: list[pb.LimitState]) -> None:
    """There is one state for each limit that was asked, or nobody knows what was charged."""
    async with connected(
        Observed(), lambda batch: results(batch, outcome=pb.OUTCOME_CHARGED, limits=states)
    ) as (client, _):
        answers = charge(client)
        await settle()

    (answer,) = answers
    assert isinstance(answer, QuotaUnavailable)


@in_virtual_time
async def test_silence_until_the_deadline_is_unavailable() -> None:
    """The caller waits no longer than it said."""
    async with connected(Observed(), lambda batch: None) as (client, _):
        answers = charge(client, timeout=0.5)
        await asyncio.sleep(0.45)
        assert not answers
        await asyncio.sleep(0.1)

    (answer,) = answers
    assert isinstance(answer, QuotaUnavailable)
    assert str(answer) == "deadline"
    assert not answer.overloaded


@in_virtual_time
async def test_too_much_waiting_is_overload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overload is told apart from an outage."""
    monkeypatch.setattr(item_client, "MAX_ITEMS_WAITING", 1)
    async with connected(Observed(), lambda batch: None) as (client, _):
        first, second = charge(client), charge(client)

        assert not first
        (answer,) = second
        assert isinstance(answer, QuotaUnavailable)
        assert answer.overloaded


@pytest.mark.parametrize(("code", "overloaded"), [(8, True), (14, False)])
@in_virtual_time
async def test_quota_may_be_overloaded_itself(code: int, overloaded: bool) -> None:
    """It says so by gRPC's code."""
    error = pb.Error(code=code, message="too many items wait")

    def answer(batch: pb.Batch) -> pb.Results:
        return results(batch, outcome=pb.OUTCOME_UNAVAILABLE, error=error)

    async with connected(Observed(), answer) as (client, _):
        answers = charge(client)
        await settle()

    (unavailable,) = answers
    assert isinstance(unavailable, QuotaUnavailable)
    assert (str(unavailable), unavailable.overloaded) == ("too many items wait", overloaded)


class Restarted:
    """A quota that ends its first stream instead of answering a charge."""

    def __init__(self) -> None:
        self.broken = False

    def __call__(self, batch: pb.Batch) -> Any:
        if batch.charges and not self.broken:
            self.broken = True
            return grpc.aio.EOF
        return results(batch, outcome=pb.OUTCOME_CHARGED, limits=[STATE])


@in_virtual_time
async def test_a_charge_with_an_instance_is_asked_again_after_a_break() -> None:
    """Quota knows a repeat by its instance."""
    async with connected(Observed(), Restarted()) as (client, channel):
        answers = charge(client)
        await asyncio.sleep(1)

    assert answers == [[LimitState(10, 4, 2, 99, would_refuse=True)]]
    first, second = channel.sent
    assert first == second


@in_virtual_time
async def test_a_charge_without_an_instance_is_never_asked_again() -> None:
    """Asking twice would charge twice."""
    async with connected(Observed(), Restarted()) as (client, channel):
        answers = charge(client, event=mail(instance=b""))
        await asyncio.sleep(1)

    (answer,) = answers
    assert isinstance(answer, QuotaUnavailable)
    assert str(answer) == "down"
    assert len(channel.sent) == 1


@in_virtual_time
async def test_a_refusal_is_sent_again_after_a_break() -> None:
    """Quota knows it by its decision id; whoever has a permit is not refused because quota restarts."""
    seen = Observed()
    breaks = [grpc.aio.EOF]

    def answer(batch: pb.Batch) -> Any:
        if batch.refusals and breaks:
            return breaks.pop()
        return pb.Results(refusals=[pb.RefusalResult(id=item.id, overridden=True) for item in batch.refusals])

    async with connected(seen, answer) as (client, channel):
        answers = record(client)
        await asyncio.sleep(1)

    assert answers == [True]
    assert len([batch for batch in channel.sent if batch.refusals]) == 2
    assert seen.sample("refusals_unrecorded_total") == 0


@pytest.mark.parametrize("overridden", [True, False])
@in_virtual_time
async def test_quota_says_whether_a_refusal_is_overridden(overridden: bool) -> None:
    """Once."""

    def answer(batch: pb.Batch) -> pb.Results:
        return pb.Results(
            refusals=[pb.RefusalResult(id=item.id, overridden=overridden) for item in batch.refusals]
        )

    async with connected(Observed(), answer) as (client, _):
        answers = record(client)
        await settle()

    assert answers == [overridden]


@in_virtual_time
async def test_an_account_may_be_locked() -> None:
    """That is an answer of its own, without limits."""
    async with connected(Observed(), lambda batch: results(batch, outcome=pb.OUTCOME_LOCKED)) as (client, _):
        answers = charge(client)
        await settle()

    assert answers == [LOCKED]


@in_virtual_time
async def test_a_charge_without_limits_brings_its_day() -> None:
    """At any stage; quota counts the refusal of a locked account to it."""
    async with connected(Observed(), lambda batch: results(batch, outcome=pb.OUTCOME_REPEATED)) as (
        client,
        channel,
    ):
        answers = charge(client, event=mail(stage=Stage.OTHER), limits=())
        await settle()

    assert answers == [[]]
    (batch,) = channel.sent
    assert batch.charges[0].day == BERLIN_DAY
    assert batch.charges[0].stage == pb.STAGE_OTHER


@pytest.mark.parametrize(("enforced", "mode"), [(True, pb.MODE_ENFORCE), (False, pb.MODE_OBSERVE)])
@in_virtual_time
async def test_a_refusal_is_sent(enforced: bool, mode: "pb.Mode.ValueType") -> None:
    """Quota is told of a refusal, real or observed, with the country and the client's address."""
    seen = Observed()

    def answer(batch: pb.Batch) -> pb.Results:
        return pb.Results(refusals=[pb.RefusalResult(id=item.id) for item in batch.refusals])

    async with connected(seen, answer) as (client, channel):
        record(client, enforced=enforced)
        await settle()

    expected = pb.Refusal(
        id=1,
        account=b"alice",
        rule="country",
        country="US",
        address=b"8.8.8.8",
        decision_id="0123456789",
        mode=mode,
        day=BERLIN_DAY,
        login=b"Alice",
        sender=b"alice@example.org",
        recipient=b"bob@example.net",
        settings="5e771965",
        detail="Sending mail from country US is not allowed",
        expires_unix_ms=1_900_000_000_000,
    )
    assert channel.sent == [pb.Batch(refusals=[expected])]
    assert seen.sample("refusals_unrecorded_total") == 0


@in_virtual_time
async def test_a_refusal_that_quota_does_not_take_is_counted() -> None:
    """The gap in quota's records can be seen."""
    seen = Observed()
    error = pb.Error(code=14, message="the store failed")

    def answer(batch: pb.Batch) -> pb.Results:
        return pb.Results(refusals=[pb.RefusalResult(id=item.id, error=error) for item in batch.refusals])

    async with connected(seen, answer) as (client, _):
        answers = record(client)
        await settle()
    assert answers == [False]
    assert seen.sample("refusals_unrecorded_total") == 1


@in_virtual_time
async def test_a_refusal_without_an_answer_is_counted() -> None:
    """It is not tried for longer than its time-out."""
    seen = Observed()
    async with connected(seen, lambda batch: None) as (client, _):
        answers = record(client)
        await asyncio.sleep(2)
    assert answers == [False]
    assert seen.sample("refusals_unrecorded_total") == 1


@in_virtual_time
async def test_charges_and_refusals_share_a_message() -> None:
    """What is asked in one turn leaves together, each kind in its field, with ids of one space."""
    async with connected(Observed(), lambda batch: results(batch)) as (client, channel):
        record(client)
        charge(client)
        await settle()

    (batch,) = channel.sent
    assert [item.id for item in batch.refusals] == [1]
    assert [item.id for item in batch.charges] == [2]


@pytest.mark.parametrize(
    ("mode", "exempt", "sent"),
    [
        (Mode.ENFORCE, False, pb.MODE_ENFORCE),
        (Mode.ENFORCE, True, pb.MODE_OBSERVE),
        (Mode.OBSERVE, False, pb.MODE_OBSERVE),
        (Mode.OBSERVE, True, pb.MODE_OBSERVE),
    ],
)
@pytest.mark.parametrize(
    ("count", "unit"), [("recipients", pb.UNIT_RECIPIENTS), ("messages", pb.UNIT_MESSAGES)]
)
def test_a_limit_is_enforced_only_against_whom_it_may_refuse(
    mode: Mode, exempt: bool, sent: "pb.Mode.ValueType", count: str, unit: "pb.Unit.ValueType"
) -> None:
    """An exempt sender and an observing rule are charged on past the maximum."""
    rule = QuotaRule(maximum=10, count=count, time_zone="Europe/Berlin", reject=False)
    assert limit_message(rule, mode, exempt=exempt) == pb.Limit(
        name="quota", unit=unit, calendar_day=BERLIN_DAY, maximum=10, mode=sent
    )


@in_virtual_time
async def test_whether_quota_answers_can_be_asked() -> None:
    """From its first answer on."""
    async with connected(Observed(), lambda _: None) as (silent, _):
        await settle()
        before = silent.connected
    async with connected(Observed(), lambda batch: results(batch)) as (client, _):
        await settle()
        assert (before, client.connected) == (False, True)
