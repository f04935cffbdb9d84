"""HTTP's moments and delays."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from chassis.retry_after import retry_after_seconds, unix_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("120", 120),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 5000, None),
        ("\u0661", None),
        ("Mon, 23 Nov 1999 12:00:00 GMT", 0),
        ("Mon, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_a_delay_is_seconds_or_a_date(value: str | None, seconds: int | None) -> None:
    assert retry_after_seconds(value) == seconds


def test_a_date_is_so_far_away() -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    seconds = retry_after_seconds(when)

    assert seconds is not None
    assert 3590 <= seconds <= 3600


def test_a_moment_is_unix_seconds() -> None:
    assert unix_seconds("Mon, 23 Nov 2026 12:00:00 GMT") == 1_795_435_200.0
    assert unix_seconds(None) is None
    assert unix_seconds("now") is None
