"""Whole conversations with the gRPC faces of the services, without gRPC."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc.aio

from tests.support.streams import FakeContext


async def converse(method: Callable[[Any, Any], Awaitable[None]], *messages: Any) -> list[Any]:
    """Send the messages on one stream, end it, and return what the service wrote."""
    context = FakeContext()
    for message in messages:
        context.put(message)
    context.end()
    await method(None, context)
    return list[Any](context.messages)


class Call:
    """A bidirectional call that a test's `answer` answers message by message; None is silence."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer
        self._replies: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []

    async def write(self, message: Any) -> None:
        self.sent.append(message)
        reply = self._answer(message)
        if reply is not None:
            self._replies.put_nowait(reply)

    async def read(self) -> Any:
        return await self._replies.get()

    def cancel(self) -> None:
        """Nothing to do: the test holds both ends."""


class Channel:
    """A gRPC channel on which every stream is answered by `answer`. `calls` are its streams, in order."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer
        self.calls: list[Call] = []

    @property
    def sent(self) -> list[Any]:
        """Every message that was sent, without the greetings."""
        return [message for call in self.calls for message in call.sent if message.ByteSize()]

    def unary_unary(self, *_: Any, **__: Any) -> None:
        """The stub makes one of each method."""

    def stream_stream(self, *_: Any, **__: Any) -> Callable[[], Call]:
        def open_stream() -> Call:
            self.calls.append(Call(self._answer))
            return self.calls[-1]

        return open_stream

    @property
    def as_grpc(self) -> grpc.aio.Channel:
        return cast(grpc.aio.Channel, self)
