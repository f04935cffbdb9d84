"""Calendar days."""

from datetime import date

import pytest

from quota.periods import day_of, end_of_day, zone
from tests.support.charges import BERLIN, HOUR, berlin, utc


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def test_a_day_is_that_of_the_zones_wall_clock() -> None:
    """One moment belongs to different days in different zones."""
    moment = utc("2026-11-23 23:30")

    assert day_of(moment, "UTC") == day("2026-11-23")
    assert day_of(moment, BERLIN) == day("2026-11-24")
    assert day_of(moment, "Pacific/Kiritimati") == day("2026-11-24")
    assert day_of(moment, "Pacific/Pago_Pago") == day("2026-11-23")


def test_midnight_begins_the_day() -> None:
    """The millisecond before belongs to the day before."""
    midnight = berlin("2026-11-24 00:00")

    assert day_of(midnight, BERLIN) == day("2026-11-24")
    assert day_of(midnight - 1, BERLIN) == day("2026-11-23")
    assert end_of_day(day("2026-11-23"), BERLIN) == midnight


@pytest.mark.parametrize(
    ("text", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)]
)
def test_days_of_clock_changes_are_shorter_or_longer(text: str, hours: int) -> None:
    """Summer time takes an hour and gives one."""
    assert end_of_day(day(text), BERLIN) - end_of_day(day(text) - 1, BERLIN) == hours * HOUR


@pytest.mark.parametrize(
    ("time_zone", "text", "end"),
    [
        # Midnight does not exist: the clock goes from 24:00 to 01:00.
        ("America/Santiago", "2024-09-07", "2024-09-08 04:00"),
        ("Africa/Cairo", "2024-04-25", "2024-04-25 22:00"),
        ("Asia/Beirut", "2024-03-30", "2024-03-30 22:00"),
        # The last hour comes twice: the clock goes from 24:00 to 23:00.
        ("America/Santiago", "2024-04-06", "2024-04-07 04:00"),
        ("Africa/Cairo", "2024-10-31", "2024-10-31 22:00"),
        ("Asia/Beirut", "2024-10-26", "2024-10-26 22:00"),
        # The first hour comes twice: the clock goes from 01:00 to 00:00.
        ("America/Havana", "2024-11-02", "2024-11-03 04:00"),
        # A day that did not exist: Samoa changed sides of the date line.
        ("Pacific/Apia", "2011-12-29", "2011-12-30 10:00"),
    ],
)
def test_a_day_ends_where_the_next_one_begins(time_zone: str, text: str, end: str) -> None:
    """Also where the clock changes at midnight."""
    assert end_of_day(day(text), time_zone) == utc(end)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Europe/Bonn",
        "Europe",
        "europe",
        "Europe/",
        "/etc/localtime",
        "../etc/passwd",
        "Europe/../../etc/passwd",
        "UTC+1",
        "tzdata.zi",
        "\0",
        "x" * 5000,
        "Zürich",
    ],
)
def test_what_is_no_zone_is_a_value_error(name: str) -> None:
    """Directories, paths and other files are no zones either; the message has the name."""
    with pytest.raises(ValueError, match="no time zone: "):
        zone(name)


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "Etc/UTC", "America/Argentina/Buenos_Aires"])
def test_a_zone_is_found_by_its_iana_name(name: str) -> None:
    """The host's and the packaged data know the same names."""
    assert zone(name).key == name
