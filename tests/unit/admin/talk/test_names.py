"""Names of any bytes: shown, typed, and written to files."""

import csv
import io
import json
import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from admin.talk.names import account_from, as_bytes, has_controls, plain, reason_from
from chassis.printable import as_text
from decision.account import account_of
from quota.admin_messages import MAX_ACCOUNT_BYTES, MAX_REASON


@given(st.binary(max_size=400) | st.text(max_size=320).map(str.encode))
@example(b"base64:YWxpY2U=")
@example(b"--\x1b[2J \xff")
@example(b"=cmd|' /C calc'!A0")
def test_every_name_comes_back_whatever_it_goes_through(name: bytes) -> None:
    """The command line, CSV and JSON; and nothing in it moves a terminal's cursor."""
    text = as_text(name)
    out = io.StringIO()
    csv.writer(out).writerow([text, "x"])

    assert text.isprintable()
    assert as_bytes(text) == name
    assert shlex.split(shlex.quote(text)) == [text]
    assert as_bytes(json.loads(json.dumps(text))) == name
    assert next(csv.reader(io.StringIO(out.getvalue())))[0] == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"alice@example.org", "alice@example.org"),
        ("müller ß".encode(), "müller ß"),
        (b"", ""),
        (b"caf\xe9", "base64:Y2Fm6Q=="),
        (b"a\nb", "base64:YQpi"),
        ("a\u202eb".encode(), "base64:YeKArmI="),
        (b"base64:x", "base64:YmFzZTY0Ong="),
    ],
)
def test_text_stays_text(name: bytes, text: str) -> None:
    """Where it is printable; a direction mark is not."""
    assert as_text(name) == text


def test_bytes_of_the_command_line_are_taken_as_they_are() -> None:
    """Python hands them on as surrogates."""
    assert as_bytes("caf\udce9") == b"caf\xe9"


@pytest.mark.parametrize("text", ["base64:?", "base64:YQ", "\ud800"])
def test_what_names_nothing_is_refused(text: str) -> None:
    """With ValueError."""
    with pytest.raises(ValueError, match=r"no Base64 stands behind|no text"):
        as_bytes(text)


@given(
    st.text(min_size=1, max_size=100).filter(lambda text: not has_controls(text.encode("utf-8", "replace")))
)
def test_an_account_is_named_as_decision_names_it(text: str) -> None:
    """Whatever way it is written."""
    try:
        name = as_bytes(text)
    except ValueError:
        return
    assert account_from(text) == account_of(name)
    assert account_from(as_text(name)) == account_of(name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("base64:", "is empty"),
        ("a\nb", "control characters are in the name; if they are meant: base64:YQpi"),
        ("a\x7f", "control characters"),
        ("a\x9b", "control characters"),
        ("x" * (MAX_ACCOUNT_BYTES + 1), "has at most"),
    ],
)
def test_a_name_that_cannot_be_meant_is_refused(text: str, problem: str) -> None:
    """With what is wrong."""
    with pytest.raises(ValueError, match=problem):
        account_from(text)


def test_a_login_with_control_characters_that_has_sent_can_be_named() -> None:
    """As it is shown."""
    assert account_from(as_text(b"Evil\x1b")) == b"evil\x1b"


@pytest.mark.parametrize(
    ("text", "problem"),
    [("x" * (MAX_REASON + 1), "at most"), ("a\tb", "control characters"), ("\udcff", "no UTF-8")],
)
def test_a_reason_is_one_line_of_text(text: str, problem: str) -> None:
    """Of a bounded length."""
    with pytest.raises(ValueError, match=problem):
        reason_from(text)
    assert reason_from(" journey to Köln ") == "journey to Köln"


@given(st.text())
def test_words_of_a_service_are_one_printable_line(text: str) -> None:
    """Printable ones are not changed."""
    assert plain(text).isprintable()
    assert plain(text) == text or not text.isprintable()
