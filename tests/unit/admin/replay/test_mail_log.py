"""The mails of users in a log of Postfix."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from admin.replay import mail_log as module
from admin.replay.mail_log import WAIT_MS, MailLog
from decision.record_format import RecordedRequest
from decision.verdict import Stage
from tests.support.charges import BERLIN, berlin

CORPUS = Path(__file__).with_name("mail.log")
WRITTEN = berlin("2027-01-01 00:10") / 1000


def read(*lines: str, written: float = WRITTEN) -> list[RecordedRequest]:
    """All requests of a log."""
    log = MailLog(BERLIN)
    found = [request for line in lines for request in log.read(line.encode("latin-1"), written)]
    return [*found, *log.rest()]


def smtpd(more: str, *, time: str = "Jan  1 00:00:00", queue_id: str = "ABC123") -> str:
    return f"{time} mail postfix/submission/smtpd[1]: {queue_id}: client=h[192.0.2.1], {more}\n"


def test_the_corpus_is_read() -> None:
    """Login, client, recipients, sender, time of each message of a user, in the order of the queue."""
    requests = read(*CORPUS.read_text().splitlines(keepends=True))

    assert [
        (
            request.event.login.decode(),
            request.event.client_address.decode(),
            request.event.recipient_count,
            request.event.sender.decode(),
            f"{datetime.fromtimestamp(request.time_unix_ms / 1000, ZoneInfo(BERLIN)):%Y-%m-%d %H:%M:%S}",
        )
        for request in requests
    ] == [
        ("alice@example.org", "84.128.0.1", 3, "alice@example.org", "2026-12-31 23:58:02"),
        ("proxied", "84.128.0.2", 1, "", "2026-12-31 23:58:07"),
        ("bob smith", "2001:4860:4860::8888", 12, "bob@example.org", "2026-12-31 23:58:03"),
        (
            "dave@example.org",
            "127.0.0.1",
            2,
            "a, size=1, nrcpt=9 (queue active)@example.org",
            "2027-01-01 00:00:03",
        ),
        ("alice@example.org", "84.128.0.1", 1, "", "2027-01-01 00:00:05"),
        ("odd", "203.0.113.7", 1, "", "2027-01-01 00:00:02"),
        ("aborted", "84.128.0.1", 1, "", "2027-01-01 00:00:08"),
    ]


def test_a_message_is_one_request_at_its_end() -> None:
    """With nothing that a log does not know."""
    (request,) = read(smtpd("sasl_method=PLAIN, sasl_username=Alice"))

    assert request.event.stage is Stage.END_OF_MESSAGE
    assert (request.event.account, request.event.instance) == (b"alice", b"")
    assert (request.origin, request.hashed, request.verb) == (None, False, "")


@pytest.mark.parametrize(
    ("more", "login"),
    [
        ("sasl_method=PLAIN, sasl_username=a b", b"a b"),
        ("sasl_method=PLAIN, sasl_username=a, b", b"a, b"),
        ("sasl_method=PLAIN, sasl_username=a, sasl_sender=b@c, orig_queue_id=1", b"a"),
        ("sasl_method=PLAIN, sasl_username=a, orig_client=b[1.2.3.4]", b"a"),
        ("sasl_username=a", b"a"),
        ("sasl_method=, sasl_username= a ", b" a "),
        ("sasl_method=PLAIN, sasl_username=\xe4", "ä".encode("latin-1")),
        ("sasl_method=PLAIN, sasl_username=x: client=y[8.8.8.8], sasl_username=z", None),
    ],
)
def test_a_login_may_hold_almost_anything(more: str, login: bytes | None) -> None:
    """It ends at the end of the line, or where Postfix's next attribute begins."""
    (request,) = read(smtpd(more))

    assert request.event.login == (more.partition("sasl_username=")[2].encode() if login is None else login)
    assert request.event.client_address == b"192.0.2.1"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense postfix/smtpd[1]: A: client=h[192.0.2.1], sasl_username=a", "no line of syslog"),
        (smtpd("sasl_method=PLAIN, sasl_username="), "without a login"),
        ("Jan  1 00:00:00 mail postfix/smtpd[1]: A: client=h, sasl_username=a", "not as Postfix writes it"),
        (smtpd("sasl_username=a", time="Jan 32 00:00:00"), "day is out of range"),
        (smtpd("sasl_username=a", time="Feb 30 00:00:00"), "day is out of range"),
        (smtpd("sasl_username=a", time="Foo  1 00:00:00"), "no month"),
        (smtpd("sasl_username=a", time="Jan  1 24:00:00"), "hour must be"),
        (smtpd("sasl_username=a", time="Jan  1 ::::::::"), "invalid literal"),
        (smtpd("sasl_username=a", time="2027-13-01T00:00:00Z"), "month must be"),
    ],
)
def test_a_line_of_a_user_that_cannot_be_read_is_said(line: str, reason: str) -> None:
    """With a ValueError; the log is read on."""
    with pytest.raises(ValueError, match=reason):
        read(line)


@pytest.mark.parametrize(
    ("time", "written", "expected"),
    [
        ("Dec 31 23:59:59", "2027-01-01 00:00", "2026-12-31 23:59:59"),
        ("Jan  1 00:00:00", "2027-01-01 00:00", "2027-01-01 00:00"),
        ("Jun  1 12:00:00", "2027-01-01 00:00", "2026-06-01 12:00"),
        # A clock that was a little ahead.
        ("Jan  1 00:00:05", "2027-01-01 00:00", "2027-01-01 00:00:05"),
        ("Jan  3 00:00:00", "2027-01-01 00:00", "2026-01-03 00:00"),
        ("Feb 29 12:00:00", "2027-03-01 00:00", "2024-02-29 12:00"),
        ("Feb 29 12:00:00", "2103-03-01 00:00", "2096-02-29 12:00"),
        ("Jul  1 12:00:00", "2026-07-01 12:00", "2026-07-01 12:00"),
    ],
)
def test_a_time_without_a_year_is_not_in_the_future(time: str, written: str, expected: str) -> None:
    """Seen from the moment when the file was written last."""
    (request,) = read(smtpd("sasl_username=a", time=time), written=berlin(written) / 1000)

    assert request.time_unix_ms == berlin(expected)


def test_a_queue_id_that_is_used_again_is_another_message() -> None:
    """The first one is not lost."""
    requests = read(smtpd("sasl_username=a"), smtpd("sasl_username=b"))

    assert [request.event.login for request in requests] == [b"a", b"b"]


def test_what_never_reaches_the_queue_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for more than an hour of the log, nor in any number."""
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    log = MailLog(BERLIN)

    def given(number: int, time: str) -> list[bytes]:
        line = smtpd(f"sasl_username=u{number}", time=time, queue_id=f"Q{number}").encode()
        return [request.event.login for request in log.read(line, WRITTEN)]

    assert WAIT_MS == 3_600_000
    assert [given(number, "Dec 31 12:00:00") for number in range(4)] == [[], [], [], [b"u0"]]
    assert given(4, "Dec 31 13:00:01") == [b"u1", b"u2", b"u3"]
    assert [request.event.login for request in log.rest()] == [b"u4"]


def test_the_first_time_of_a_log_is_that_of_any_line() -> None:
    """To know which of two logs is older."""
    log = MailLog(BERLIN)

    assert log.first_unix_ms(b"Jan  1 00:00:00 mail systemd[1]: x", WRITTEN) == berlin("2027-01-01 00:00")
    assert log.first_unix_ms(b"Foo  1 00:00:00 mail systemd[1]: x", WRITTEN) is None
    assert log.first_unix_ms(b"nothing", WRITTEN) is None
