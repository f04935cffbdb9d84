"""The gRPC server and its health, and the channel to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.errors import StartError
from chassis.grpc_server import MAX_MESSAGE_BYTES, grpc_server, open_channel
from chassis.settings import Address
from protos import decision_pb2 as pb
from protos.decision_pb2_grpc import DecisionServicer, DecisionStub, add_DecisionServicer_to_server
from tests.support.ports import free_port

SERVICE = "mtpolicyd.decision.v1.Decision"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
AddressMaker = Callable[[Path], Address]

everywhere = pytest.mark.parametrize(
    "make",
    [
        lambda _: Address("127.0.0.1", free_port()),
        lambda _: Address("::1", free_port()),
        lambda directory: Address("", 0, str(directory / "grpc.sock")),
    ],
    ids=["IPv4", "IPv6", "UNIX socket"],
)


class Decision(DecisionServicer):
    """Answers with the question's id; a stream lasts until `end` is set."""

    def __init__(self) -> None:
        self.end = asyncio.Event()

    async def Decide(self, request: pb.Question, context: object) -> pb.Answer:
        return pb.Answer(id=request.id)

    async def DecideStream(  # type: ignore[override]
        self, request_iterator: object, context: grpc.aio.ServicerContext[pb.Questions, pb.Answers]
    ) -> None:
        await context.write(pb.Answers())
        await self.end.wait()
        await context.write(pb.Answers(items=[pb.Answer(id=1)]))


async def nothing() -> None:
    """There are no streams."""


@asynccontextmanager
async def serving(
    address: Address, decision: Decision | None = None, *, drain: Callable[[], Awaitable[None]] = nothing
) -> AsyncIterator[None]:
    servicer = decision or Decision()
    async with grpc_server(
        address,
        service=SERVICE,
        register=lambda server: add_DecisionServicer_to_server(servicer, server),
        drain=drain,
    ):
        yield


@asynccontextmanager
async def channel(address: Address) -> AsyncIterator[grpc.aio.Channel]:
    opened = open_channel(address)
    try:
        yield opened
    finally:
        await opened.close()


async def health(to: grpc.aio.Channel, service: str) -> int:
    """The status that grpc.health.v1 tells."""
    # Its published types lack the methods.
    stub: Any = health_pb2_grpc.HealthStub(to)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    return int(answer.status)


@everywhere
async def test_server_and_channel_take_the_same_address(make: AddressMaker, tmp_path: Path) -> None:
    """Whatever its form."""
    address = make(tmp_path)
    async with serving(address), channel(address) as to:
        assert await DecisionStub(to).Decide(pb.Question(id=7), timeout=5) == pb.Answer(id=7)


async def test_health_is_told_for_the_server_and_for_the_service(tmp_path: Path) -> None:
    """A name that is not served is not found."""
    address = Address("", 0, str(tmp_path / "grpc.sock"))
    async with serving(address), channel(address) as to:
        assert [await health(to, name) for name in ("", SERVICE)] == [SERVING, SERVING]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health(to, "mtpolicyd.quota.v1.Quota")

    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_streams_are_drained_before_the_server_stops(tmp_path: Path) -> None:
    """While they are, health says NOT_SERVING; the stream gets its last message and an orderly end."""
    address = Address("", 0, str(tmp_path / "grpc.sock"))
    decision = Decision()
    draining, go_on = asyncio.Event(), asyncio.Event()

    async def drain() -> None:
        draining.set()
        await go_on.wait()
        decision.end.set()

    async def serve() -> None:
        async with serving(address, decision, drain=drain):
            stop_here.set()
            await stop.wait()

    stop, stop_here = asyncio.Event(), asyncio.Event()
    server = asyncio.create_task(serve())
    await stop_here.wait()
    async with asyncio.timeout(5), channel(address) as to:
        call = DecisionStub(to).DecideStream()
        assert await call.read() == pb.Answers()
        stop.set()
        await draining.wait()
        assert [await health(to, name) for name in ("", SERVICE)] == [NOT_SERVING, NOT_SERVING]
        go_on.set()
        last = await call.read()
        end = await call.read()
        code = await call.code()
        await server

    assert last == pb.Answers(items=[pb.Answer(id=1)])
    assert end is grpc.aio.EOF
    assert code == grpc.StatusCode.OK


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_in_use_is_one_clear_line(host: str) -> None:
    """Two servers on one port would share its connections silently."""
    address = Address(host, free_port())
    async with serving(address), channel(address) as to:
        with pytest.raises(StartError) as caught:
            async with serving(address):
                pass
        assert await health(to, "") == SERVING

    assert str(caught.value) == f"cannot listen on {address}: is another instance running?"


async def test_a_directory_that_is_missing_is_one_clear_line(tmp_path: Path) -> None:
    """The path of a socket cannot be bound there."""
    address = Address("", 0, str(tmp_path / "missing" / "grpc.sock"))
    with pytest.raises(StartError, match=f"^cannot listen on {address}: "):
        async with serving(address):
            pass


async def test_a_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    """After a kill the path is still there."""
    path = tmp_path / "grpc.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    address = Address("", 0, str(path))
    async with serving(address), channel(address) as to:
        assert await health(to, "") == SERVING


async def test_a_channel_connects_again_by_itself(tmp_path: Path) -> None:
    """After a restart of the server."""
    address = Address("", 0, str(tmp_path / "grpc.sock"))
    async with channel(address) as to:
        for number in (1, 2):
            async with serving(address):
                stub = DecisionStub(to)
                answer = await stub.Decide(pb.Question(id=number), timeout=5, wait_for_ready=True)
                assert answer.id == number


async def test_a_channel_to_nobody_fails_at_once(tmp_path: Path) -> None:
    """Its user decides whether and when to try again."""
    async with channel(Address("", 0, str(tmp_path / "grpc.sock"))) as to:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await DecisionStub(to).Decide(pb.Question(), timeout=5)

    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for the Internet; here it is a port where nobody listens."""
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    address = Address("127.0.0.1", free_port())
    async with serving(address), channel(address) as to:
        assert await health(to, "") == SERVING


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (MAX_MESSAGE_BYTES - 100, grpc.StatusCode.OK),
        (MAX_MESSAGE_BYTES + 1, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_a_message_has_a_bounded_size(tmp_path: Path, size: int, code: grpc.StatusCode) -> None:
    """A peer cannot fill the memory with one."""
    address = Address("", 0, str(tmp_path / "grpc.sock"))
    async with serving(address), channel(address) as to:
        call = DecisionStub(to).Decide(pb.Question(login=b"x" * size), timeout=5)
        assert await call.code() == code
