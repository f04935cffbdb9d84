"""The text of a mail."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.settings import SettingsError
from quota.notify.notification import FIELDS, text_fields
from quota.notify.template import BUILT_IN, MAX_CHARACTERS, parse, read
from tests.support.notifications import HOST, notification

VALUES = text_fields(notification(), HOST)


def test_the_built_in_text_names_the_account_in_its_subject() -> None:
    subject, body = parse(BUILT_IN).fill(VALUES)

    assert subject == (
        "[mtpolicyd mail.example.org] alice@example.org is refused: over its limit (1000 of 1000)"
    )
    assert "used         1000 of 1000\n" in body
    assert "decision     kbtd6g2g79\n" in body


def test_subject_and_body_are_filled() -> None:
    """$$ is a dollar, ${name} a field with letters behind it."""
    template = parse("subject:  $kind of $account \n\n$used$$ of ${limit}s\nsince $since\n")

    assert template.fill(VALUES) == (
        "quota_refused of alice@example.org",
        "1000$ of 1000s\nsince 2026-11-23T12:00:00+01:00\n",
    )


def test_every_field_may_be_used() -> None:
    text = "Subject: all\n\n" + "\n".join(f"${name}" for name in FIELDS)
    _, body = parse(text).fill(VALUES)

    assert body == "\n".join(VALUES[name] for name in FIELDS) + "\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "first line does not begin with `Subject:`"),
        ("Hello\n\nbody", "first line does not begin with `Subject:`"),
        ("Subject:\n\nbody", "subject is empty"),
        ("Subject: a\x07b\n\nbody", "control characters"),
        ("Subject: a\nBcc: x@example.org\n\nbody", "second line is not empty"),
        ("Subject: $acount\n\n", r"line 1 names \$acount, which is no field; fields are id, kind"),
        ("Subject: a\n\nok\n${Account}", r"line 4 names \$Account, which is no field"),
        ("Subject: a\n\ncosts 5 $ a day", r"line 3 has a \$ that begins no field"),
        ("Subject: a\n\n" + "x" * MAX_CHARACTERS, "more than 65536 characters"),
    ],
)
def test_what_cannot_be_filled_is_refused(text: str, reason: str) -> None:
    """In one line."""
    with pytest.raises(ValueError, match=reason) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=400))
def test_any_text_is_taken_and_can_be_filled_or_is_refused(text: str) -> None:
    """Nothing is found wrong only when a mail is to be sent."""
    for candidate in (text, f"Subject: x\n\n{text}", f"Subject: {text}\n\n"):
        try:
            template = parse(candidate)
        except ValueError:
            continue
        subject, _ = template.fill(VALUES)
        assert subject
        assert len(subject) <= 200
        assert len(subject.splitlines()) == 1


def test_a_file_may_begin_with_a_byte_order_mark_and_have_crlf(tmp_path: Path) -> None:
    path = tmp_path / "template"
    path.write_bytes(b"\xef\xbb\xbfSubject: a\r\n\r\n$rule\r\n")

    assert read(path).fill(VALUES) == ("a", "quota\n")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read(tmp_path / "missing")
    assert read(None).fill(VALUES) == parse(BUILT_IN).fill(VALUES)
