"""Fetching one address, from servers on loopback that do what servers do; every pause is short."""

import asyncio
import errno
import os
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import hdrs, web
from yarl import URL

from decision.geo_fetch import Bounds, Fetched, FetchError, NotThereError, _guard, fetch, session
from tests.support.ports import free_port
from tests.support.programs import require_program
from tests.support.publishers import NOVEMBER, Handler, Publisher, gives, publishing

SOON = Bounds(total_seconds=5, stall_seconds=0.3, bytes=100_000, retries=3, pause_seconds=0.01)
BASIC = "Basic MTIzNDU2OmtleQ=="
BODY = bytes(range(256)) * 100


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the machine is not asked."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


async def fetched(url: str, *, bounds: Bounds = SOON, **how: Any) -> tuple[Fetched | None, bytes]:
    """What was said and what was written."""
    into = BytesIO()
    async with session(bounds) as client:
        return await fetch(client, URL(url), into, bounds=bounds, **how), into.getvalue()


async def refusal(handler: Handler, *, bounds: Bounds = SOON, **how: Any) -> tuple[str, Publisher]:
    """The error without its address, which it begins with."""
    async with publishing(handler) as publisher:
        with pytest.raises(FetchError) as caught:
            await fetched(f"{publisher.url}/file", bounds=bounds, **how)
        start = f"{publisher.url}/file: "
        assert str(caught.value).startswith(start)
        return str(caught.value).removeprefix(start), publisher


# What is fetched


async def test_the_body_is_written_and_the_progress_told() -> None:
    """With the length that the server has named, and its Last-Modified."""
    told: list[tuple[int, int | None]] = []
    handler = gives(BODY, headers={"Last-Modified": "Sun, 01 Nov 2026 02:26:40 GMT"})
    async with publishing(handler) as publisher:
        said, body = await fetched(
            f"{publisher.url}/a?b=c", progress=lambda done, total: told.append((done, total))
        )

    assert (said, body) == (Fetched(NOVEMBER), BODY)
    assert told[0] == (0, len(BODY))
    assert told[-1] == (len(BODY), len(BODY))
    assert [one.path for one in publisher.asked] == ["/a?b=c"]


@pytest.mark.parametrize("value", [None, "yesterday", "Sun, 99 Nov 2026 02:26:40 GMT"])
async def test_without_a_last_modified_there_is_none(value: str | None) -> None:
    """Nor with one that is no date."""
    async with publishing(gives(b"x", headers={"Last-Modified": value} if value else None)) as publisher:
        assert await fetched(publisher.url) == (Fetched(None), b"x")


async def test_a_file_comes_as_it_is() -> None:
    """A server that calls a .gz file encoded does not have it unpacked on the way."""
    async with publishing(gives(b"\x1f\x8bnot unpacked", headers={"Content-Encoding": "gzip"})) as publisher:
        assert (await fetched(publisher.url))[1] == b"\x1f\x8bnot unpacked"


async def test_what_is_not_newer_is_not_fetched() -> None:
    """The server is told what is there (RFC 9110, 13.1.3)."""
    async with publishing(gives(b"", status=304)) as publisher:
        assert await fetched(publisher.url, newer_than_unix_seconds=NOVEMBER + 0.7) == (None, b"")
    assert publisher.asked[0].if_modified_since == "Sun, 01 Nov 2026 02:26:40 GMT"


async def test_304_without_a_question_is_an_error() -> None:
    """There would be no file."""
    text, _ = await refusal(gives(b"", status=304))
    assert text == "answers 304 instead of a file"


# Statuses


@pytest.mark.parametrize(
    ("status", "headers", "text"),
    [
        (401, {}, "the account id or the licence key is wrong; see the files that maxmind_account_id_file"),
        (403, {}, "access is refused"),
        (429, {"Retry-After": "3600"}, "too many downloads; try again in 3600 s"),
        (429, {}, "too many downloads; try again tomorrow"),
        (429, {"Retry-After": "1" * 5000}, "too many downloads; try again tomorrow"),
        (429, {"Retry-After": "later"}, "too many downloads; try again tomorrow"),
        (204, {}, "answers 204 instead of a file"),
        (302, {}, "answers 302 instead of a file"),
        (410, {}, "answers 410 instead of a file"),
    ],
)
async def test_an_answer_without_a_file_is_asked_for_once(
    status: int, headers: dict[str, str], text: str
) -> None:
    """Its status is told, with what it means."""
    error, publisher = await refusal(gives(b"", status=status, headers=headers))

    assert text in error
    assert error.startswith(f"answers {status}")
    assert len(publisher.asked) == 1


async def test_retry_after_may_be_a_date() -> None:
    """RFC 9110, 10.2.3; one that has passed is now."""
    for hours, least, most in ((1, 3500, 3600), (-1, 0, 0)):
        when = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
        error, _ = await refusal(gives(b"", status=429, headers={"Retry-After": when}))
        assert least <= int(error.split(" ")[-2]) <= most


async def test_404_can_be_told_from_the_others() -> None:
    """The month before may have a file."""
    async with publishing(gives(b"", status=404)) as publisher:
        with pytest.raises(NotThereError, match="there is no such file"):
            await fetched(publisher.url)
    assert len(publisher.asked) == 1


# What may pass


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_server_error_is_tried_again(status: int) -> None:
    """At most three times, with longer and longer pauses."""
    started = time.monotonic()
    error, publisher = await refusal(gives(b"", status=status))

    assert error == f"answers {status}, 4 times; try again later"
    assert len(publisher.asked) == 4
    assert time.monotonic() - started >= 0.07


async def test_what_came_before_a_retry_is_forgotten() -> None:
    """A half body and an error are followed by the whole."""
    answers = [half_a_body, gives(b"", status=500), gives(BODY)]

    async def handler(request: web.Request) -> web.StreamResponse:
        return await answers.pop(0)(request)

    async with publishing(handler) as publisher:
        assert (await fetched(publisher.url))[1] == BODY


async def half_a_body(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={hdrs.CONTENT_LENGTH: str(len(BODY))})
    await answer.prepare(request)
    await answer.write(BODY[:5000])
    assert request.transport is not None
    request.transport.abort()
    return answer


async def test_a_body_that_is_cut_short_is_an_error() -> None:
    """After the last try."""
    error, publisher = await refusal(half_a_body)

    assert error.endswith(", 4 times; try again later")
    assert "cut short" in error or "connection broke" in error
    assert len(publisher.asked) == 4


async def test_nobody_listens() -> None:
    """The system's reason is told."""
    port = free_port()
    with pytest.raises(FetchError) as caught:
        await fetched(f"http://127.0.0.1:{port}/file")
    where = f"127.0.0.1:{port}/file: no connection to 127.0.0.1 port {port}"
    assert str(caught.value) == f"http://{where} (Connection refused), 4 times; try again later"


async def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the DNS, or there is no DNS."""

    async def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(FetchError, match=r"the name download\.invalid is not found, 4 times"):
        await fetched("https://download.invalid/file")


async def test_a_server_that_hangs_is_given_up() -> None:
    """Before the first byte, and between two."""

    async def hang(request: web.Request) -> web.StreamResponse:
        if request.query_string:
            answer = web.StreamResponse()
            await answer.prepare(request)
            await answer.write(b"x")
        await asyncio.sleep(60)
        raise AssertionError

    bounds = SOON._replace(stall_seconds=0.1, retries=1)
    async with publishing(hang) as publisher:
        for query in ("", "?late"):
            with pytest.raises(FetchError, match=r"no answer within 0\.1 s, 2 times"):
                await fetched(f"{publisher.url}/{query}", bounds=bounds)


async def test_bytes_that_are_no_http_are_told() -> None:
    """Another service on the port."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail.example.org ESMTP\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FetchError, match="no valid HTTP"):
            await fetched(f"http://127.0.0.1:{port}")


# Size


async def test_a_length_that_is_too_large_is_not_fetched() -> None:
    """By the header; and by what comes, where there is none."""

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        while True:
            await answer.write(bytes(10_000))

    for handler in (gives(bytes(100_001)), endless):
        text, publisher = await refusal(handler)
        assert text == "more than 100000 bytes, which is no country data"
        assert len(publisher.asked) == 1
    async with publishing(gives(bytes(100_000))) as publisher:
        assert len((await fetched(publisher.url))[1]) == 100_000


async def test_a_full_disk_is_an_os_error_and_not_tried_again() -> None:
    """It is not the server's fault."""
    async with publishing(gives(BODY)) as publisher, session(SOON) as client:
        with pytest.raises(OSError, match="No space left"):
            await fetch(client, URL(publisher.url), Full(), bounds=SOON)
        assert len(publisher.asked) == 1


class Full(BytesIO):
    """A file without room."""

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Credentials and redirects


async def test_the_credentials_stay_with_the_first_server() -> None:
    """A redirect to another one is followed without them, one to the same with them."""
    async with publishing(gives(BODY)) as store:

        async def redirect(request: web.Request) -> web.StreamResponse:
            target = "/two" if request.path == "/one" else f"{store.url}/three?sig=a%2Fb"
            return web.Response(status=302, headers={hdrs.LOCATION: target})

        async with publishing(redirect) as publisher:
            said, body = await fetched(
                f"{publisher.url}/one", authorization=BASIC, newer_than_unix_seconds=NOVEMBER
            )

    assert (said, body) == (Fetched(None), BODY)
    assert [(one.path, one.authorization) for one in publisher.asked] == [("/one", BASIC), ("/two", BASIC)]
    (asked,) = store.asked
    assert (asked.path, asked.authorization) == ("/three?sig=a%2Fb", None)
    assert asked.if_modified_since is not None


async def test_a_netrc_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account that was asked for is the one that is used."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password one\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with publishing(gives(BODY)) as publisher:
        await fetched(publisher.url, authorization=BASIC)
    assert publisher.asked[0].authorization == BASIC


async def test_credentials_are_not_sent_in_clear() -> None:
    """Except to this host."""
    with pytest.raises(FetchError, match="the licence key is not sent without encryption; use https"):
        await fetched("http://mirror.example.org/file", authorization=BASIC)


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("/file", "more than 5 redirects"),
        ("ftp://127.0.0.1/secret", "redirects to something that is no web address"),
        ("http://[/secret", "redirects to something that is no web address"),
    ],
)
async def test_a_redirect_to_nowhere_is_told_without_its_address(location: str, text: str) -> None:
    """Such an address is signed."""
    error, _ = await refusal(gives(b"", status=302, headers={"Location": location}))

    assert error == text


@pytest.mark.parametrize("target", ["http://store.example.org/file", "http://example.org/file"])
async def test_what_began_encrypted_stays_so(target: str) -> None:
    """Also on the same host."""

    class Request:
        url = URL(target)

    async def sent(_: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
        raise AssertionError("nothing is sent")

    guard = _guard(URL("https://example.org/file"), BASIC)
    with pytest.raises(FetchError, match="redirects from https to http"):
        await guard(cast(aiohttp.ClientRequest, Request()), sent)


@pytest.fixture
def unsigned(tmp_path: Path) -> ssl.SSLContext:
    """A certificate that nobody has signed."""
    openssl = require_program("openssl", packages="openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_certificate_that_nobody_has_signed_is_told_once(unsigned: ssl.SSLContext) -> None:
    """It does not heal by another try, and nothing is sent."""
    connections = 0

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=unsigned) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/file"
        with pytest.raises(FetchError) as caught:
            await fetched(url, authorization=BASIC)

    assert str(caught.value) == f"{url}: no trusted encryption: self-signed certificate"
    assert connections == 0


async def test_a_server_without_encryption_is_told() -> None:
    """Where https was asked for."""
    async with publishing(gives(b"")) as publisher:
        with pytest.raises(FetchError, match="no trusted encryption"):
            await fetched(publisher.url.replace("http:", "https:"))
