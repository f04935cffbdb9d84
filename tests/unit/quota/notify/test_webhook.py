"""The webhook with a real web server."""

import asyncio
import hashlib
import hmac
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from yarl import URL

from quota.notify.interface import NotDeliveredError, RefusedError
from quota.notify.webhook import WebhookChannel, sign
from tests.support.effort import STANDSTILL
from tests.support.loops import in_uvloop
from tests.support.notifications import HOST, notification
from tests.support.ports import free_port
from tests.support.receivers import scripted, silence, web_server

SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own is no part of a test."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def channel(url: str, *, secret_file: Path | None = None, seconds: float = 20.0) -> WebhookChannel:
    return WebhookChannel(
        URL(url), secret_file=secret_file, host=HOST, total_seconds=seconds, clock=lambda: 1_795_000_000.7
    )


async def failure(channel: WebhookChannel) -> NotDeliveredError:
    with pytest.raises(NotDeliveredError) as caught:
        await channel.deliver(notification())
    return caught.value


@in_uvloop
async def test_a_notification_arrives_as_json() -> None:
    """With its id in a header too."""
    with web_server() as server:
        answer = await channel(server.url).deliver(notification())

    (request,) = server.requests
    assert answer == "HTTP 204 No Content"
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Idempotency-Key"] == notification().id == request.json["id"]
    assert request.headers["User-Agent"].startswith("univention-mtpolicyd/")
    assert "X-Mtpolicyd-Signature" not in request.headers
    assert request.json["account"] == "alice@example.org"


@in_uvloop
async def test_a_repeat_can_be_told() -> None:
    """Same id, same body."""
    with web_server() as server:
        for _ in range(2):
            await channel(server.url).deliver(notification())

    first, again = server.requests
    assert first.body == again.body
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]


async def test_the_signature_is_of_timestamp_and_body(tmp_path: Path) -> None:
    """As a receiver would check it."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    with web_server() as server:
        await channel(server.url, secret_file=secret).deliver(notification())

    (request,) = server.requests
    signed = request.headers["X-Mtpolicyd-Timestamp"].encode() + b"." + request.body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["X-Mtpolicyd-Signature"] == f"sha256={expected}"
    assert request.headers["X-Mtpolicyd-Timestamp"] == "1795000000"


def test_a_signature_is_what_openssl_makes() -> None:
    """printf '%s' '1795000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef"""
    assert sign(SECRET, "1795000000", b"{}") == (
        "sha256=0e41ae18dec0c98f9ccccdfc9da1d6b897e12bde7815a6055d8739af8b38df59"
    )


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("short", "has less than 16 bytes")])
async def test_what_is_to_be_signed_is_not_sent_without(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    """And nothing of the secret is told."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    with web_server() as server:
        error = await failure(channel(server.url, secret_file=secret))

    assert reason in str(error)
    assert "short" not in str(error)
    assert server.requests == []


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_2xx_is_delivered(status: int) -> None:
    with web_server() as server:
        server.answers = [(status, {})]
        assert (await channel(server.url).deliver(notification())).startswith(f"HTTP {status}")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422])
async def test_4xx_is_for_ever(status: int) -> None:
    with web_server() as server:
        server.answers = [(status, {})]
        with pytest.raises(RefusedError, match=f"^HTTP {status}"):
            await channel(server.url).deliver(notification())


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_waited_for(status: int) -> None:
    with web_server() as server:
        server.answers = [(status, {})]
        error = await failure(channel(server.url))

    assert str(error).startswith(f"HTTP {status}")
    assert error.retry_after_seconds is None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """The logins of a notification are for the server that was named."""
    with web_server() as server:
        server.answers = [(status, {"Location": "/elsewhere"})]
        assert str(await failure(channel(server.url))).startswith(f"HTTP {status}")
    assert [request.path for request in server.requests] == ["/hook"]


async def test_a_receiver_may_ask_for_a_pause() -> None:
    """In seconds, or until a date; what is neither is nothing."""
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    with web_server() as server:
        for header, least, most in (("30", 30, 30), (when, 90, 100)):
            server.answers = [(503, {"Retry-After": header})]
            asked = (await failure(channel(server.url))).retry_after_seconds
            assert asked is not None
            assert least <= asked <= most
        server.answers = [(429, {"Retry-After": "soon"})]
        assert (await failure(channel(server.url))).retry_after_seconds is None


@in_uvloop
async def test_a_server_that_never_answers_is_left_after_the_time() -> None:
    with silence() as port:
        started = time.monotonic()
        error = await failure(channel(f"http://127.0.0.1:{port}/", seconds=0.3))
    assert str(error) == "no answer within 0.3 s"
    assert time.monotonic() - started < 5


@in_uvloop
async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    """The status says it all."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
        await reader.read()

    async with scripted(drip) as port:
        assert await channel(f"http://127.0.0.1:{port}/").deliver(notification()) == "HTTP 200 OK"


@pytest.mark.usefixtures("noticed_standstills")
@in_uvloop
async def test_provisional_answers_without_end_hold_nobody_up() -> None:
    """The event loop, which answers charges, has other turns between them (RFC 9110, 15.2)."""

    def flood(server: socket.socket) -> None:
        with server.accept()[0] as sock, suppress(ConnectionError):
            while True:
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        flooding = threading.Thread(target=flood, args=(server,))
        flooding.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        delivery = asyncio.create_task(failure(channel(url, seconds=1)))
        longest = 0.0
        while not delivery.done():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)
        assert str(await delivery) == "no answer within 1 s"
        flooding.join(10)
    assert longest < 0.3 + STANDSTILL.longest


async def test_a_port_where_nobody_listens_is_told() -> None:
    error = await failure(channel(f"http://127.0.0.1:{free_port()}/token"))

    assert str(error) == "no connection (Connection refused)"


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", b"", b"HTTP/1.1 999999 x\r\n\r\n"])
async def test_what_is_no_http_is_told_without_the_address(answer: bytes) -> None:
    """Its path may hold a token."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with scripted(talk) as port:
        error = await failure(channel(f"http://127.0.0.1:{port}/token"))

    assert "token" not in str(error)
    assert str(error).startswith("no HTTP answer")


async def test_a_reason_is_one_printable_line() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write("HTTP/1.1 503 n\xf6 \x1b[31m\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))

    async with scripted(talk) as port:
        error = await failure(channel(f"http://127.0.0.1:{port}/"))

    assert str(error).isprintable()
    assert str(error).isascii()


def test_the_receiver_is_named_without_the_path() -> None:
    assert channel("https://hooks.example.org/token?x=y").receiver == "https://hooks.example.org"
