"""Mail through a real server."""

import asyncio
import ssl
import threading
import time
from pathlib import Path

import pytest

from chassis.settings import Address
from quota.notify import mail as module
from quota.notify.interface import NotDeliveredError, RefusedError, Tls
from quota.notify.mail import MailChannel, Relay
from tests.support.loops import in_uvloop
from tests.support.notifications import HOST, notification
from tests.support.ports import free_port
from tests.support.receivers import certificate, mail_server, scripted, silence

TO = ("admin@example.org", "second@example.org")


def channel(
    port: int,
    *,
    tls: Tls = Tls.OPPORTUNISTIC,
    user: str = "",
    password_file: Path | None = None,
    template: Path | None = None,
    seconds: float = 20.0,
) -> MailChannel:
    return MailChannel(
        Relay(Address("127.0.0.1", port), tls, user, password_file),
        sender="mtpolicyd@example.org",
        recipients=TO,
        template=template,
        host=HOST,
        total_seconds=seconds,
    )


async def failure(channel: MailChannel) -> NotDeliveredError:
    with pytest.raises(NotDeliveredError) as caught:
        await channel.deliver(notification())
    return caught.value


@in_uvloop
async def test_a_mail_arrives() -> None:
    """At all recipients, and the server's answer is told."""
    with mail_server() as server:
        answer = await channel(server.port).deliver(notification())

    (mail,) = server.mails
    assert answer == "2.0.0 Ok: queued as 4BFh"
    assert (mail.sender, mail.recipients) == ("mtpolicyd@example.org", list(TO))
    assert mail.hello == HOST
    assert mail.message["Subject"].startswith("[mtpolicyd mail.example.org] alice@example.org is refused")
    assert not mail.encrypted


async def test_a_mail_that_some_recipients_get_is_delivered() -> None:
    """Nobody gets it twice; who did not is told."""
    with mail_server() as server:
        server.recipient_replies = {TO[0]: "550 5.1.1 no such user"}
        answer = await channel(server.port).deliver(notification())

    assert [mail.recipients for mail in server.mails] == [[TO[1]]]
    assert answer.endswith("; not admin@example.org: 550 5.1.1 no such user")


async def test_recipients_that_are_all_unknown_are_for_ever() -> None:
    with mail_server() as server:
        server.recipient_replies = dict.fromkeys(TO, "550 5.1.1 no such user")
        with pytest.raises(RefusedError, match=r"550 admin@example.org: 5.1.1 no such user"):
            await channel(server.port).deliver(notification())


async def test_a_recipient_that_may_come_back_is_waited_for() -> None:
    """The other one is unknown: the mail waits for the one that is greylisted."""
    with mail_server() as server:
        server.recipient_replies = {TO[0]: "550 5.1.1 no", TO[1]: "450 4.7.1 greylisted"}
        assert str(await failure(channel(server.port))) == "450 second@example.org: 4.7.1 greylisted"


async def test_what_the_server_says_of_the_content_counts() -> None:
    """4xx: later, 5xx: never."""
    with mail_server() as server:
        server.replies = ["452 4.3.1 no room", "554 5.7.1 spam"]
        assert str(await failure(channel(server.port))) == "452 4.3.1 no room"
        with pytest.raises(RefusedError, match=r"554 5.7.1 spam"):
            await channel(server.port).deliver(notification())
    assert server.mails == []


@in_uvloop
async def test_starttls_is_taken_where_it_is_offered(tmp_path: Path) -> None:
    """Opportunistic: whoever has made the certificate."""
    context, _ = certificate(tmp_path)
    with mail_server(tls=context) as server:
        await channel(server.port).deliver(notification())
        await channel(server.port, tls=Tls.OFF).deliver(notification())

    assert [mail.encrypted for mail in server.mails] == [True, False]


async def test_required_wants_starttls() -> None:
    with mail_server() as server:
        error = await failure(channel(server.port, tls=Tls.REQUIRED))
    assert "STARTTLS" in str(error)
    assert server.mails == []


@in_uvloop
async def test_required_wants_a_trusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's, or those that SSL_CERT_FILE names."""
    context, certificates = certificate(tmp_path)
    with mail_server(tls=context) as server:
        error = await failure(channel(server.port, tls=Tls.REQUIRED))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
        await channel(server.port, tls=Tls.REQUIRED).deliver(notification())

    assert str(error) == "no trusted encryption: self-signed certificate"
    assert [mail.encrypted for mail in server.mails] == [True]


@in_uvloop
async def test_implicit_speaks_tls_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, certificates = certificate(tmp_path)
    with mail_server(implicit=context) as server:
        error = await failure(channel(server.port, tls=Tls.IMPLICIT))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
        await channel(server.port, tls=Tls.IMPLICIT).deliver(notification())

    assert str(error) == "no trusted encryption: self-signed certificate"
    assert len(server.mails) == 1


async def test_a_password_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    """One that was renewed is used; a wrong one is a failure that passes."""
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    with mail_server() as server:
        asked = channel(server.port, user=server.user, password_file=secret)
        error = await failure(asked)
        secret.write_text(f"{server.password}\n")
        await asked.deliver(notification())

    assert str(error).startswith("535 ")
    assert [mail.user for mail in server.mails] == ["notifier"]


async def test_without_its_password_nothing_is_sent(tmp_path: Path) -> None:
    with mail_server() as server:
        asked = channel(server.port, user="notifier", password_file=tmp_path / "missing")
        assert "No such file" in str(await failure(asked))
    assert server.mails == []


async def test_a_server_that_never_answers_is_left_after_the_time() -> None:
    with silence() as port:
        started = time.monotonic()
        assert str(await failure(channel(port, seconds=0.3))) == "no answer within 0.3 s"
    assert time.monotonic() - started < 5


async def test_a_port_where_nobody_listens_is_told() -> None:
    assert str(await failure(channel(free_port()))) == "no connection (Connection refused)"


async def test_a_name_that_is_not_found_is_told() -> None:
    asked = MailChannel(
        Relay(Address("relay.invalid", 25), Tls.OFF, "", None),
        sender="a@example.org",
        recipients=TO,
        template=None,
        host=HOST,
    )
    assert str(await failure(asked)) != ""


@pytest.mark.parametrize("banner", [b"554 5.3.2 not now\r\n", b"hello\r\n", b"\xff\x00\r\n", b""])
async def test_a_banner_that_is_none_is_waited_for(banner: bytes) -> None:
    """It says nothing of the mail."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)

    async with scripted(greet) as port:
        assert str(await failure(channel(port, seconds=5.0)))


async def test_a_mail_that_was_taken_is_delivered_though_the_server_hangs_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for the answer to QUIT."""
    monkeypatch.setattr(module, "QUIT_SECONDS", 0.1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        data = False
        while line := await reader.readline():
            if data:
                if line != b".\r\n":
                    continue
                data = False
            elif line.startswith(b"QUIT"):
                await reader.read()
                break
            elif line.startswith(b"DATA"):
                data = True
                writer.write(b"354 go on\r\n")
                continue
            writer.write(b"250 ok\r\n")

    async with scripted(talk) as port:
        assert await channel(port, seconds=10.0).deliver(notification()) == "ok"


async def test_the_template_is_read_each_time(tmp_path: Path) -> None:
    """One that is wrong by now is replaced by the built-in text."""
    template = tmp_path / "template"
    with mail_server() as server:
        for text in ("Subject: $kind\n\nx\n", "Subject: $nothing\n\nx\n"):
            template.write_text(text)
            await channel(server.port, template=template).deliver(notification())
        template.unlink()
        await channel(server.port, template=template).deliver(notification())

    subjects = [mail.message["Subject"] for mail in server.mails]
    assert subjects[0] == "quota_refused"
    assert all(subject.startswith("[mtpolicyd ") for subject in subjects[1:])


def test_the_receiver_is_named_without_the_user() -> None:
    assert channel(25, user="notifier").receiver == "admin@example.org, second@example.org by 127.0.0.1:25"


@in_uvloop
async def test_certificates_are_not_read_in_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes tens of milliseconds, in which no charge would be answered."""
    threads: list[threading.Thread] = []
    original = ssl.create_default_context

    def noted(purpose: ssl.Purpose) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return original(purpose)

    monkeypatch.setattr(ssl, "create_default_context", noted)
    context, _ = certificate(tmp_path)
    with mail_server(tls=context) as server:
        await channel(server.port).deliver(notification())

    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
