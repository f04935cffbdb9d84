"""Lists with braces, times, and check_policy_service."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.doctor.lists import PolicyService, Restriction, restrictions, seconds, split_braced, strip_braces

VALUES = {"smtpd_policy_service_timeout": "100s", "smtpd_policy_service_default_action": "451 4.3.5 oops"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("a, b\tc\n d", ["a", "b", "c", "d"]),
        ("a { b, c } d", ["a", "{ b, c }", "d"]),
        ("a,{b,{c d},e}", ["a", "{b,{c d},e}"]),
        ("} a", ["}", "a"]),
        ("{ a", ["{ a"]),
    ],
)
def test_a_list_is_split_outside_of_braces(text: str, words: list[str]) -> None:
    """As mystrtokq(3) does."""
    assert split_braced(text) == words


@given(st.text(alphabet="ab{}, \t\n", max_size=30))
def test_any_list_is_split_and_nothing_is_lost(text: str) -> None:
    """Only separators go."""
    kept = "".join(split_braced(text))

    assert [char for char in kept if char not in ", \t\n"] == [char for char in text if char not in ", \t\n"]


@given(st.lists(st.text(alphabet="abc:=", min_size=1, max_size=5), max_size=6))
def test_words_come_back(words: list[str]) -> None:
    """A list that is joined and split is itself."""
    assert split_braced(", ".join(words)) == words


@pytest.mark.parametrize(
    ("text", "found"), [("10s", 10), ("100", 100), ("2m", 120), ("1h", 3600), ("x", None), ("", None)]
)
def test_times_have_units(text: str, found: float | None) -> None:
    """Seconds where none is named."""
    assert seconds(text) == found


def test_braces_are_stripped_once() -> None:
    """And only in pairs."""
    assert strip_braces("{ a b }") == "a b"
    assert strip_braces("{a") == "{a"


def test_the_plain_form_has_the_common_values() -> None:
    """100 s, and 451 while the service is away."""
    service = PolicyService.parse("inet:127.0.0.1:12345", VALUES)

    assert (service.endpoint, service.timeout) == ("inet:127.0.0.1:12345", 100)
    assert service.default_action == "451 4.3.5 oops"


def test_the_form_with_braces_has_its_own_values() -> None:
    """With blanks or commas, and values in braces."""
    text = "{inet:[::1]:12345,timeout=10s, { default_action = DEFER 4.3.0 later }}"
    service = PolicyService.parse(text, VALUES)

    assert (service.endpoint, service.timeout) == ("inet:[::1]:12345", 10)
    assert service.default_action == "DEFER 4.3.0 later"


def test_restrictions_take_their_arguments() -> None:
    """A bare table has no name; a class stays as it is written."""
    words = split_braced(
        "permit_mynetworks, Check_Policy_Service inet:a:1, hash:/t, sleep 1, Guard, reject_rbl_client x"
    )

    assert list(restrictions(words)) == [
        Restriction("permit_mynetworks"),
        Restriction("check_policy_service", "inet:a:1"),
        Restriction("", "hash:/t"),
        Restriction("sleep", "1"),
        Restriction("Guard"),
        Restriction("reject_rbl_client", "x"),
    ]
