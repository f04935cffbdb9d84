"""What a client sent, as it is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.printable import MAX_NAME_CHARACTERS, MAX_VALUE_CHARACTERS, Name, printable


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a" * 256, "a" * 256),
        ("a" * 257, "a" * 253 + "..."),
        (b"a" * 100_000, "a" * 253 + "..."),
        ("\0" * 64, "\\x00" * 64),
        ("\0" * 65, ("\\x00" * 64)[:253] + "..."),
    ],
)
def test_a_long_value_is_cut(value: str | bytes, shown: str) -> None:
    """At 256 characters, escapes counted, and the cut is marked."""
    assert printable(value) == shown


@given(st.one_of(st.text(max_size=2000), st.binary(max_size=2000)))
def test_no_value_is_longer_than_the_bound(value: str | bytes) -> None:
    """And none holds a character that is not printable ASCII."""
    shown = printable(value)

    assert len(shown) <= MAX_VALUE_CHARACTERS == 256
    assert shown.isascii()
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a" * 320, "a" * 320),
        ("\U0001f600".encode() * 80, "\\U0001f600" * 80),
        ("ü".encode() * 160, "\\xfc" * 160),
        (b"\xff\x00", "base64:/wA="),
        (b"a\\b", "a\\b"),
    ],
)
def test_a_login_is_shown_whole(name: bytes, shown: str) -> None:
    """With 320 bytes, of any kind."""
    assert printable(Name(name)) == shown


@given(st.binary(max_size=320), st.binary(max_size=2000))
def test_a_login_has_a_bound_of_its_own(name: bytes, longer: bytes) -> None:
    """Which none of 320 bytes reaches."""
    assert not printable(Name(name)).endswith("...") or name.endswith(b"...")
    assert len(printable(Name(longer))) <= MAX_NAME_CHARACTERS
    assert printable(Name(longer)).isprintable()
    assert printable(Name(longer)).isascii()
