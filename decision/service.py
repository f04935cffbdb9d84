"""The gRPC face of decision: messages to plain values and back, and nothing else."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from chassis.item_server import ItemServer, ItemStream
from chassis.logs import Logger
from chassis.metrics import Metrics
from chassis.printable import Name
from decision.account import account_of
from decision.decider import INTERNAL, OVERLOADED, QUOTA_UNAVAILABLE, Decider, Failure, Verdict
from decision.verdict import MailEvent, Stage, Verb
from protos import decision_pb2 as pb
from protos.decision_pb2_grpc import DecisionServicer

_STAGES = {
    pb.STAGE_RCPT: Stage.RCPT,
    pb.STAGE_DATA: Stage.DATA,
    pb.STAGE_END_OF_MESSAGE: Stage.END_OF_MESSAGE,
}
_VERBS = {Verb.DUNNO: pb.VERB_DUNNO, Verb.DEFER: pb.VERB_DEFER, Verb.REJECT: pb.VERB_REJECT}
_FAILURES = {
    QUOTA_UNAVAILABLE: pb.FAILURE_QUOTA_UNAVAILABLE,
    OVERLOADED: pb.FAILURE_OVERLOADED,
    INTERNAL: pb.FAILURE_INTERNAL,
}

Reply = Callable[[pb.Answer], None]


class DecisionService(DecisionServicer):
    """See protos/decision.proto."""

    def __init__(self, decider: Decider, *, log: Logger, metrics: Metrics) -> None:
        self._decider = decider
        self._log = log
        self._server: ItemServer[Any, Any] = ItemServer(
            handle=self._handle,
            unpack=lambda questions: questions.items,
            pack=lambda answers: pb.Answers(items=answers),
            metrics=metrics,
        )
        self._expired = metrics.counter("items_expired_total", "Questions that came past their deadline.")

    async def Decide(self, request: pb.Question, context: Any) -> pb.Answer:
        answer: asyncio.Future[pb.Answer] = asyncio.get_running_loop().create_future()
        self._answer(
            request, _now_unix_ms(), lambda value: None if answer.done() else answer.set_result(value)
        )
        return await answer

    async def DecideStream(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        await self._server.serve(context)

    async def drain(self) -> None:
        await self._server.drain()

    def _handle(self, questions: Sequence[pb.Question], stream: ItemStream[Any, Any]) -> None:
        now = _now_unix_ms()
        for question in questions:
            self._answer(question, now, stream.reply)

    def _answer(self, question: pb.Question, now_unix_ms: int, reply: Reply) -> None:
        try:
            if question.expires_unix_ms <= now_unix_ms:
                self._expired.inc()
                reply(pb.Answer(id=question.id, failure=pb.FAILURE_EXPIRED))
            elif not question.login:
                reply(pb.Answer(id=question.id, verb=pb.VERB_DUNNO))
            else:
                self._decider.decide(
                    read_event(question),
                    expires_unix_ms=question.expires_unix_ms,
                    now_unix_ms=now_unix_ms,
                    decided=partial(_reply, question.id, reply),
                )
        except Exception:
            # One bad item never fails its batch.
            self._log.exception("internal_error", login=Name(question.login), instance=question.instance)
            reply(pb.Answer(id=question.id, failure=pb.FAILURE_INTERNAL))


def read_event(question: pb.Question) -> MailEvent:
    """The plain value of a question of a user who has logged in."""
    login = question.login
    return MailEvent(
        stage=_STAGES.get(question.stage, Stage.OTHER),
        login=login,
        account=account_of(login),
        client_address=question.client_address,
        instance=question.instance,
        recipient=question.recipient,
        recipient_count=question.recipient_count,
        sender=question.sender,
        queue_id=question.queue_id,
        policy_context=question.policy_context,
    )


def _reply(question_id: int, reply: Reply, outcome: Verdict | Failure) -> None:
    if isinstance(outcome, Failure):
        reply(pb.Answer(id=question_id, failure=_FAILURES[outcome]))
    else:
        reply(
            pb.Answer(
                id=question_id, verb=_VERBS[outcome.verb], text=outcome.text, decision_id=outcome.decision_id
            )
        )


def _now_unix_ms() -> int:
    return round(time.time() * 1000)
