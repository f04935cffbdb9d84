"""quota: a user sends only so much in one calendar day."""

from datetime import datetime
from zoneinfo import ZoneInfo

from decision.verdict import Limit, LimitState, Objection, Verb


class QuotaRule:
    """Asks quota for one limit."""

    name = "quota"

    def __init__(self, *, maximum: int, count: str, time_zone: str, reject: bool) -> None:
        self.limit = Limit(count, maximum, time_zone)
        self._zone = ZoneInfo(time_zone)
        # RFC 3463: x.7.1 delivery not authorized; the class tells the client whether to try again.
        self._verb, self._status = (Verb.REJECT, "5.7.1") if reject else (Verb.DEFER, "4.7.1")

    def judge(self, state: LimitState) -> Objection | None:
        """See decision.chain.LimitingRule."""
        if not state.would_refuse:
            return None
        reset = datetime.fromtimestamp(state.resets_unix_ms / 1000, self._zone)
        text = f"Daily limit of {state.maximum} {self.limit.unit} reached, it ends {reset:%Y-%m-%d %H:%M %Z}"
        return Objection(self._verb, self._status, text)
