"""HTTP's moments and delays: Retry-After is a number of seconds or a date (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_DIGITS = 9  # thirty years, and int() takes no more than 4300


def retry_after_seconds(value: str | None) -> int | None:
    """How long the header asks to wait; None without one, or if it is none."""
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return int(value) if len(value) <= _MAX_DIGITS else None
    when = unix_seconds(value)
    return None if when is None else max(0, round(when - datetime.now(UTC).timestamp()))


def unix_seconds(http_date: str | None) -> float | None:
    """The moment of a header such as Last-Modified; None without one, or if it is none."""
    try:
        return parsedate_to_datetime(http_date).timestamp() if http_date else None
    except (ValueError, OverflowError):
        return None
