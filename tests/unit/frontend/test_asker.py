"""From a request to its reply, with a decision that the test plays."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.item_client import Unanswered
from frontend import asker
from frontend.asker import DECISION_SECONDS, STATES, DecisionAsker, open_decision, question_of
from frontend.policy_wire import PolicyRequest, Verb
from protos import decision_pb2 as pb
from tests.support.observed import Observed
from tests.support.streams import Peer
from tests.support.virtual_time import in_virtual_time, settle

FAILURE_REPLY = b"action=DEFER 4.3.0 Policy service is not available, please try again later\n\n"
CAUSES = ("decision_down", "deadline", "overloaded", "quota_unavailable", "internal")


@dataclass
class Submitted:
    """One item that was handed to the stream."""

    question: pb.Question
    timeout: float
    done: Callable[[pb.Answer | Unanswered], None]
    resend: bool


class Frontend:
    """An asker, what it asked, and what it replied."""

    def __init__(self, *, on_failure: Verb = Verb.DUNNO) -> None:
        self.seen = Observed()
        self.submitted: list[Submitted] = []
        self.replies: list[bytes] = []
        stream: Any = SimpleNamespace(submit=self._submit)
        self.asker = DecisionAsker(
            stream, on_failure=on_failure, log=self.seen.log.logger, metrics=self.seen.metrics
        )

    def _submit(self, item: pb.Question, **how: Any) -> None:
        self.submitted.append(Submitted(item, **how))

    def ask(self, **attributes: str | bytes) -> None:
        self.asker.ask(request(**attributes), self.replies.append)

    def hear(self, answer: pb.Answer | Unanswered) -> bytes:
        """The reply to a request with a login when decision answers so."""
        self.ask(sasl_username="alice")
        self.submitted[-1].done(answer)
        return self.replies[-1]


def request(**attributes: str | bytes) -> PolicyRequest:
    """A RCPT request without a login; the arguments replace or add attributes."""
    given = {"request": "smtpd_access_policy", "protocol_state": "RCPT", "instance": "1.2.3"} | attributes
    return PolicyRequest(
        {
            name.encode(): value if isinstance(value, bytes) else value.encode()
            for name, value in given.items()
        }
    )


def answer(verb: "pb.Verb.ValueType", text: str = "") -> pb.Answer:
    return pb.Answer(id=1, verb=verb, text=text)


# Mail without a login


@pytest.mark.parametrize("on_failure", [Verb.DUNNO, Verb.DEFER])
@pytest.mark.parametrize("state", ["CONNECT", "RCPT", "DATA", "END-OF-MESSAGE", ""])
def test_mail_without_a_login_is_answered_dunno_at_once(on_failure: Verb, state: str) -> None:
    """Decision is not asked, whatever the failure action."""
    frontend = Frontend(on_failure=on_failure)
    frontend.ask(protocol_state=state, sasl_username="")
    frontend.ask(protocol_state=state)

    assert frontend.replies == [b"action=DUNNO\n\n"] * 2
    assert frontend.submitted == []
    assert frontend.seen.sample("requests_without_login_total") == 2
    assert frontend.seen.sample("request_duration_seconds_count") == 0


# Mail with a login


def test_mail_with_a_login_waits_for_decision() -> None:
    """For as long as DECISION_SECONDS; exactly one reply comes of it."""
    frontend = Frontend()
    frontend.ask(sasl_username="alice")
    assert frontend.replies == []
    (submitted,) = frontend.submitted
    assert submitted.timeout == DECISION_SECONDS == 3

    submitted.done(answer(pb.VERB_DUNNO))
    assert frontend.replies == [b"action=DUNNO\n\n"]


@pytest.mark.parametrize("login", [b" ", b"\xff", b"0"])
def test_any_login_that_is_not_empty_is_a_login(login: bytes) -> None:
    """Whatever it looks like."""
    frontend = Frontend()
    frontend.ask(sasl_username=login)

    assert [submitted.question.login for submitted in frontend.submitted] == [login]


@pytest.mark.parametrize(
    ("verb", "text", "reply"),
    [
        (pb.VERB_DUNNO, "", b"action=DUNNO\n\n"),
        (pb.VERB_DUNNO, "a text for nobody", b"action=DUNNO\n\n"),
        (pb.VERB_DEFER, "4.7.1 Later (id 1)", b"action=DEFER 4.7.1 Later (id 1)\n\n"),
        (pb.VERB_REJECT, "5.7.1 No (id 1)", b"action=REJECT 5.7.1 No (id 1)\n\n"),
        (pb.VERB_REJECT, "5.7.1 a\n\naction=OK", b"action=REJECT 5.7.1 a??action=OK\n\n"),
    ],
)
@pytest.mark.parametrize("on_failure", [Verb.DUNNO, Verb.DEFER])
def test_decisions_answer_becomes_the_reply(
    verb: "pb.Verb.ValueType", text: str, reply: bytes, on_failure: Verb
) -> None:
    """Whatever the failure action; the verb is counted."""
    frontend = Frontend(on_failure=on_failure)

    assert frontend.hear(answer(verb, text)) == reply
    counted = reply.removeprefix(b"action=").split()[0].decode()
    assert frontend.seen.samples("replies_total") == {(each,): int(each == counted) for each in Verb}
    assert sum(frontend.seen.samples("failure_actions_total").values()) == 0


@pytest.mark.parametrize("login", ["", "alice"])
def test_a_reply_leaves_before_it_is_counted(login: str) -> None:
    """Nobody waits for a counter."""
    frontend = Frontend()
    counted: list[float] = []

    def count() -> float:
        samples = (frontend.seen.samples(f"{name}_total") for name in ("replies", "requests_without_login"))
        return sum(sum(values.values()) for values in samples)

    frontend.asker.ask(request(sasl_username=login), lambda _: counted.append(count()))
    for submitted in frontend.submitted:
        submitted.done(answer(pb.VERB_DUNNO))

    assert counted == [0]
    assert count() == 1


# The failure action

UNUSABLE: list[tuple[pb.Answer | Unanswered, str]] = [
    (Unanswered.DOWN, "decision_down"),
    (Unanswered.DEADLINE, "deadline"),
    (Unanswered.OVERLOAD, "overloaded"),
    (pb.Answer(failure=pb.FAILURE_QUOTA_UNAVAILABLE), "quota_unavailable"),
    (pb.Answer(failure=pb.FAILURE_EXPIRED), "deadline"),
    (pb.Answer(failure=pb.FAILURE_OVERLOADED), "overloaded"),
    (pb.Answer(failure=pb.FAILURE_INTERNAL), "internal"),
    # Of a decision that is newer than this frontend.
    (pb.Answer(failure=99), "internal"),  # type: ignore[arg-type]
    (pb.Answer(verb=99, text="5.7.1 No"), "internal"),  # type: ignore[arg-type]
    (pb.Answer(failure=pb.FAILURE_INTERNAL, verb=pb.VERB_REJECT, text="5.7.1 No"), "internal"),
    (pb.Answer(), "internal"),
    (pb.Answer(verb=pb.VERB_UNSPECIFIED, text="5.7.1 No"), "internal"),
    (pb.Answer(verb=pb.VERB_REJECT), "internal"),
    (pb.Answer(verb=pb.VERB_DEFER), "internal"),
]


@pytest.mark.parametrize(("unusable", "cause"), UNUSABLE)
@pytest.mark.parametrize(
    ("on_failure", "reply"), [(Verb.DUNNO, b"action=DUNNO\n\n"), (Verb.DEFER, FAILURE_REPLY)]
)
def test_without_a_verdict_the_failure_action_is_the_reply(
    unusable: pb.Answer | Unanswered, cause: str, on_failure: Verb, reply: bytes
) -> None:
    """Counted by cause, and not as a reply of decision's."""
    frontend = Frontend(on_failure=on_failure)

    assert frontend.hear(unusable) == reply
    assert frontend.replies == [reply]
    assert frontend.seen.samples("failure_actions_total") == {(each,): int(each == cause) for each in CAUSES}
    assert sum(frontend.seen.samples("replies_total").values()) == 0


def test_every_cause_of_the_stream_and_of_decision_is_known() -> None:
    """None of them is an internal error by oversight."""
    given = [unusable for unusable, _ in UNUSABLE]

    assert {cause for cause in given if isinstance(cause, Unanswered)} == set(Unanswered)
    assert {each.failure for each in given if isinstance(each, pb.Answer)} >= set(pb.Failure.values())


# Metrics


def test_all_metrics_are_there_from_the_start() -> None:
    """Every state, verb and cause at 0."""
    seen = Frontend().seen

    assert seen.samples("requests_total") == {(state,): 0 for state in (*STATES, "other")}
    assert seen.samples("replies_total") == {("DUNNO",): 0, ("DEFER",): 0, ("REJECT",): 0}
    assert seen.samples("failure_actions_total") == {(cause,): 0 for cause in CAUSES}
    assert seen.sample("requests_without_login_total") == 0
    assert seen.sample("request_duration_seconds_count") == 0


@pytest.mark.parametrize("state", [*STATES, "other", "", "rcpt", "NEW-STATE"])
@pytest.mark.parametrize("login", ["", "alice"])
def test_requests_are_counted_by_state(state: str, login: str) -> None:
    """With and without a login; a state that Postfix does not have yet is `other`."""
    frontend = Frontend()
    frontend.ask(protocol_state=state, sasl_username=login)

    counted = state if state in STATES else "other"
    assert frontend.seen.samples("requests_total") == {
        (each,): int(each == counted) for each in (*STATES, "other")
    }


def test_the_duration_is_measured_up_to_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of requests with a login, whatever became of them."""
    clock = iter([10.0, 10.25, 20.0, 23.0])
    clocks = SimpleNamespace(time=time.time, perf_counter=lambda: next(clock), monotonic=time.monotonic)
    monkeypatch.setattr(asker, "time", clocks)
    frontend = Frontend()
    frontend.hear(answer(pb.VERB_DUNNO))
    frontend.hear(Unanswered.DEADLINE)

    assert frontend.seen.sample("request_duration_seconds_count") == 2
    assert frontend.seen.sample("request_duration_seconds_sum") == 3.25


# The question


def test_the_question_carries_what_decision_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte; it expires when nobody waits for its answer any more."""
    monkeypatch.setattr(asker, "time", SimpleNamespace(time=lambda: 1_700_000_000.25))
    question = question_of(
        request(
            sasl_username=b"caf\xe9",
            client_address="2001:db8::1",
            recipient=b"\xff@example.net",
            recipient_count="3",
            sender=b"caf\xe9@example.org",
            queue_id="8045F2AB23",
            policy_context="submission",
            protocol_state="DATA",
            unknown="ignored",
        )
    )

    assert question == pb.Question(
        expires_unix_ms=1_700_000_003_250,
        stage=pb.STAGE_DATA,
        login=b"caf\xe9",
        client_address=b"2001:db8::1",
        instance=b"1.2.3",
        recipient=b"\xff@example.net",
        recipient_count=3,
        sender=b"caf\xe9@example.org",
        queue_id=b"8045F2AB23",
        policy_context=b"submission",
    )


def test_missing_attributes_are_empty_in_the_question() -> None:
    """As an older Postfix sends them."""
    question = question_of(PolicyRequest({b"request": b"smtpd_access_policy"}))
    question.ClearField("expires_unix_ms")

    assert question == pb.Question()


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        ("RCPT", pb.STAGE_RCPT),
        ("DATA", pb.STAGE_DATA),
        ("BDAT", pb.STAGE_DATA),
        ("END-OF-MESSAGE", pb.STAGE_END_OF_MESSAGE),
        ("CONNECT", pb.STAGE_OTHER),
        ("EHLO", pb.STAGE_OTHER),
        ("HELO", pb.STAGE_OTHER),
        ("MAIL", pb.STAGE_OTHER),
        ("VRFY", pb.STAGE_OTHER),
        ("ETRN", pb.STAGE_OTHER),
        ("rcpt", pb.STAGE_OTHER),
        ("", pb.STAGE_OTHER),
    ],
)
def test_the_stage_is_postfixs_state(state: str, stage: "pb.Stage.ValueType") -> None:
    """BDAT is DATA in chunks."""
    assert question_of(request(protocol_state=state)).stage == stage


@pytest.mark.parametrize("count", ["9" * 18, "9" * 19, "9" * 5000])
def test_any_number_of_recipients_fits_the_question(count: str) -> None:
    """A huge one is the largest."""
    assert question_of(request(recipient_count=count)).recipient_count == min(int(count[:19]), 2**63 - 1)


@pytest.mark.parametrize(
    ("state", "instance", "resend"),
    [
        ("RCPT", "1.2.3", True),
        ("RCPT", "", False),
        ("DATA", "", False),
        ("BDAT", "", False),
        ("END-OF-MESSAGE", "", False),
        ("MAIL", "", True),
        ("", "", True),
    ],
)
def test_only_what_cannot_charge_twice_is_asked_again(state: str, instance: str, resend: bool) -> None:
    """Quota knows a message by its instance, and other states never charge."""
    frontend = Frontend()
    frontend.ask(sasl_username="alice", protocol_state=state, instance=instance)

    assert [submitted.resend for submitted in frontend.submitted] == [resend]


# The stream


@in_virtual_time
async def test_a_request_travels_to_decision_and_back() -> None:
    """As a question on the stream that begins with a greeting."""
    seen = Observed()
    peer = Peer()
    stream = open_decision(peer.open_stream, log=seen.log.logger, metrics=seen.metrics)
    engine = asyncio.create_task(stream.run())
    replies: list[bytes] = []
    asking = DecisionAsker(stream, on_failure=Verb.DUNNO, log=seen.log.logger, metrics=seen.metrics)
    asking.ask(request(sasl_username="alice"), replies.append)
    await settle()
    messages: list[Any] = list(peer.call.messages)
    peer.call.put(pb.Answers(items=[pb.Answer(id=1, verb=pb.VERB_REJECT, text="5.7.1 No")]))
    await settle()
    engine.cancel()
    await asyncio.gather(engine, return_exceptions=True)

    greeting, questions = messages
    assert greeting == pb.Questions()
    assert [(question.id, question.login) for question in questions.items] == [(1, b"alice")]
    assert replies == [b"action=REJECT 5.7.1 No\n\n"]
    assert seen.sample("stream_up", peer="decision") == 1


def test_an_outage_is_one_line_at_its_beginning_and_one_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts between failures do not end it; five quiet seconds do."""
    now = [100.0]
    clocks = SimpleNamespace(time=time.time, perf_counter=time.perf_counter, monotonic=lambda: now[0])
    monkeypatch.setattr(asker, "time", clocks)
    frontend = Frontend()
    in_force = []
    for seconds, reply in (
        (0, answer(pb.VERB_DUNNO)),
        (1, Unanswered.DOWN),
        (1, Unanswered.DEADLINE),
        (1, answer(pb.VERB_DUNNO)),
        (1, Unanswered.DOWN),
        (6, answer(pb.VERB_DUNNO)),
    ):
        now[0] += seconds
        frontend.hear(reply)
        in_force.append(frontend.seen.sample("failure_action_in_force"))

    assert in_force == [0, 1, 1, 1, 1, 0]
    assert frontend.seen.log.events == ["failure_action_in_force", "checking_again"]
