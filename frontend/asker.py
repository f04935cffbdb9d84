"""From a request to its reply: mail without a login passes at once, the rest is decision's.

This is the one place where a failure becomes an answer. It can only concern mail with a login.
"""

import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any

from prometheus_client import Counter

from chassis.item_client import ItemClient, Unanswered
from chassis.logs import Logger
from chassis.metrics import Metrics
from frontend.policy_wire import DUNNO, PolicyRequest, Verb, serialise
from protos import decision_pb2 as pb

DECISION_SECONDS = 3.0
# One failure among answers is not the end of an outage, nor another outage.
QUIET_SECONDS = 5.0
FAILURE_TEXT = (
    "4.3.0 Policy service is not available, please try again later"  # RFC 3463: other mail system status
)

STATES = ("CONNECT", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE", "VRFY", "ETRN", "BDAT")
_OTHER_STATE = "other"
_STAGES = {
    b"RCPT": pb.STAGE_RCPT,
    b"DATA": pb.STAGE_DATA,
    b"BDAT": pb.STAGE_DATA,
    b"END-OF-MESSAGE": pb.STAGE_END_OF_MESSAGE,
}
_VERBS = {pb.VERB_DEFER: Verb.DEFER, pb.VERB_REJECT: Verb.REJECT}


class Cause(StrEnum):
    """Why there is no verdict."""

    DECISION_DOWN = "decision_down"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    QUOTA_UNAVAILABLE = "quota_unavailable"
    INTERNAL = "internal"


_UNANSWERED = {
    Unanswered.DOWN: Cause.DECISION_DOWN,
    Unanswered.DEADLINE: Cause.DEADLINE,
    Unanswered.OVERLOAD: Cause.OVERLOADED,
}
_FAILURES = {
    pb.FAILURE_QUOTA_UNAVAILABLE: Cause.QUOTA_UNAVAILABLE,
    pb.FAILURE_EXPIRED: Cause.DEADLINE,
    pb.FAILURE_OVERLOADED: Cause.OVERLOADED,
}


class DecisionAsker:
    """Asks decision. Args: on_failure: what mail with a login hears when there is no verdict."""

    def __init__(
        self, decision: ItemClient[pb.Question, pb.Answer], *, on_failure: Verb, log: Logger, metrics: Metrics
    ) -> None:
        self._decision = decision
        self._log = log
        # Since when the failure action answers, and when it last did; None while there are verdicts.
        self._failing_since: float | None = None
        self._failed_at = 0.0
        self._fail_open = metrics.gauge(
            "failure_action_in_force", "1 while requests with a login get the failure action, else 0."
        )
        self.set_on_failure(on_failure)
        requests = metrics.counter("requests_total", "Policy requests.", state=[*STATES, _OTHER_STATE])
        self._requests = {state.encode(): requests.labels(state) for state in STATES}
        self._other_requests = requests.labels(_OTHER_STATE)
        self._without_login = metrics.counter(
            "requests_without_login_total", "Requests answered DUNNO at once."
        )
        replies = metrics.counter("replies_total", "Replies to requests with a login.", verb=list(Verb))
        self._replies = {verb: replies.labels(verb) for verb in Verb}
        failures = metrics.counter(
            "failure_actions_total", "Replies by the failure action, unchecked.", cause=list(Cause)
        )
        self._failures = {cause: failures.labels(cause) for cause in Cause}
        self._seconds = metrics.histogram(
            "request_duration_seconds", "From a complete request with a login to its reply."
        )

    def set_on_failure(self, verb: Verb) -> None:
        """What mail with a login hears from now on when there is no verdict."""
        self._failure_reply = DUNNO if verb is Verb.DUNNO else serialise(verb, FAILURE_TEXT)

    def ask(self, request: PolicyRequest, answer: Callable[[bytes], None]) -> None:
        """See frontend.connection.Asker."""
        state = request[b"protocol_state"]
        if request.login:
            self._decision.submit(
                question_of(request),
                timeout=DECISION_SECONDS,
                done=partial(self._answered, answer, time.perf_counter()),
                # Without an instance a second asking would be a second charge.
                resend=bool(request[b"instance"]) or state not in _STAGES,
            )
        else:
            answer(DUNNO)
            self._without_login.inc()
        self._requests.get(state, self._other_requests).inc()

    def _answered(
        self, answer: Callable[[bytes], None], started: float, reply: pb.Answer | Unanswered
    ) -> None:
        text, counter = self._reply(reply)
        answer(text)
        counter.inc()
        self._seconds.observe(time.perf_counter() - started)
        if self._failing_since is not None:
            now = time.monotonic()
            if now - self._failed_at > QUIET_SECONDS:
                self._log.warning("checking_again", unchecked_for_seconds=round(now - self._failing_since))
                self._failing_since = None
                self._fail_open.set(0)

    def _reply(self, reply: pb.Answer | Unanswered) -> tuple[bytes, Counter]:
        """The bytes, and where they are counted."""
        if isinstance(reply, Unanswered):
            return self._failed(_UNANSWERED[reply])
        if reply.failure != pb.FAILURE_NONE:
            return self._failed(_FAILURES.get(reply.failure, Cause.INTERNAL))
        if reply.verb == pb.VERB_DUNNO:
            return DUNNO, self._replies[Verb.DUNNO]
        verb = _VERBS.get(reply.verb)
        if verb is None or not reply.text:
            return self._failed(Cause.INTERNAL)
        return serialise(verb, reply.text), self._replies[verb]

    def _failed(self, cause: Cause) -> tuple[bytes, Counter]:
        self._failed_at = time.monotonic()
        if self._failing_since is None:
            self._failing_since = self._failed_at
            self._fail_open.set(1)
            self._log.error("failure_action_in_force", cause=cause, answer=self._failure_reply.strip())
        return self._failure_reply, self._failures[cause]


def question_of(request: PolicyRequest) -> pb.Question:
    """The request as decision is asked; whoever sends it sets the id."""
    return pb.Question(
        expires_unix_ms=round((time.time() + DECISION_SECONDS) * 1000),
        stage=_STAGES.get(request[b"protocol_state"], pb.STAGE_OTHER),
        login=request.login,
        client_address=request[b"client_address"],
        instance=request[b"instance"],
        recipient=request[b"recipient"],
        recipient_count=request.recipient_count,
        sender=request[b"sender"],
        queue_id=request[b"queue_id"],
        policy_context=request[b"policy_context"],
    )


def open_decision(open_stream: Callable[[], Any], **parts: Any) -> ItemClient[pb.Question, pb.Answer]:
    """The stream to decision."""
    return ItemClient(
        peer="decision",
        open_stream=open_stream,
        pack=lambda items: pb.Questions(items=items),
        unpack=lambda message: message.items,
        **parts,
    )
