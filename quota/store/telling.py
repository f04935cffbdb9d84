"""What a batch gives people to be told of, and what of it need not be told any more."""

from quota.assessment import Assessment
from quota.domain import Charge, Refusal, Settled
from quota.notify.notification import nearly_full, refused
from quota.periods import end_of_day
from quota.store.keeping import Keeping
from quota.store.outbox import Event, OutboxTable


class Telling:
    """Begins and ends within one transaction, with its batch."""

    def __init__(self, outbox: OutboxTable, keeping: Keeping, now_unix_ms: int) -> None:
        self._outbox = outbox
        self._keeping = keeping
        self._now_ms = now_unix_ms
        self._events: list[Event] = []
        self._settled: list[tuple[str, str]] = []

    def of_limits(self, day: int, account: int, charge: Charge, assessment: Assessment) -> None:
        """What is only observed, or of a sender who is exempt, is nothing to tell."""
        if charge.exempt:
            return
        for limit, state in zip(charge.limits, assessment.limits, strict=True):
            if not limit.enforce:
                continue
            units = (state.used, state.maximum)
            if state.first_refusal:
                self._add(day, account, refused(limit.name), limit.name, charge, *units)
            if state.crossed_80:
                # This mail was accepted: nobody has to look into where it came from.
                accepted = charge._replace(address=self._keeping.address(charge.address))
                self._add(day, account, nearly_full(limit.name), limit.name, accepted, *units)

    def of_refusal(self, day: int, account: int, refusal: Refusal) -> None:
        """Likewise."""
        if refusal.enforced:
            self._add(day, account, refused(refusal.rule), refusal.rule, refusal)

    def settle(self, settled: Settled) -> None:
        """It is delivered, or given up."""
        self._settled.append(settled)

    def write(self) -> None:
        """Write what has gathered."""
        if self._events:
            self._outbox.add(self._events)
        if self._settled:
            self._outbox.settle(self._settled)

    def _add(
        self,
        day: int,
        account: int,
        kind: str,
        rule: str,
        item: Charge | Refusal,
        used: int | None = None,
        maximum: int | None = None,
    ) -> None:
        until_ms = end_of_day(day, item.time_zone)
        what = (rule, item.country, item.address, item.decision_id, used, maximum)
        self._events.append(Event(day, account, kind, *what, self._now_ms, until_ms, item.time_zone))
