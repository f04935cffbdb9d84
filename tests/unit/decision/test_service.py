"""The gRPC face of decision."""

import asyncio
import time

import pytest

from decision.decider import OVERLOADED, QUOTA_UNAVAILABLE, Decider, Failure, Verdict
from decision.service import DecisionService, read_event
from decision.verdict import MailEvent, Stage, Verb
from protos import decision_pb2 as pb
from tests.support.conversations import converse
from tests.support.mails import Decided, Outcome
from tests.support.observed import Observed
from tests.support.streams import FakeContext
from tests.support.virtual_time import settle

PASSED = Verdict(Verb.DUNNO, "", "passed0000")


class FakeDecider(Decider):
    """Answers by login; keeps silent about a login that it does not know, until it is told."""

    def __init__(self, outcomes: dict[bytes, Outcome | Exception]) -> None:
        self._outcomes = outcomes
        self.asked: list[tuple[MailEvent, int, int]] = []
        self.open: list[Decided] = []

    def decide(self, event: MailEvent, *, expires_unix_ms: int, now_unix_ms: int, decided: Decided) -> None:
        self.asked.append((event, expires_unix_ms, now_unix_ms))
        outcome = self._outcomes.get(event.login)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            self.open.append(decided)
        else:
            decided(outcome)


def question(number: int = 1, login: bytes = b"alice", *, expires_in: float = 60) -> pb.Question:
    return pb.Question(
        id=number,
        login=login,
        stage=pb.STAGE_RCPT,
        client_address=b"84.128.0.1",
        expires_unix_ms=round((time.time() + expires_in) * 1000),
    )


def service(seen: Observed, decider: Decider) -> DecisionService:
    return DecisionService(decider, log=seen.log.logger, metrics=seen.metrics)


def by_id(messages: list[pb.Answers]) -> dict[int, pb.Answer]:
    """The answers of a conversation; none came twice."""
    answers = [answer for message in messages for answer in message.items]
    assert len({answer.id for answer in answers}) == len(answers)
    return {answer.id: answer for answer in answers}


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (PASSED, pb.Answer(id=7, verb=pb.VERB_DUNNO, decision_id="passed0000")),
        (
            Verdict(Verb.DEFER, "4.7.1 later", "deferred00"),
            pb.Answer(id=7, verb=pb.VERB_DEFER, text="4.7.1 later", decision_id="deferred00"),
        ),
        (
            Verdict(Verb.REJECT, "5.7.1 never", "rejected00"),
            pb.Answer(id=7, verb=pb.VERB_REJECT, text="5.7.1 never", decision_id="rejected00"),
        ),
        (QUOTA_UNAVAILABLE, pb.Answer(id=7, failure=pb.FAILURE_QUOTA_UNAVAILABLE)),
        (OVERLOADED, pb.Answer(id=7, failure=pb.FAILURE_OVERLOADED)),
    ],
)
async def test_outcomes_become_answers(seen: Observed, outcome: Verdict | Failure, answer: pb.Answer) -> None:
    """Each verb and each failure has its own word; a failure has no verb."""
    decider = FakeDecider({b"alice": outcome})
    assert await service(seen, decider).Decide(question(7), None) == answer


async def test_mail_without_a_login_passes_unasked(seen: Observed) -> None:
    """The rules are for users who have logged in."""
    decider = FakeDecider({})
    answer = await service(seen, decider).Decide(question(7, b""), None)

    assert answer == pb.Answer(id=7, verb=pb.VERB_DUNNO)
    assert decider.asked == []


@pytest.mark.parametrize("login", [b"alice", b""])
async def test_an_expired_question_is_not_decided(seen: Observed, login: bytes) -> None:
    """Nobody waits for the answer, so nothing is charged."""
    decider = FakeDecider({b"alice": PASSED})
    answer = await service(seen, decider).Decide(question(7, login, expires_in=-0.01), None)

    assert answer == pb.Answer(id=7, failure=pb.FAILURE_EXPIRED)
    assert decider.asked == []
    assert seen.sample("items_expired_total") == 1


@pytest.mark.parametrize(("left_ms", "asked"), [(0, 0), (1, 1)])
async def test_a_question_expires_at_its_deadline(
    monkeypatch: pytest.MonkeyPatch, seen: Observed, left_ms: int, asked: int
) -> None:
    """At that very millisecond nobody waits any more."""
    decider = FakeDecider({b"alice": PASSED})
    late = question()
    monkeypatch.setattr("decision.service._now_unix_ms", lambda: late.expires_unix_ms - left_ms)
    await service(seen, decider).Decide(late, None)

    assert len(decider.asked) == asked


async def test_the_deadline_is_handed_on(seen: Observed) -> None:
    """With the time of arrival, from which the decider measures."""
    decider = FakeDecider({b"alice": PASSED})
    asked = question()
    await service(seen, decider).Decide(asked, None)

    ((_, expires, now),) = decider.asked
    assert expires == asked.expires_unix_ms
    assert abs(now - time.time() * 1000) < 5000


def test_a_question_is_read_whole() -> None:
    """Every attribute that a rule or the log reads, with the login's account."""
    event = read_event(
        pb.Question(
            id=1,
            stage=pb.STAGE_END_OF_MESSAGE,
            login=b"Alice\xff",
            client_address=b"192.0.2.1",
            instance=b"i1",
            recipient=b"bob@example.net",
            recipient_count=-3,
            sender=b"alice@example.org",
            queue_id=b"4XyZ",
            policy_context=b"submission",
        )
    )
    assert event == MailEvent(
        stage=Stage.END_OF_MESSAGE,
        login=b"Alice\xff",
        account=b"Alice\xff",
        client_address=b"192.0.2.1",
        instance=b"i1",
        recipient=b"bob@example.net",
        recipient_count=-3,
        sender=b"alice@example.org",
        queue_id=b"4XyZ",
        policy_context=b"submission",
    )
    assert read_event(pb.Question(login=b"Alice")).account == b"alice"


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
    assert read_event(pb.Question(login=b"alice", stage=sent)).stage is stage


async def test_one_bad_question_fails_alone(seen: Observed) -> None:
    """A bug is answered as such and logged with the mail; the neighbours of the batch are decided."""
    decider = FakeDecider({b"alice": PASSED, b"bug": RuntimeError("oops"), b"carol": PASSED})
    batch = pb.Questions(items=[question(1), question(2, b"bug"), question(3, b"carol")])
    answers = by_id(await converse(service(seen, decider).DecideStream, batch))

    assert answers[2] == pb.Answer(id=2, failure=pb.FAILURE_INTERNAL)
    assert answers[1].verb == answers[3].verb == pb.VERB_DUNNO
    (line,) = seen.log.lines
    assert (line["event"], line["level"], line["login"]) == ("internal_error", "error", b"bug")


async def test_a_bug_is_answered_outside_a_stream_too(seen: Observed) -> None:
    """The single call does not fail."""
    decider = FakeDecider({b"alice": RuntimeError("oops")})
    answer = await service(seen, decider).Decide(question(7), None)
    assert answer == pb.Answer(id=7, failure=pb.FAILURE_INTERNAL)


async def test_no_question_waits_for_another(seen: Observed) -> None:
    """Answers leave in the order in which they come."""

    class Late(FakeDecider):
        """Decides about the first mail when it is asked about the second."""

        def decide(
            self, event: MailEvent, *, expires_unix_ms: int, now_unix_ms: int, decided: Decided
        ) -> None:
            super().decide(event, expires_unix_ms=expires_unix_ms, now_unix_ms=now_unix_ms, decided=decided)
            if event.login == b"alice":
                self.open[0](PASSED)

    batch = pb.Questions(items=[question(1, b"slow"), question(2)])
    messages = await converse(service(seen, Late({b"alice": PASSED})).DecideStream, batch)
    assert [answer.id for message in messages for answer in message.items] == [2, 1]


async def test_an_empty_message_is_answered_by_an_empty_one(seen: Observed) -> None:
    """So a client sees that the service is there."""
    messages = await converse(service(seen, FakeDecider({})).DecideStream, pb.Questions())
    assert by_id(messages) == {}
    assert len(messages) == 1


async def test_a_second_answer_is_dropped(seen: Observed) -> None:
    """A decider that fails after it has answered does not answer twice."""

    class Twice(FakeDecider):
        def decide(
            self, event: MailEvent, *, expires_unix_ms: int, now_unix_ms: int, decided: Decided
        ) -> None:
            decided(PASSED)
            raise RuntimeError("oops")

    twice = service(seen, Twice({}))
    first = pb.Answer(id=7, verb=pb.VERB_DUNNO, decision_id="passed0000")

    assert await twice.Decide(question(7), None) == first
    assert by_id(await converse(twice.DecideStream, pb.Questions(items=[question(7)]))) == {7: first}


async def test_draining_waits_for_what_is_open_and_ends_the_stream(seen: Observed) -> None:
    """So that a restart costs nobody an answer."""
    decider = FakeDecider({})
    served, context = service(seen, decider), FakeContext()
    serving = asyncio.create_task(served.DecideStream(None, context))
    context.put(pb.Questions(items=[question(7)]))
    await settle()
    draining = asyncio.create_task(served.drain())
    await settle()
    assert not draining.done()

    decider.open[0](PASSED)
    await asyncio.wait_for(asyncio.gather(serving, draining), 1)
    assert [*by_id(context.messages)] == [7]  # type: ignore[arg-type]
