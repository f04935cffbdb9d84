"""Times as an admin writes and reads them, in the time zone of the services."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

TONIGHT = "tonight"
ALLOWED = "tonight, +2h, +3d, 18:30, 2026-11-30, 2026-11-30T18:30"
MAX_UNIX_MS = 253_402_214_400_000  # the last day of 9999, the last year of Python's datetime, has not begun
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def read_end(text: str, *, now_unix_ms: int, zone: ZoneInfo) -> int:
    """The end that `--until` names, in Unix milliseconds.

    `tonight` is the end of today, a date the end of that day: the first moment of the next one. `+2h` counts
    from now (m, h, d, w; a day is 24 hours). A time without an offset is meant in `zone`.

    Raises:
        ValueError: it is no time, or in the past; the message goes on a sentence that begins with the text.
    """
    end = _read(text.strip(), now_unix_ms=now_unix_ms, zone=zone)
    if end <= now_unix_ms:
        raise ValueError("is in the past")
    return end


def _read(text: str, *, now_unix_ms: int, zone: ZoneInfo) -> int:
    now = datetime.fromtimestamp(now_unix_ms / 1000, zone)
    try:
        if text.lower() == TONIGHT:
            return _end_of(now.date(), zone)
        if found := re.fullmatch(r"\+([0-9]{1,9})([mhdw])", text, re.ASCII):
            # To the second, as it is shown.
            seconds = -(-now_unix_ms // 1000) + int(found[1]) * _SECONDS[found[2]]
            if seconds * 1000 > MAX_UNIX_MS:
                raise OverflowError
            return seconds * 1000
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", text, re.ASCII):
            clock = time.fromisoformat(text.rjust(5, "0"))
            return _unix_ms(datetime.combine(now.date(), clock, zone))
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            return _end_of(date.fromisoformat(text), zone)
        if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]", text, re.ASCII):
            raise ValueError(text)
        moment = datetime.fromisoformat(text)
        return _unix_ms(moment if moment.tzinfo else moment.replace(tzinfo=zone))
    except OverflowError as error:
        raise ValueError("is too far away") from error
    except ValueError as error:
        raise ValueError(f"is no time; allowed: {ALLOWED}") from error


def _end_of(day: date, zone: ZoneInfo) -> int:
    # As quota ends a day: its next midnight, or the first moment that there is.
    return _unix_ms(datetime.combine(day + timedelta(days=1), time(), zone))


def _unix_ms(moment: datetime) -> int:
    # Of whole milliseconds; timestamp() is a float.
    unix_ms = (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if unix_ms > MAX_UNIX_MS:
        raise OverflowError
    return unix_ms


def iso(unix_ms: int, zone: ZoneInfo) -> str | None:
    """For JSON and files: ISO 8601 with the offset, which `read_end` reads; None for 0."""
    if not unix_ms:
        return None
    moment = _moment(unix_ms, zone)
    return moment.isoformat(timespec="milliseconds" if unix_ms % 1000 else "seconds")


def minute(unix_ms: int, zone: ZoneInfo) -> str:
    """For tables: `2026-11-30 18:30`; `-` for 0."""
    return f"{_moment(unix_ms, zone):%Y-%m-%d %H:%M}" if unix_ms else "-"


def second(unix_ms: int, zone: ZoneInfo) -> str:
    """For people who compare it with a log: `2026-11-30 18:30:05 CET`; `-` for 0."""
    return f"{_moment(unix_ms, zone):%Y-%m-%d %H:%M:%S %Z}" if unix_ms else "-"


def _moment(unix_ms: int, zone: ZoneInfo) -> datetime:
    seconds, milliseconds = divmod(unix_ms, 1000)
    # A sum of datetimes would forget which one of the hours it is that come twice (PEP 495, `fold`).
    return datetime.fromtimestamp(seconds, zone).replace(microsecond=milliseconds * 1000)
