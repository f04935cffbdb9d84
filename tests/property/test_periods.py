"""Calendar days of any zone."""

import zoneinfo
from datetime import date, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from quota.periods import day_of, end_of_day, zone
from tests.support.charges import BERLIN, HOUR, utc

ZONES = sorted(zoneinfo.available_timezones())
# Zones whose clocks change, or changed, at midnight.
MIDNIGHT_CHANGERS = [
    "Africa/Cairo",
    "America/Asuncion",
    "America/Godthab",
    "America/Havana",
    "America/Santiago",
    "America/Scoresbysund",
    "America/St_Johns",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Tehran",
    "Pacific/Apia",
]
moments = st.integers(utc("1971-01-01"), utc("2100-01-01"))


@given(moments, st.sampled_from(ZONES) | st.sampled_from(MIDNIGHT_CHANGERS))
@example(utc("2024-09-08 03:59"), "America/Santiago")
@example(utc("2024-04-25 21:59"), "Africa/Cairo")
@example(utc("2024-03-30 21:59"), "Asia/Beirut")
@example(utc("2011-12-30 09:59"), "Pacific/Apia")
def test_a_day_ends_with_the_first_moment_of_the_next(moment: int, time_zone: str) -> None:
    """The millisecond before belongs to the day, the end does not, and the day is not over yet."""
    day = day_of(moment, time_zone)
    end = end_of_day(day, time_zone)

    assert day_of(end - 1, time_zone) == day
    assert day_of(end, time_zone) > day


@given(st.integers(utc("1971-01-01"), utc("2045-01-01")), st.sampled_from(MIDNIGHT_CHANGERS))
def test_a_moment_lies_before_the_end_of_its_day(moment: int, time_zone: str) -> None:
    """Unless the clock has shown the next day for a moment and was set back: then by less than that hour."""
    end = end_of_day(day_of(moment, time_zone), time_zone)
    assert -HOUR < end - moment <= 25 * HOUR


@given(st.integers(1997, 2090))
def test_berlins_clock_changes_make_a_day_of_23_and_one_of_25_hours(year: int) -> None:
    """On the last Sundays of March and October; their neighbours have 24."""
    for month, hours in ((3, 23), (10, 25)):
        last = date(year, month, 31)
        sunday = (last - timedelta(days=last.isoweekday() % 7)).toordinal()
        lengths = [
            (end_of_day(day, BERLIN) - end_of_day(day - 1, BERLIN)) // HOUR
            for day in (sunday - 1, sunday, sunday + 1)
        ]
        assert lengths == [24, hours, 24]


@given(moments, st.integers(0, 400), st.sampled_from(ZONES))
def test_later_days_end_later(moment: int, days: int, time_zone: str) -> None:
    """Ends are in the order of their days."""
    day = day_of(moment, time_zone)
    assert end_of_day(day, time_zone) <= end_of_day(day + days, time_zone)
    assert end_of_day(day, time_zone) < end_of_day(day + days + 2, time_zone)


@given(st.text(st.characters(codec="utf-8")) | st.sampled_from([name + "/" for name in ZONES]))
def test_any_text_is_a_zone_or_a_value_error(name: str) -> None:
    """No name, whatever its characters, fails in another way."""
    try:
        found = zone(name)
    except ValueError:
        return
    assert found.key == name
