"""The gRPC face of quota."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from protos import quota_pb2 as pb
from quota.domain import (
    AccountReport,
    Charge,
    ChargeResult,
    Item,
    Limit,
    LimitState,
    Noted,
    Outcome,
    Refusal,
    Report,
    Stage,
    Unit,
)
from quota.reads import Reads, shed_reads
from quota.reporting import Reporter
from quota.service import QuotaService, read_charge, read_refusal
from quota.store.interface import StoreError
from quota.writer import Done, Failure, Result, Writer
from tests.support.conversations import converse
from tests.support.observed import Observed
from tests.support.stores import EMPTY, FakeReader
from tests.support.streams import FakeContext
from tests.support.virtual_time import settle

STATE = LimitState("quota", 10, 4, 2, 99, would_refuse=True, first_refusal=False, crossed_80=True)
CHARGED = ChargeResult(Outcome.CHARGED, 3, (STATE,))
BERLIN_DAY = pb.CalendarDay(time_zone="Europe/Berlin")


class AbortedError(Exception):
    """What `abort` raises."""


class AbortContext:
    """Keeps what a call was aborted with."""

    code: grpc.StatusCode | None = None
    details = ""

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.code, self.details = code, details
        raise AbortedError


class FakeWriter(Writer):
    """Answers each charge and each refusal at once with what it was given."""

    def __init__(self, charge: Result = CHARGED, refusal: Result = Noted.RECORDED) -> None:
        self._charge = charge
        self._refusal = refusal
        self.submitted: list[Sequence[Item]] = []

    def submit(self, items: Sequence[Item], done: Done) -> None:
        self.submitted.append(items)
        done([self._charge if isinstance(item, Charge) else self._refusal for item in items])


def service(seen: Observed, writer: Writer, reader: FakeReader | None = None) -> QuotaService:
    reporter = Reporter(reader or FakeReader(), Reads(1, shed_reads(seen.metrics)))
    return QuotaService(writer, reporter, log=seen.log.logger, metrics=seen.metrics)


def limit(**fields: Any) -> pb.Limit:
    """A limit of 10 recipients a day in Berlin; the arguments replace fields."""
    usual: dict[str, Any] = {
        "name": "quota",
        "unit": pb.UNIT_RECIPIENTS,
        "calendar_day": BERLIN_DAY,
        "maximum": 10,
        "mode": pb.MODE_ENFORCE,
    }
    return pb.Limit(**{name: value for name, value in (usual | fields).items() if value is not None})


def charge(number: int = 1, *limits: pb.Limit, **fields: Any) -> pb.Charge:
    """A RCPT of alice; the arguments replace fields."""
    usual: dict[str, Any] = {
        "id": number,
        "account": b"alice",
        "login": b"Alice",
        "instance": b"i1",
        "recipient": b"bob@example.net",
        "stage": pb.STAGE_RCPT,
        "recipient_count": 0,
        "decision_id": "0123456789",
        "expires_unix_ms": 1_900_000_000_000,
        "limits": limits or (limit(),),
        "address": b"84.128.0.1",
        "country": "DE",
    }
    return pb.Charge(**(usual | fields))


def refusal(number: int = 1, **fields: Any) -> pb.Refusal:
    """A refusal by the country rule; the arguments replace fields."""
    usual: dict[str, Any] = {
        "id": number,
        "account": b"alice",
        "rule": "country",
        "country": "US",
        "address": b"8.8.8.8",
        "decision_id": "0123456789",
        "mode": pb.MODE_ENFORCE,
        "day": BERLIN_DAY,
    }
    return pb.Refusal(**(usual | fields))


INVALID_CHARGES = [
    pytest.param(charge(account=b""), 3, "account", id="no account"),
    pytest.param(charge(limits=()), 3, "no time zone", id="no limit and no day"),
    pytest.param(charge(1, limit(), limit(maximum=20)), 3, "two limits of one name", id="one name twice"),
    pytest.param(
        charge(1, limit(name="a"), limit(name="b", calendar_day=pb.CalendarDay(time_zone="UTC"))),
        3,
        "different time zones",
        id="two time zones",
    ),
    pytest.param(
        charge(1, limit(calendar_day=pb.CalendarDay(time_zone="Europe/Bonn"))),
        3,
        "no time zone",
        id="unknown time zone",
    ),
    pytest.param(charge(1, limit(calendar_day=pb.CalendarDay())), 3, "no time zone", id="no time zone"),
    pytest.param(charge(1, limit(calendar_day=None)), 3, "window", id="no window"),
    pytest.param(charge(1, limit(unit=pb.UNIT_UNSPECIFIED)), 3, "unit", id="no unit"),
    pytest.param(charge(1, limit(unit=99)), 3, "unit", id="unknown unit"),
    pytest.param(charge(1, limit(maximum=0)), 3, "maximum", id="maximum 0"),
    pytest.param(charge(1, limit(maximum=-1)), 3, "maximum", id="maximum -1"),
    pytest.param(charge(1, limit(maximum=10**9 + 1)), 3, "maximum", id="maximum above a billion"),
    pytest.param(charge(1, limit(mode=pb.MODE_UNSPECIFIED)), 3, "mode", id="no mode"),
    pytest.param(charge(1, limit(mode=99)), 3, "mode", id="unknown mode"),
    pytest.param(charge(1, limit(name="")), 3, "64 bytes", id="no name"),
    pytest.param(charge(1, limit(name="n" * 65)), 3, "64 bytes", id="long name"),
    pytest.param(charge(1, limit(name="ü" * 33)), 3, "64 bytes", id="long name in bytes"),
    pytest.param(charge(1, limit(), limit(name="b", mode=0)), 3, "mode", id="second limit without mode"),
    pytest.param(charge(country="DEU"), 3, "a country has 2 letters", id="long country"),
    pytest.param(charge(1, limit(unit=pb.UNIT_DISTINCT, element=b"x")), 12, "not implemented", id="distinct"),
    pytest.param(
        charge(1, limit(calendar_day=None, rolling=pb.Rolling(seconds=3600))),
        12,
        "not implemented",
        id="rolling",
    ),
]
INVALID_REFUSALS = [
    pytest.param(refusal(account=b""), "account", id="no account"),
    pytest.param(refusal(mode=pb.MODE_UNSPECIFIED), "mode", id="no mode"),
    pytest.param(refusal(mode=99), "mode", id="unknown mode"),
    pytest.param(refusal(rule=""), "64 bytes", id="no rule"),
    pytest.param(refusal(rule="r" * 65), "64 bytes", id="long rule"),
    pytest.param(refusal(country="USA"), "a country has 2 letters", id="long country"),
    pytest.param(refusal(day=pb.CalendarDay()), "no time zone", id="no time zone"),
    pytest.param(refusal(day=None), "no time zone", id="no day"),
    pytest.param(refusal(day=pb.CalendarDay(time_zone="Europe")), "no time zone", id="unknown time zone"),
]


@pytest.mark.parametrize(("message", "code", "reason"), INVALID_CHARGES)
async def test_an_invalid_charge_is_answered_as_such(
    seen: Observed, message: pb.Charge, code: int, reason: str
) -> None:
    """INVALID_ARGUMENT or UNIMPLEMENTED with the reason; the store is not asked."""
    writer = FakeWriter()
    result = await service(seen, writer).Charge(message, None)

    assert (result.id, result.outcome) == (1, pb.OUTCOME_UNAVAILABLE)
    assert (result.units, list(result.limits)) == (0, [])
    assert result.error.code == code
    assert reason in result.error.message
    assert writer.submitted == []
    assert seen.sample("charges_total", outcome="invalid") == 1
    assert seen.log.events == ["invalid_item"]


@pytest.mark.parametrize(("message", "reason"), INVALID_REFUSALS)
async def test_an_invalid_refusal_is_answered_as_such(
    seen: Observed, message: pb.Refusal, reason: str
) -> None:
    """INVALID_ARGUMENT with the reason; nothing is recorded."""
    writer = FakeWriter()
    result = await service(seen, writer).Record(message, None)

    assert (result.id, result.error.code) == (1, 3)
    assert reason in result.error.message
    assert writer.submitted == []
    assert seen.sample("refusals_recorded_total") == 0


@pytest.mark.parametrize("message", [parameter.values[0] for parameter in INVALID_CHARGES])
async def test_an_invalid_item_does_no_harm_to_its_neighbours(seen: Observed, message: pb.Charge) -> None:
    """The items of one batch are answered each for itself."""
    invalid = pb.Charge()
    invalid.CopyFrom(message)
    invalid.id = 2
    batch = pb.Batch(charges=[charge(1), invalid, charge(3)], refusals=[refusal(4), refusal(5, rule="")])
    answers = await converse(service(seen, FakeWriter()).ChargeStream, batch)

    charges = {result.id: result for answer in answers for result in answer.charges}
    refusals = {result.id: result for answer in answers for result in answer.refusals}
    assert {number: result.outcome for number, result in charges.items()} == {
        1: pb.OUTCOME_CHARGED,
        2: pb.OUTCOME_UNAVAILABLE,
        3: pb.OUTCOME_CHARGED,
    }
    assert {number: result.error.code for number, result in refusals.items()} == {4: 0, 5: 3}


def test_a_charge_is_read_whole() -> None:
    """Every field that the store needs."""
    message = charge(
        7,
        limit(),
        limit(name="messages", unit=pb.UNIT_MESSAGES, maximum=10**9, mode=pb.MODE_OBSERVE),
        stage=pb.STAGE_DATA,
        recipient_count=-3,
        account=b"alice\xff",
        exempt=True,
        sender=b"alice@example.org",
        settings="5e771965",
    )
    assert read_charge(message) == Charge(
        account=b"alice\xff",
        login=b"Alice",
        instance=b"i1",
        recipient=b"bob@example.net",
        stage=Stage.DATA,
        recipient_count=-3,
        decision_id="0123456789",
        expires_unix_ms=1_900_000_000_000,
        time_zone="Europe/Berlin",
        limits=(
            Limit("quota", Unit.RECIPIENTS, 10, enforce=True),
            Limit("messages", Unit.MESSAGES, 10**9, enforce=False),
        ),
        address=b"84.128.0.1",
        country="DE",
        exempt=True,
        sender=b"alice@example.org",
        settings="5e771965",
    )


def test_a_charge_may_have_no_limits() -> None:
    """Then its day says which one it is."""
    message = charge(7, limits=(), day=BERLIN_DAY)
    item = read_charge(message)

    assert (item.limits, item.time_zone) == ((), "Europe/Berlin")


@pytest.mark.parametrize(
    ("sent", "stage"),
    [
        (pb.STAGE_OTHER, Stage.OTHER),
        (pb.STAGE_RCPT, Stage.RCPT),
        (pb.STAGE_DATA, Stage.DATA),
        (pb.STAGE_END_OF_MESSAGE, Stage.END_OF_MESSAGE),
        (99, Stage.OTHER),
    ],
)
def test_a_stage_of_a_newer_version_charges_nothing(sent: "pb.Stage.ValueType", stage: Stage) -> None:
    """Known stages are themselves, an unknown one is OTHER."""
    assert read_charge(charge(stage=sent)).stage is stage


@pytest.mark.parametrize("maximum", [1, 10**9])
def test_a_maximum_is_one_to_a_billion(maximum: int) -> None:
    """Both ends are allowed."""
    assert read_charge(charge(1, limit(maximum=maximum))).limits[0].maximum == maximum


@pytest.mark.parametrize("name", ["n", "n" * 64, "ü" * 32])
def test_names_have_up_to_64_bytes(name: str) -> None:
    """Of limits and of rules."""
    assert read_charge(charge(1, limit(name=name))).limits[0].name == name
    assert read_refusal(refusal(rule=name)).rule == name


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(b"", b""), (b"\xff", b"\xff"), (b"1" * 64, b"1" * 64), (b"1" * 65, b"")],
)
def test_an_address_that_is_too_long_is_none(sent: bytes, kept: bytes) -> None:
    """Its beginning would be somebody else's; the charge and the refusal stand."""
    assert read_charge(charge(address=sent)).address == kept
    assert read_refusal(refusal(address=sent)).address == kept


@pytest.mark.parametrize("country", ["", "DE"])
def test_a_country_is_two_letters_or_none(country: str) -> None:
    """As decision knows it."""
    assert read_charge(charge(country=country)).country == country
    assert read_refusal(refusal(country=country)).country == country


@pytest.mark.parametrize(("mode", "enforced"), [(pb.MODE_ENFORCE, True), (pb.MODE_OBSERVE, False)])
def test_a_refusal_is_read_whole(mode: "pb.Mode.ValueType", enforced: bool) -> None:
    """Real or observed."""
    more: dict[str, Any] = {
        "login": b"Alice",
        "sender": b"alice@example.org",
        "recipient": b"bob@example.net",
        "recipient_count": 3,
        "settings": "5e771965",
        "detail": "Sending mail from country US is not allowed",
        "expires_unix_ms": 1_900_000_000_000,
    }
    assert read_refusal(refusal(mode=mode, **more)) == Refusal(
        account=b"alice",
        rule="country",
        country="US",
        address=b"8.8.8.8",
        decision_id="0123456789",
        enforced=enforced,
        time_zone="Europe/Berlin",
        **more,
    )


async def test_a_permitted_refusal_is_answered_as_such(seen: Observed) -> None:
    """And counted by itself."""
    result = await service(seen, FakeWriter(refusal=Noted.OVERRIDDEN)).Record(refusal(7), None)

    assert result == pb.RefusalResult(id=7, overridden=True)
    assert seen.sample("refusals_overridden_total") == 1
    assert seen.sample("refusals_recorded_total") == 0


async def test_what_a_lock_refuses_is_counted_as_blocked(seen: Observed) -> None:
    """By its country, as decision counts what its rules refuse."""
    await service(seen, FakeWriter(ChargeResult(Outcome.LOCKED, 0, ()))).Charge(charge(7), None)

    assert seen.sample("blocks_total", reason="lock", country="DE") == 1
    assert seen.sample("blocks_total", reason="quota", country="DE") == 0


async def test_what_is_refused_is_counted_by_reason_and_country(seen: Observed) -> None:
    """By the limit that has refused; not by one that observes, nor by one whose name is not known here."""
    refused = ChargeResult(Outcome.REFUSED, 0, (STATE, STATE))
    ask = service(seen, FakeWriter(refused)).Charge
    await ask(charge(1, limit(), limit(name="new"), country="FR"), None)
    await ask(charge(2, limit(mode=pb.MODE_OBSERVE), limit(name="new"), country="FR"), None)

    assert {by: n for by, n in seen.samples("blocks_total").items() if n} == {("quota", "FR"): 1}


@pytest.mark.parametrize(
    ("outcome", "sent", "label"),
    [
        (Outcome.CHARGED, pb.OUTCOME_CHARGED, "charged"),
        (Outcome.REPEATED, pb.OUTCOME_REPEATED, "repeated"),
        (Outcome.REFUSED, pb.OUTCOME_REFUSED, "refused"),
        (Outcome.LOCKED, pb.OUTCOME_LOCKED, "locked"),
    ],
)
async def test_a_result_is_answered_whole(
    seen: Observed, outcome: Outcome, sent: "pb.Outcome.ValueType", label: str
) -> None:
    """Every field of every limit; counted by its outcome."""
    result = await service(seen, FakeWriter(ChargeResult(outcome, 3, (STATE,)))).Charge(charge(7), None)

    assert result == pb.ChargeResult(
        id=7,
        outcome=sent,
        units=3,
        limits=[
            pb.LimitState(
                name="quota",
                maximum=10,
                used=4,
                refused=2,
                resets_unix_ms=99,
                would_refuse=True,
                first_refusal=False,
                crossed_80=True,
            )
        ],
    )
    assert seen.sample("charges_total", outcome=label) == 1
    assert seen.sample("charge_units_total") == 3


async def test_a_recorded_refusal_is_answered_without_an_error(seen: Observed) -> None:
    """And counted."""
    result = await service(seen, FakeWriter()).Record(refusal(7), None)

    assert result == pb.RefusalResult(id=7)
    assert not result.HasField("error")
    assert seen.sample("refusals_recorded_total") == 1


@pytest.mark.parametrize(
    ("failure", "code"), [(Failure.EXPIRED, 4), (Failure.OVERLOADED, 8), (Failure.UNAVAILABLE, 14)]
)
async def test_what_was_not_done_is_unavailable(seen: Observed, failure: Failure, code: int) -> None:
    """With gRPC's code and a reason, for charges and refusals."""
    quota = service(seen, FakeWriter(failure, failure))
    charged, recorded = await quota.Charge(charge(7), None), await quota.Record(refusal(8), None)

    assert (charged.id, charged.outcome, charged.error.code) == (7, pb.OUTCOME_UNAVAILABLE, code)
    assert (recorded.id, recorded.error.code) == (8, code)
    assert charged.error.message == recorded.error.message != ""
    assert seen.sample("charges_total", outcome="unavailable") == 1
    assert seen.sample("refusals_recorded_total") == 0


async def test_the_items_of_a_message_are_one_job(seen: Observed) -> None:
    """So they share a transaction."""
    writer = FakeWriter()
    batch = pb.Batch(charges=[charge(1), charge(2)], refusals=[refusal(3)])
    await converse(service(seen, writer).ChargeStream, batch, pb.Batch(charges=[charge(4)]))

    assert [len(items) for items in writer.submitted] == [3, 1]


async def test_results_of_another_order_keep_their_ids(seen: Observed) -> None:
    """Invalid items are answered first, the others when the store has done them."""
    batch = pb.Batch(charges=[charge(1), charge(2, limit(maximum=0)), charge(3)])
    answers = await converse(service(seen, FakeWriter()).ChargeStream, batch)

    ids = [result.id for answer in answers for result in answer.charges]
    assert sorted(ids) == [1, 2, 3]


async def test_an_empty_message_is_answered_by_an_empty_one(seen: Observed) -> None:
    """So a client sees that the service is there; the store is not asked."""
    writer = FakeWriter()
    answers = await converse(service(seen, writer).ChargeStream, pb.Batch())

    assert answers == [pb.Results()]
    assert writer.submitted == []


async def test_every_label_is_there_from_the_start(seen: Observed) -> None:
    """Otherwise the first refusal would be invisible to rate()."""
    service(seen, FakeWriter())
    assert seen.samples("charges_total") == {
        (outcome,): 0 for outcome in ("charged", "repeated", "refused", "locked", "unavailable", "invalid")
    }


async def test_a_report_is_answered_by_the_reporter(seen: Observed) -> None:
    """As test_reporting.py tests it."""
    reader = FakeReader(Report(None, (AccountReport(b"alice", b"Alice", (), ()),), (), False))
    request = pb.ReportRequest(time_zone="Europe/Berlin")
    reply = await service(seen, FakeWriter(), reader).Report(request, None)

    assert [account.login for account in reply.accounts] == [b"Alice"]
    assert seen.log.events == []


@pytest.mark.parametrize(
    ("time_zone", "answer", "code", "words", "events"),
    [
        ("Europe/Bonn", EMPTY, grpc.StatusCode.INVALID_ARGUMENT, "no time zone", []),
        ("UTC", StoreError("interrupted"), grpc.StatusCode.UNAVAILABLE, "interrupted", ["report_failed"]),
    ],
)
async def test_a_report_that_fails_says_why(
    seen: Observed,
    time_zone: str,
    answer: Report | Exception,
    code: grpc.StatusCode,
    words: str,
    events: list[str],
) -> None:
    """By gRPC's status."""
    context = AbortContext()
    with pytest.raises(AbortedError):
        await service(seen, FakeWriter(), FakeReader(answer)).Report(
            pb.ReportRequest(time_zone=time_zone), context
        )

    assert context.code is code
    assert words in context.details
    assert seen.log.events == events


async def test_draining_ends_the_streams(seen: Observed) -> None:
    """As soon as nothing is open on them."""
    served = service(seen, FakeWriter())
    serving = asyncio.create_task(served.ChargeStream(None, FakeContext()))
    await settle()
    await asyncio.wait_for(served.drain(), 1)
    await asyncio.wait_for(serving, 1)
