"""Times as an admin writes them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.talk.times import MAX_UNIX_MS, TONIGHT, iso, minute, read_end, second
from quota.periods import day_of, end_of_day

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"]
# The end is at most a year away.
moments = st.integers(1_600_000_000_000, 4_000_000_000_000)


def at(text: str) -> int:
    """Unix milliseconds of a time of Berlin."""
    return round(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


NOW = at("2026-11-23 18:00:00.500")


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("tonight", "2026-11-24 00:00"),
        ("Tonight", "2026-11-24 00:00"),
        ("+90m", "2026-11-23 19:30:01"),
        ("+2h", "2026-11-23 20:00:01"),
        ("+3d", "2026-11-26 18:00:01"),
        ("+1w", "2026-11-30 18:00:01"),
        ("18:30", "2026-11-23 18:30"),
        ("2026-11-23", "2026-11-24 00:00"),
        ("2026-12-24", "2026-12-25 00:00"),
        ("2026-11-30T18:30", "2026-11-30 18:30"),
        ("2026-11-30 18:30:05", "2026-11-30 18:30:05"),
        ("2026-11-30T18:30+00:00", "2026-11-30 19:30"),
        (" 2026-11-30T18:30Z ", "2026-11-30 19:30"),
    ],
)
def test_an_end_is_read_in_the_zone_of_the_services(text: str, end: str) -> None:
    """A date is its whole day; what counts from now ends with a whole second."""
    assert read_end(text, now_unix_ms=NOW, zone=BERLIN) == at(end)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("17:59", "is in the past"),
        ("2026-11-22", "is in the past"),
        ("2026-11-23T18:00", "is in the past"),
        ("0001-01-01T00:00", "is in the past|is too far away"),
        ("9999-12-31", "is too far away"),
        ("+999999999w", "is too far away"),
        ("", "is no time; allowed: tonight"),
        ("never", "is no time"),
        ("2h", "is no time"),
        ("-2h", "is no time"),
        ("24:00", "is no time"),
        ("2026-02-30", "is no time"),
        ("20261130", "is no time"),
        ("2026-11-30T25:00", "is no time"),
        ("+٣h", "is no time"),
    ],
)
def test_what_is_no_end_is_refused(text: str, problem: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValueError, match=problem):
        read_end(text, now_unix_ms=NOW, zone=BERLIN)


@given(moments, st.sampled_from(ZONES))
def test_tonight_is_when_quota_ends_the_day(now: int, name: str) -> None:
    """In every zone, on days of every length."""
    end = read_end(TONIGHT, now_unix_ms=now, zone=ZoneInfo(name))

    assert end == end_of_day(day_of(now, name), name)
    assert now < end


@given(moments, moments, st.sampled_from(ZONES))
def test_what_is_written_is_read_again(now: int, end: int, name: str) -> None:
    """To the millisecond, also in the hour that comes twice."""
    zone = ZoneInfo(name)
    text = iso(end, zone)
    assert text is not None
    if end > now:
        assert read_end(text, now_unix_ms=now, zone=zone) == end
    else:
        with pytest.raises(ValueError, match="is in the past"):
            read_end(text, now_unix_ms=now, zone=zone)


@given(st.text(max_size=30), moments, st.sampled_from(ZONES))
def test_any_text_is_an_end_in_the_future_or_refused(text: str, now: int, name: str) -> None:
    """Nothing else happens."""
    try:
        end = read_end(text, now_unix_ms=now, zone=ZoneInfo(name))
    except ValueError:
        return
    assert now < end <= MAX_UNIX_MS


def test_times_are_shown_in_the_zone() -> None:
    """None is a dash, or nothing."""
    moment = round(datetime(2026, 11, 23, 17, 0, 5, tzinfo=UTC).timestamp() * 1000)

    assert (minute(moment, BERLIN), second(moment, BERLIN)) == ("2026-11-23 18:00", "2026-11-23 18:00:05 CET")
    assert (iso(moment, BERLIN), iso(moment + 7, BERLIN)) == (
        "2026-11-23T18:00:05+01:00",
        "2026-11-23T18:00:05.007+01:00",
    )
    assert (minute(0, BERLIN), second(0, BERLIN), iso(0, BERLIN)) == ("-", "-", None)


@pytest.mark.parametrize(
    ("utc", "offset", "name"), [("00:30:00.007", "+02:00", "CEST"), ("01:30:00.007", "+01:00", "CET")]
)
def test_the_hour_that_comes_twice_is_told_apart(utc: str, offset: str, name: str) -> None:
    """02:30 summer time is not 02:30 winter time, when the clocks go back."""
    moment = round(datetime.fromisoformat(f"2026-10-25T{utc}+00:00").timestamp() * 1000)

    assert iso(moment, BERLIN) == f"2026-10-25T02:30:00.007{offset}"
    assert second(moment, BERLIN) == f"2026-10-25 02:30:00 {name}"
    assert read_end(str(iso(moment, BERLIN)), now_unix_ms=NOW - 10**10, zone=BERLIN) == moment
