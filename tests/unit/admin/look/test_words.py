"""Words for what quota tells."""

from zoneinfo import ZoneInfo

import pytest

from admin.look.words import country, describe, override_object, shown_value, value_of, what_of
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import override


@pytest.mark.parametrize(
    ("code", "text"), [("US", "US (United States)"), ("XK", "XK (Kosovo)"), ("", "-"), ("\x1b1", "\\x1b1")]
)
def test_a_country_has_its_name(code: str, text: str) -> None:
    """What is no code is shown as it is, without control characters."""
    assert country(code) == text


@pytest.mark.parametrize(
    ("one", "kind", "value", "shown"),
    [
        (override(maximum=500), "limit", 500, "500"),
        (override(countries=["FR", "IT"]), "country", ["FR", "IT"], "FR,IT"),
        (override(lock=True), "lock", None, "-"),
        (pb.Override(), "-", None, "-"),
    ],
)
def test_an_override_is_one_of_three(one: pb.Override, kind: str, value: object, shown: str) -> None:
    """One of a newer quota is none of them."""
    assert (what_of(one), value_of(one), shown_value(one)) == (kind, value, shown)


def test_an_override_has_a_stable_form_for_programs() -> None:
    """Bytes in the one form of names, times in the services' zone."""
    one = override(b"\xff", maximum=500, until_unix_ms=1_800_000_000_000, reason="why")

    assert override_object(one, ZoneInfo("Europe/Berlin")) == {
        "account": "base64:/w==",
        "what": "limit",
        "value": 500,
        "until": "2027-01-15T09:00:00+01:00",
        "reason": "why",
        "who": "root@mail",
        "set": "2027-01-15T09:00:00+01:00",
    }


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (override(maximum=5, until_unix_ms=1_800_000_000_000), "limit 5 until 2027-01-15 09:00"),
        (override(countries=["FR", "IT"]), "country FR,IT"),
        (override(lock=True), "lock"),
    ],
)
def test_an_override_in_words(one: pb.Override, text: str) -> None:
    """For the line that a change prints."""
    assert describe(one, ZoneInfo("Europe/Berlin")) == text
