"""What is told of an account, as plain values, as JSON fields and as fields of a text.

A login is a stranger's text. In JSON it is exact (but for bytes that are no UTF-8); in a text nothing of it
can begin a line, turn the direction of writing or go on without end.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from quota.periods import zone

# A further rule of decision is told of when its kinds stand here.
KINDS = ("quota_refused", "country_refused", "quota_80_percent")
TEST = "test"
# Fields of a text template; `summary` says all of it in one sentence.
FIELDS = (
    "id",
    "kind",
    "summary",
    "account",
    "rule",
    "country",
    "address",
    "decision_id",
    "used",
    "limit",
    "since",
    "until",
    "host",
)
MAX_SHOWN_CHARACTERS = 256
NOTHING = "-"  # stands in a text where there is no value


class Notification(NamedTuple):
    """One thing to tell. Times are Unix milliseconds."""

    id: str  # 32 hexadecimal digits, the same whenever it is sent
    kind: str  # of KINDS, or TEST
    account: bytes  # the normalised login, whole
    rule: str  # that refused, or whose limit is near; empty: a test
    country: str  # of the mail that caused it, or empty
    address: bytes  # the client's, or empty
    decision_id: str  # of that mail
    used: int | None  # units of the limit; None for a rule without one
    maximum: int | None
    since_unix_ms: int  # when it happened
    until_unix_ms: int  # the period's end: nothing of this kind is told of the account before
    time_zone: str  # IANA name, of the period


def refused(rule: str) -> str:
    """The kind of a rule's first refusal in a period."""
    return f"{rule}_refused"


def nearly_full(limit: str) -> str:
    """The kind of a limit of which 80 % are used."""
    return f"{limit}_80_percent"


def json_fields(told: Notification, host: str) -> dict[str, str | int | None]:
    """The keys of the webhook's JSON object, all of them always; null where there is no value."""
    return {
        "id": told.id,
        "kind": told.kind,
        "account": decoded(told.account),
        "rule": told.rule or None,
        "country": told.country or None,
        "address": decoded(told.address) or None,
        "decision_id": told.decision_id or None,
        "used": told.used,
        "limit": told.maximum,
        "since": iso(told.since_unix_ms, told.time_zone),
        "until": iso(told.until_unix_ms, told.time_zone),
        "host": host,
    }


def text_fields(told: Notification, host: str) -> Mapping[str, str]:
    """FIELDS with their values, each one line."""
    fields = {
        name: NOTHING if value is None else shown(str(value))
        for name, value in json_fields(told, host).items()
    }
    return fields | {"summary": summary(told, host)}


def summary(told: Notification, host: str) -> str:
    """One sentence without its full stop."""
    who, used = shown(decoded(told.account)), f"{told.used} of {told.maximum}"
    if told.kind == TEST:
        return f"Test: notifications of {shown(host)} arrive here"
    if told.kind == nearly_full(told.rule):
        return f"{who} has used 80 % of its limit ({used})"
    if told.maximum is not None:
        return f"{who} is refused: over its limit ({used})"
    where = f" (from {shown(told.country)})" if told.country else ""
    return f"{who} is refused by the rule {shown(told.rule)}{where}"


def decoded(value: bytes) -> str:
    r"""As text; bytes that are no UTF-8 become \xNN."""
    return value.decode("utf-8", "backslashreplace")


def shown(text: str) -> str:
    """As one line of printable characters, of any script; others become escapes."""
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
        )
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 3] + "..."


def iso(unix_ms: int, time_zone: str) -> str:
    """ISO 8601 with the offset of the time zone, to the second."""
    return datetime.fromtimestamp(unix_ms // 1000, zone(time_zone)).isoformat()
