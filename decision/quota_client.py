"""The stream to quota: what decision asks and tells it, as messages."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc.aio

from chassis.item_client import ItemClient, Unanswered
from chassis.logs import Logger
from chassis.metrics import Metrics
from decision.chain import LimitingRule
from decision.verdict import LOCKED, Limit, LimitState, Locked, MailEvent, Mode, Objection, Stage
from protos import quota_pb2 as pb
from protos.quota_pb2_grpc import QuotaStub

_STAGES = {
    Stage.OTHER: pb.STAGE_OTHER,
    Stage.RCPT: pb.STAGE_RCPT,
    Stage.DATA: pb.STAGE_DATA,
    Stage.END_OF_MESSAGE: pb.STAGE_END_OF_MESSAGE,
}
RESOURCE_EXHAUSTED = 8
_UNITS = {"recipients": pb.UNIT_RECIPIENTS, "messages": pb.UNIT_MESSAGES}


class QuotaUnavailable(Exception):
    """Nothing was charged, or nobody knows; `overloaded`: because too much was waiting."""

    def __init__(self, reason: str, *, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.overloaded = overloaded


Answer = Sequence[LimitState] | Locked | QuotaUnavailable
Charged = Callable[[Answer], None]


class QuotaClient:
    """Asks quota. Lives in one event loop; `run` is its engine."""

    def __init__(self, channel: grpc.aio.Channel, *, log: Logger, metrics: Metrics) -> None:
        stub = QuotaStub(channel)
        self._items: ItemClient[Any, Any] = ItemClient(
            peer="quota", open_stream=stub.ChargeStream, pack=_pack, unpack=_unpack, log=log, metrics=metrics
        )
        self._lost = metrics.counter("refusals_unrecorded_total", "Refusals that quota could not be told of.")
        self.run = self._items.run

    @property
    def connected(self) -> bool:
        """Whether quota answers."""
        return self._items.up

    def charge(
        self,
        event: MailEvent,
        limits: Iterable[pb.Limit],
        *,
        country: str,
        exempt: bool,
        decision_id: str,
        settings: str,
        day: pb.CalendarDay,
        expires_unix_ms: int,
        timeout: float,
        done: Charged,
    ) -> None:
        """Charge all limits or none; `done` is called exactly once, perhaps before this returns.

        Args:
            limits: from `limit_message`; their states come in the same order. Without any, quota looks only
                whether the account is locked.
            settings: their version.
            day: that of the limits.
            country: the client's, or empty.
            timeout: seconds.
        """

        def answered(reply: pb.ChargeResult | Unanswered) -> None:
            if isinstance(reply, Unanswered):
                done(QuotaUnavailable(reply, overloaded=reply is Unanswered.OVERLOAD))
            elif reply.outcome == pb.OUTCOME_LOCKED:
                done(LOCKED)
            elif reply.outcome in _ANSWERS and len(reply.limits) == len(charge.limits):
                done(
                    [
                        LimitState(
                            state.maximum, state.used, state.refused, state.resets_unix_ms, state.would_refuse
                        )
                        for state in reply.limits
                    ]
                )
            else:
                reason = reply.error.message or "an answer that does not fit"
                done(QuotaUnavailable(reason, overloaded=reply.error.code == RESOURCE_EXHAUSTED))

        charge = pb.Charge(
            account=event.account,
            login=event.login,
            instance=event.instance,
            recipient=event.recipient,
            stage=_STAGES[event.stage],
            recipient_count=event.recipient_count,
            decision_id=decision_id,
            expires_unix_ms=expires_unix_ms,
            limits=limits,
            address=event.client_address,
            country=_code(country),
            exempt=exempt,
            sender=event.sender,
            settings=settings,
        )
        if not charge.limits:
            charge.day.CopyFrom(day)
        # Without an instance a second asking would be a second charge.
        self._items.submit(charge, timeout=timeout, done=answered, resend=bool(event.instance))

    def record(
        self,
        event: MailEvent,
        rule: str,
        objection: Objection,
        *,
        enforced: bool,
        decision_id: str,
        settings: str,
        day: pb.CalendarDay,
        expires_unix_ms: int,
        timeout: float,
        done: Callable[[bool], None],
    ) -> None:
        """Tell quota of a refusal that cost no charge, and learn whether an admin has overridden it.

        `done` is called exactly once, perhaps before this returns: True if the rule shall not object, False
        if its objection stands, also if quota could not be told (counted).
        """

        def answered(reply: pb.RefusalResult | Unanswered) -> None:
            if isinstance(reply, Unanswered) or reply.HasField("error"):
                self._lost.inc()
                done(False)
            else:
                done(reply.overridden)

        refusal = pb.Refusal(
            account=event.account,
            rule=rule,
            country=_code(objection.country),
            address=event.client_address,
            decision_id=decision_id,
            mode=pb.MODE_ENFORCE if enforced else pb.MODE_OBSERVE,
            day=day,
            login=event.login,
            sender=event.sender,
            recipient=event.recipient,
            recipient_count=event.recipient_count,
            settings=settings,
            detail=objection.text,
            expires_unix_ms=expires_unix_ms,
        )
        # quota knows it by its decision id, and records it once.
        self._items.submit(refusal, timeout=timeout, done=answered, resend=True)


_ANSWERS = frozenset({pb.OUTCOME_CHARGED, pb.OUTCOME_REPEATED, pb.OUTCOME_REFUSED})


def limit_message(rule: LimitingRule, mode: Mode, *, exempt: bool) -> pb.Limit:
    """A rule's limit as quota is asked; an exempt sender is charged on past it."""
    limit: Limit = rule.limit
    return pb.Limit(
        name=rule.name,
        unit=_UNITS[limit.unit],
        calendar_day=pb.CalendarDay(time_zone=limit.time_zone),
        maximum=limit.maximum,
        mode=pb.MODE_ENFORCE if mode is Mode.ENFORCE and not exempt else pb.MODE_OBSERVE,
    )


def _code(country: str) -> str:
    # Odd country data must not make a charge that quota refuses as invalid.
    return country if len(country) == 2 else ""


def _pack(items: Iterable[Any]) -> pb.Batch:
    batch = pb.Batch()
    for item in items:
        (batch.charges if isinstance(item, pb.Charge) else batch.refusals).append(item)
    return batch


def _unpack(results: pb.Results) -> Iterable[Any]:
    yield from results.charges
    yield from results.refusals
