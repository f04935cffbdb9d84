"""The mail as bytes, read back by the standard library."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from hypothesis import given
from hypothesis import strategies as st

from quota.notify.message import build
from quota.notify.notification import Notification, summary
from quota.notify.template import BUILT_IN, parse
from tests.support.notifications import HOST, notification

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
TO = ("admin@example.org", "second@example.org")
TEMPLATE = parse(BUILT_IN)


def built(told: Notification) -> bytes:
    return build(told, TEMPLATE, sender="mtpolicyd@example.org", recipients=TO, host=HOST, now=NOW)


def read(data: bytes) -> EmailMessage:
    message = message_from_bytes(data, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def test_a_mail_has_the_headers_that_it_must_have() -> None:
    """RFC 5322, and RFC 3834 against answers."""
    message = read(built(notification()))

    assert dict(message.items()) == {
        "From": "mtpolicyd@example.org",
        "To": "admin@example.org, second@example.org",
        "Subject": (
            "[mtpolicyd mail.example.org] alice@example.org is refused: over its limit (1000 of 1000)"
        ),
        "Date": "Mon, 23 Nov 2026 12:30:00 +0000",
        "Message-ID": "<0123456789abcdef0123456789abcdef@mail.example.org>",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
    }


def test_a_long_subject_begins_on_its_own_line() -> None:
    """Folded before its first word, as the library would, it looks empty in some readers."""
    assert b"\r\nSubject: [mtpolicyd mail.example.org] alice@example.org is refused: over" in built(
        notification()
    )


def test_a_repeat_has_the_same_message_id() -> None:
    """Another notification has another one."""
    first, again = read(built(notification())), read(built(notification()))
    other = read(built(notification(id="f" * 32)))

    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]


def test_an_encoded_word_in_a_login_is_not_decoded() -> None:
    """The library would take it for its own, and the line break in it for one of the header."""
    message = read(built(notification(account=b"=?utf-8?q?a=0D=0ABcc:_eve@example.net?=")))

    assert "Bcc" not in message
    assert "= ?utf-8?q?a=0D=0ABcc:_eve@example.net?= is refused" in message["Subject"]
    assert "account      =?utf-8?q?a=0D=0ABcc:_eve@example.net?=" in message.get_content()


logins = st.one_of(
    st.binary(max_size=600),
    st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(
        [
            b"a\r\nBcc: eve@example.net\r\n\r\nbody",
            b"=?utf-8?q?a=0ABcc:_eve?=",
            "\u2028Bcc: eve\u0085x\x0b\x0c".encode(),
            b"\x00" * 400,
            b". \r\n.\r\nMAIL FROM:<x>",
            b"$account ${limit} $$",
        ]
    ),
)


def same(subject: str, wanted: str) -> bool:
    """But for blanks, for its end, if it is long, and for what would be an encoded word."""
    subject, wanted = ("".join(text.split()) for text in (subject, wanted.replace("=?", "= ?")))
    return subject == wanted or (subject.endswith("...") and wanted.startswith(subject[:-4]))


@given(logins, st.text(max_size=80), st.text(max_size=80))
def test_a_login_adds_no_header_and_no_line(login: bytes, country: str, decision_id: str) -> None:
    """Same headers, same number of lines, lines of at most 998 bytes (RFC 5322, 2.1.1), 7-bit, CRLF."""
    told = notification(account=login, country=country, decision_id=decision_id)
    data = built(told)
    message, usual = read(data), read(built(notification()))

    assert message.keys() == usual.keys()
    assert {name: message[name] for name in ("From", "To", "Message-ID")} == {
        name: usual[name] for name in ("From", "To", "Message-ID")
    }
    assert len(message.get_content().splitlines()) == len(usual.get_content().splitlines())
    assert same(message["Subject"], f"[mtpolicyd {HOST}] {summary(told, HOST)}")
    assert data.startswith(b"From: mtpolicyd@example.org\r\n")
    assert b"\r\nSubject: " in data
    assert data.isascii()
    assert b"\x00" not in data
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert not message.defects


def test_a_name_in_another_script_can_be_read() -> None:
    message = read(built(notification(account="jürgen@müller.example".encode())))

    assert "jürgen@müller.example is refused" in message["Subject"]
    assert "account      jürgen@müller.example" in message.get_content().splitlines()
