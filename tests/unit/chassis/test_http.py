"""The metrics port."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import aiohttp
import pytest

from chassis import http
from chassis.http import MAX_CONNECTIONS, MAX_REQUEST_BYTES, metrics_server
from chassis.settings import Address
from tests.support.observed import Observed
from tests.support.ports import free_port

AddressMaker = Callable[[Path], Address]

everywhere = pytest.mark.parametrize(
    "make",
    [
        lambda _: Address("127.0.0.1", free_port()),
        lambda _: Address("::1", free_port()),
        lambda directory: Address("", 0, str(directory / "metrics.sock")),
    ],
    ids=["IPv4", "IPv6", "UNIX socket"],
)


async def fetch(address: Address, path: str, *, method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and body."""
    connector = aiohttp.UnixConnector(address.path) if address.path else aiohttp.TCPConnector()
    host = "localhost" if address.path else str(address)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request(method, f"http://{host}{path}") as answer,
    ):
        return answer.status, answer.content_type, await answer.text()


@everywhere
async def test_health_is_answered(make: AddressMaker, tmp_path: Path) -> None:
    """As long as the event loop runs."""
    address = make(tmp_path)
    async with metrics_server(address, Observed().metrics, asyncio.Event()):
        assert await fetch(address, "/healthz") == (200, "text/plain", "ok\n")


@everywhere
async def test_metrics_are_answered(make: AddressMaker, tmp_path: Path) -> None:
    """Those of the registry, in Prometheus' text format."""
    address = make(tmp_path)
    seen = Observed()
    seen.metrics.counter("things_total", "Things.", kind=["a", "b"]).labels("b").inc(3)
    async with metrics_server(address, seen.metrics, asyncio.Event()):
        status, content_type, text = await fetch(address, "/metrics")

    assert (status, content_type) == (200, "text/plain")
    assert [line for line in text.splitlines() if "things" in line] == [
        "# HELP mtpolicyd_things_total Things.",
        "# TYPE mtpolicyd_things_total counter",
        'mtpolicyd_things_total{kind="a"} 0.0',
        'mtpolicyd_things_total{kind="b"} 3.0',
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/metrics/x", 404), ("POST", "/healthz", 405)]
)
async def test_nothing_else_is_answered(method: str, path: str, status: int) -> None:
    """There is nothing to change and nothing else to see."""
    address = Address("127.0.0.1", free_port())
    async with metrics_server(address, Observed().metrics, asyncio.Event()):
        assert (await fetch(address, path, method=method))[0] == status


async def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    """After a kill the path is still there."""
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    address = Address("", 0, str(path))
    async with metrics_server(address, Observed().metrics, asyncio.Event()):
        assert (await fetch(address, "/healthz"))[0] == 200


async def test_an_address_in_use_is_an_error() -> None:
    """And the one who has it keeps it."""
    address = Address("127.0.0.1", free_port())
    async with metrics_server(address, Observed().metrics, asyncio.Event()):
        with pytest.raises(OSError, match="address already in use"):
            async with metrics_server(address, Observed().metrics, asyncio.Event()):
                pass
        assert (await fetch(address, "/healthz"))[0] == 200


async def test_the_port_is_free_afterwards() -> None:
    """Nobody answers, and the next one may listen."""
    address = Address("127.0.0.1", free_port())
    async with metrics_server(address, Observed().metrics, asyncio.Event()):
        pass
    with pytest.raises(aiohttp.ClientConnectorError):
        await fetch(address, "/healthz")
    async with metrics_server(address, Observed().metrics, asyncio.Event()):
        assert (await fetch(address, "/healthz"))[0] == 200


async def answer_to(address: Address, data: bytes) -> bytes:
    """All that is said to these bytes until the connection is closed, by an end or by a reset."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    answer = b""
    try:
        writer.write(data)
        while part := await reader.read(65536):
            answer += part
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return answer


@pytest.mark.parametrize(
    ("data", "beginning", "end"),
    [
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n"),
        (b"GET /healthz?x=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"\r\n\r\nok\n"),
        (b"GET /healthz HTTP/1.1\r\n\r\n" * 100, b"HTTP/1.1 200 OK\r\n", b"\r\n\r\nok\n"),
        (b"GET /healthz\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n", b"\n"),
        (b"\xff\0\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n", b"\n"),
        (b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 2 * MAX_REQUEST_BYTES, b"", b""),
        (b"X: x\r\n" * MAX_REQUEST_BYTES, b"", b""),
    ],
    ids=["HEAD", "1.0", "pipelined", "0.9", "senseless", "a long line", "many lines"],
)
async def test_a_connection_has_one_answer_at_most(data: bytes, beginning: bytes, end: bytes) -> None:
    """Then it is closed, and what else it has sent is not read."""
    address = Address("127.0.0.1", free_port())
    async with metrics_server(address, Observed().metrics, asyncio.Event()):
        answer = await asyncio.wait_for(answer_to(address, data), 5)

    assert answer.startswith(beginning)
    assert answer.endswith(end)
    assert answer.count(b"HTTP/1.1") == (1 if beginning else 0)


async def test_those_that_wait_longest_give_way() -> None:
    """However many connect and send nothing, who asks is answered, and few descriptors are held."""
    address = Address("127.0.0.1", free_port())
    idle = [socket.socket() for _ in range(5 * MAX_CONNECTIONS)]
    async with metrics_server(address, Observed().metrics, asyncio.Event()):
        with ExitStack() as stack:
            for sock in idle:
                stack.enter_context(sock).setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
            assert (await fetch(address, "/healthz"))[0] == 200
            await asyncio.sleep(0.1)

            assert len([sock for sock in idle if is_open(sock)]) < MAX_CONNECTIONS
            assert is_open(idle[-1])


def is_open(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


async def test_a_slow_one_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that sends half a request, nor one that does not read."""
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.1)
    address = Address("127.0.0.1", free_port())
    seen = Observed()
    seen.metrics.counter("things_total", "x" * 20_000_000)
    async with metrics_server(address, seen.metrics, asyncio.Event()):
        assert await asyncio.wait_for(answer_to(address, b"GET /metrics"), 5) == b""
        loop = asyncio.get_running_loop()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, (address.host, address.port))
            deaf.send(b"GET /metrics HTTP/1.1\r\n\r\n")
            await asyncio.sleep(0.5)
            # What the system had taken by then comes still, and no more.
            received = 0
            with suppress(ConnectionError):
                while part := await asyncio.wait_for(loop.sock_recv(deaf, 1_000_000), 5):
                    received += len(part)
    assert received < 20_000_000


async def test_a_service_is_ready_when_its_start_is_over() -> None:
    """It is alive before; the answer names the process."""
    address, ready = Address("127.0.0.1", free_port()), asyncio.Event()
    async with metrics_server(address, Observed().metrics, ready):
        before = (await fetch(address, "/readyz"))[0]
        ready.set()
        status, *_, body = await fetch(address, "/readyz")

    assert (before, status) == (503, 200)
    assert str(os.getpid()) in str(body)
