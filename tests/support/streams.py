"""Both ends of a gRPC stream of items, without gRPC."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio


@dataclass(eq=False)
class Note:
    """An item; its name tells it apart in a test, its id on the stream."""

    name: str
    id: int = 0
    size: int = 1

    def ByteSize(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return self.name


@dataclass
class Echo:
    """A reply."""

    id: int
    text: str = ""

    def ByteSize(self) -> int:
        return 1


def unavailable(details: str = "connection refused") -> grpc.aio.AioRpcError:
    """What a read raises when the peer is gone."""
    return grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details
    )


class _Pipe:
    """Messages for one reader, then perhaps an end: EOF or an exception."""

    def __init__(self) -> None:
        self._coming: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, message: Any) -> None:
        self._coming.put_nowait(message)

    async def read(self) -> Any:
        message = await self._coming.get()
        if isinstance(message, BaseException):
            raise message
        return message


class FakeCall(_Pipe):
    """A bidirectional call as the asking end has it; the test plays the peer."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[Note, ...]] = []
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.cancelled = False

    async def write(self, message: tuple[Note, ...]) -> None:
        await self.may_write.wait()
        self.messages.append(message)

    def cancel(self) -> None:
        self.cancelled = True

    @property
    def names(self) -> list[list[str]]:
        """What arrived, message by message."""
        return [[item.name for item in message] for message in self.messages]

    def greet(self) -> None:
        """Answer the greeting."""
        self.put(())

    def reply(self, *names: str) -> None:
        """One message with a reply to each named item, the latest of that name."""
        ids = {item.name: item.id for message in self.messages for item in message}
        self.put(tuple(Echo(ids[name], name) for name in names))

    def end(self) -> None:
        """The peer ends the stream in order."""
        self.put(grpc.aio.EOF)

    def break_off(self, details: str = "connection refused") -> None:
        self.put(unavailable(details))


class Peer:
    """Whoever is asked. While it is `away` every new stream fails at once."""

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.opened_at: list[float] = []
        self.away = False

    def open_stream(self) -> FakeCall:
        call = FakeCall()
        if self.away:
            call.break_off()
        self.calls.append(call)
        self.opened_at.append(round(asyncio.get_running_loop().time(), 6))
        return call

    @property
    def call(self) -> FakeCall:
        """The newest stream."""
        return self.calls[-1]


class Aborted(Exception):
    """What gRPC raises in a method that ends its call with a status."""


class FakeContext(_Pipe):
    """The context of a bidirectional method as the answering end has it; the test plays the client."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[tuple[Echo, ...]] = []
        self.may_write = asyncio.Event()
        self.may_write.set()
        self._writing = False

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Aborted(code)

    async def write(self, message: tuple[Echo, ...]) -> None:
        # As in gRPC: one at a time, and none is done before the loop has turned.
        assert not self._writing, "two writes at a time"
        self._writing = True
        try:
            await asyncio.sleep(0)
            await self.may_write.wait()
            self.messages.append(message)
        finally:
            self._writing = False

    @property
    def texts(self) -> list[list[str]]:
        """What the client has got, message by message."""
        return [[reply.text for reply in message] for message in self.messages]

    def ask(self, *items: Note) -> None:
        """One message from the client; without items, a greeting."""
        self.put(items)

    def end(self) -> None:
        """The client will ask no more."""
        self.put(grpc.aio.EOF)
