"""The answering end of a stream of items (see item_client.py).

Replies leave by id as soon as there are any; while a message is being written, further ones gather and
leave together. What a client may have unanswered, or answered and not written, is bounded by items and by
bytes: beyond that its next message is not read, and gRPC's flow control holds the client back. So is the
number of streams: one more is ended at once.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic

import grpc
import grpc.aio

from chassis.item_client import Item, Reply
from chassis.metrics import Metrics

MAX_ITEMS_OPEN = 8192
MAX_BYTES_OPEN = 16 * 1024 * 1024
# Clients are services of ours, one stream each.
MAX_STREAMS = 64
DRAIN_SECONDS = 2.0


class ItemServer(Generic[Item, Reply]):
    """All streams of one gRPC method.

    Args:
        handle: takes the items of one message and the stream; must see to it that `stream.reply` is
            called once for each item, now or later, and must not raise.
        unpack: the items of a message.
        pack: makes one message of replies; with none, the answer to a greeting.
    """

    def __init__(
        self,
        *,
        handle: Callable[[Sequence[Item], "ItemStream[Item, Reply]"], None],
        unpack: Callable[[Any], Sequence[Item]],
        pack: Callable[[Iterable[Reply]], Any],
        metrics: Metrics,
    ) -> None:
        self.handle = handle
        self.unpack = unpack
        self.pack = pack
        self._streams: set[ItemStream[Item, Reply]] = set()
        self._open = metrics.gauge("server_streams_open", "Streams of clients that are open.")
        self._open.set_function(lambda: len(self._streams))
        self._refused = metrics.counter(
            "server_streams_refused_total", "Streams ended at once because of the bound."
        )
        messages = metrics.counter(
            "server_messages_total", "gRPC messages from and to clients.", direction=["received", "sent"]
        )
        self.received_messages = messages.labels("received")
        self.sent_messages = messages.labels("sent")

    async def serve(self, context: Any) -> None:
        """The body of the bidirectional gRPC method; returns when the client ends or `drain` is called."""
        if len(self._streams) >= MAX_STREAMS:
            self._refused.inc()
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams")
        stream = ItemStream(self, context)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def drain(self) -> None:
        """Read no more, answer what was read, end every stream."""
        await asyncio.gather(*(stream.drain() for stream in list(self._streams)))


class ItemStream(Generic[Item, Reply]):
    """One client's stream."""

    def __init__(self, server: ItemServer[Item, Reply], context: Any) -> None:
        self._server = server
        self._context = context
        self._open: dict[int, int] = {}  # id -> bytes, of what was read and is not answered
        self._outbox: list[Reply] = []
        # Of what was read and is not answered, or the answer not written; an item counts with its own size.
        self._items = 0
        self._bytes = 0
        self._answered_bytes = 0
        self._greetings = 0
        self._to_write = asyncio.Event()
        self._room = asyncio.Event()
        self._ending = False  # no further item comes
        self._reader: asyncio.Task[None] | None = None
        self._done = asyncio.Event()

    def reply(self, reply: Reply) -> None:
        """Answer one item. A second reply to the same item, or one after the end, is dropped."""
        size = self._open.pop(reply.id, None)
        if size is not None:
            self._answered_bytes += size
            self._outbox.append(reply)
            self._to_write.set()

    async def run(self) -> None:
        """Read until the client or `drain` ends that; then answer what is open, for a moment at most."""
        writer = asyncio.create_task(self._write())
        self._reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait([self._reader])
            self._ending = True
            self._to_write.set()
            await asyncio.wait([writer], timeout=DRAIN_SECONDS)
        finally:
            writer.cancel()
            self._reader.cancel()
            await asyncio.gather(writer, self._reader, return_exceptions=True)
            self._open.clear()
            self._done.set()
        if not self._reader.cancelled() and (error := self._reader.exception()) is not None:
            raise error  # a bug in `handle`: gRPC tells the client and the log

    async def drain(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        await self._done.wait()

    async def _read(self) -> None:
        server, context = self._server, self._context
        while (message := await context.read()) is not grpc.aio.EOF:
            server.received_messages.inc()
            items = []
            for item in server.unpack(message):
                # Two unanswered items of one id could not be told apart by their asker: the first stands.
                if item.id not in self._open:
                    size = item.ByteSize()
                    self._open[item.id] = size
                    self._items += 1
                    self._bytes += size
                    items.append(item)
            if items:
                server.handle(items, self)
            else:
                self._greetings += 1
                self._to_write.set()
            while self._items >= MAX_ITEMS_OPEN or self._bytes >= MAX_BYTES_OPEN:
                self._room.clear()
                await self._room.wait()

    async def _write(self) -> None:
        while self._open or self._outbox or self._greetings or not self._ending:
            await self._to_write.wait()
            self._to_write.clear()
            replies, self._outbox = self._outbox, []
            answered_bytes, self._answered_bytes = self._answered_bytes, 0
            if replies or self._greetings:
                self._greetings = 0
                await self._context.write(self._server.pack(replies))
                self._server.sent_messages.inc()
                self._items -= len(replies)
                self._bytes -= answered_bytes
                self._room.set()
