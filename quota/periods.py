"""Calendar days of a time zone, which last 23, 24 or 25 hours. A day is `date.toordinal()`."""

from datetime import date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError for a name that is none."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # a directory's name raises OSError
        raise ValueError(f"no time zone: {name!r}") from error


def day_of(unix_ms: int, time_zone: str) -> int:
    """The calendar day that the wall clock shows at this moment."""
    return datetime.fromtimestamp(unix_ms / 1000, zone(time_zone)).toordinal()


@lru_cache(maxsize=256)
def end_of_day(day: int, time_zone: str) -> int:
    """The first moment after the day, in Unix milliseconds.

    Where midnight does not exist (a change to daylight saving at 00:00) it is the first moment that does.
    """
    midnight = datetime.combine(date.fromordinal(day + 1), time(), zone(time_zone))
    return round(midnight.timestamp() * 1000)
