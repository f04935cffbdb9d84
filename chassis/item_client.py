"""The asking end of a stream of items: natural batching, deadlines, outages.

One long-lived bidirectional gRPC stream carries messages of items, each with an id; replies come back by
id. An item goes out at once when the stream is idle. While a message is under way (sent, and nothing
heard since), items gather and leave together as the next message. There is no batching timer: the gate
opens with the first reply, or, so that one item that waits long does not hold back its neighbours, after
`STALL_SECONDS` without any.

An outage begins when the stream breaks or when an item expires and nothing was heard since it was sent.
While it is younger than `PATIENCE_SECONDS` items wait for their deadline, and are sent again on the next
stream if their asker says that this is harmless. After that they come back at once, until the peer is
heard again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import grpc
import grpc.aio

from chassis.logs import Logger
from chassis.metrics import Metrics, children

STALL_SECONDS = 0.02
PATIENCE_SECONDS = 5.0
SWEEP_SECONDS = 0.025
# Tried so often that a restart of the peer costs its askers little more than the peer's own start.
RECONNECT_SECONDS = 0.1
# In an old outage, while a stream stands: how often the peer is asked for a sign of life.
GREETING_SECONDS = 1.0
# A peer that is started or restarted is not worth a line; one that stays away is.
ANNOUNCE_AFTER_SECONDS = 1.0
MAX_ITEMS_WAITING = 8192
MAX_BYTES_WAITING = 16 * 1024 * 1024
MAX_ITEMS_PER_MESSAGE = 512
MAX_BYTES_PER_MESSAGE = 1024 * 1024


class Unanswered(StrEnum):
    """Why an item came back without a reply."""

    DOWN = "down"  # the stream is broken and the item may not, or need not, wait
    DEADLINE = "deadline"
    OVERLOAD = "overload"  # too many items or bytes were waiting


class _Message(Protocol):
    id: int

    def ByteSize(self) -> int: ...


Item = TypeVar("Item", bound=_Message)
Reply = TypeVar("Reply", bound=_Message)


class _Waiting(Generic[Item, Reply]):
    __slots__ = ("deadline", "done", "item", "resend", "sent_at", "size")

    def __init__(
        self, item: Item, size: int, deadline: float, done: Callable[[Reply | Unanswered], None], resend: bool
    ) -> None:
        self.item = item
        self.size = size
        self.deadline = deadline
        self.done = done
        self.resend = resend
        self.sent_at: float | None = None


class ItemClient(Generic[Item, Reply]):
    """Asks one peer. Lives in one event loop; `run` is its engine.

    Args:
        peer: the peer's name in log lines and metrics.
        open_stream: opens the bidirectional call, e.g. `stub.DecideStream`.
        pack: makes one message of items; with no items, the greeting that a new stream begins with.
        unpack: the replies of a message.
    """

    def __init__(
        self,
        *,
        peer: str,
        open_stream: Callable[[], Any],
        pack: Callable[[Sequence[Item]], Any],
        unpack: Callable[[Any], Iterable[Reply]],
        log: Logger,
        metrics: Metrics,
    ) -> None:
        self._peer = peer
        self._open_stream = open_stream
        self._pack = pack
        self._unpack = unpack
        self._log = log
        self._loop = asyncio.get_running_loop()

        # Every unanswered item by id, oldest first, and which of them are still to be sent.
        self._waiting: dict[int, _Waiting[Item, Reply]] = {}
        self._pending: deque[int] = deque()
        self._bytes = 0
        self._last_id = 0

        # The gate: closed while a message is under way.
        self._may_send = asyncio.Event()
        self._gate_timer: asyncio.TimerHandle | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None

        self._ended = False
        # An outage, None while the peer is heard. It starts as one that nobody needs to hear of.
        self._down_since: float | None = self._loop.time()
        self._announced = False
        self._greeting_due = 0.0
        self._heard_at = self._loop.time()

        self._up = metrics.gauge("stream_up", "1 while the peer answers, 0 in an outage.", ("peer",)).labels(
            peer
        )
        messages = metrics.counter(
            "stream_messages_total",
            "gRPC messages to and from the peer.",
            peer=[peer],
            direction=["sent", "received"],
        )
        items = metrics.counter(
            "stream_items_total", "Items in those messages.", peer=[peer], direction=["sent", "received"]
        )
        self._sent_messages = messages.labels(peer, "sent")
        self._received_messages = messages.labels(peer, "received")
        self._sent_items = items.labels(peer, "sent")
        self._received_items = items.labels(peer, "received")
        self._unanswered = children(
            metrics.counter(
                "stream_unanswered_total", "Items that came back without a reply.", cause=list(Unanswered)
            ),
            list(Unanswered),
        )

    @property
    def up(self) -> bool:
        """Whether the peer was heard since the last break or stall."""
        return self._down_since is None

    def submit(
        self, item: Item, *, timeout: float, done: Callable[[Reply | Unanswered], None], resend: bool
    ) -> None:
        """Ask. `done` is called exactly once, perhaps before this returns; it must not raise.

        Args:
            item: its id is set here.
            timeout: seconds until `done(Unanswered.DEADLINE)`.
            resend: asking twice does no harm, so the item may go out again after a break.
        """
        now = self._loop.time()
        if self._ended or (self._down_since is not None and now - self._down_since > PATIENCE_SECONDS):
            if now >= self._greeting_due:
                # A stream may stand though a reply was lost: only an answer ends the outage.
                self._greeting_due = now + GREETING_SECONDS
                self._may_send.set()
            self._give_back(done, Unanswered.DOWN)
            return
        size = item.ByteSize()
        if len(self._waiting) >= MAX_ITEMS_WAITING or self._bytes + size > MAX_BYTES_WAITING:
            self._give_back(done, Unanswered.OVERLOAD)
            return
        self._last_id = item_id = self._last_id + 1
        item.id = item_id
        self._bytes += size
        self._waiting[item_id] = _Waiting(item, size, now + timeout, done, resend)
        self._pending.append(item_id)
        if self._gate_timer is None:
            self._may_send.set()
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    async def run(self) -> None:
        """Keep a stream to the peer until cancelled."""
        try:
            while True:
                self._lost(await self._converse())
                await asyncio.sleep(RECONNECT_SECONDS)
        finally:
            for timer in (self._gate_timer, self._sweep_timer):
                if timer is not None:
                    timer.cancel()
            self._ended = True
            for item_id in list(self._waiting):
                self._fail(item_id, Unanswered.DOWN)

    async def _converse(self) -> str:
        """One stream from its greeting to its end; returns why it ended."""
        call = self._open_stream()
        sender = asyncio.create_task(self._send(call))
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                if message is None:  # what gRPC could not parse
                    return "the peer speaks another protocol"
                self._heard(message)
            return "the peer ended the stream"
        except grpc.aio.AioRpcError as error:
            return error.details() or error.code().name
        finally:
            sender.cancel()
            call.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, call: Any) -> None:
        try:
            await call.write(self._pack(()))
            while True:
                await self._may_send.wait()
                self._may_send.clear()
                batch = self._next_batch()
                if batch:
                    self._gate_timer = self._loop.call_later(STALL_SECONDS, self._open_gate)
                if batch or self._down_since is not None:
                    await call.write(self._pack(batch))
                if batch:
                    # Counted behind the writing: nothing that need not come first keeps a request waiting.
                    self._sent_messages.inc()
                    self._sent_items.inc(len(batch))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The reader meets the same end of the stream and tells why.
            return

    def _next_batch(self) -> list[Item]:
        now = self._loop.time()
        batch: list[Item] = []
        size = 0
        while self._pending and len(batch) < MAX_ITEMS_PER_MESSAGE and size < MAX_BYTES_PER_MESSAGE:
            waiting = self._waiting.get(self._pending.popleft())
            if waiting is not None:
                waiting.sent_at = now
                size += waiting.size
                batch.append(waiting.item)
        return batch

    def _open_gate(self) -> None:
        if self._gate_timer is not None:
            self._gate_timer.cancel()
            self._gate_timer = None
        if self._pending:
            self._may_send.set()

    def _heard(self, message: Any) -> None:
        self._heard_at = self._loop.time()
        if self._down_since is not None:
            self._recovered()
        received = 0
        for reply in self._unpack(message):
            received += 1
            waiting = self._waiting.pop(reply.id, None)
            if waiting is not None:
                self._bytes -= waiting.size
                self._tell(waiting.done, reply)
        if received:
            self._open_gate()
        # What was told may be on its way to be written, in the next turn of the loop: this is behind it.
        self._loop.call_soon(self._count_received, received)

    def _count_received(self, items: int) -> None:
        self._received_messages.inc()
        self._received_items.inc(items)

    def _sweep(self) -> None:
        """Give back what has expired; notice a peer that has stopped answering."""
        now = self._loop.time()
        outage_is_old = self._down_since is not None and now - self._down_since > PATIENCE_SECONDS
        for item_id, waiting in list(self._waiting.items()):
            if waiting.deadline <= now:
                if waiting.sent_at is not None and self._heard_at <= waiting.sent_at:
                    self._down(since=waiting.sent_at, reason="no answer within the deadline")
                self._fail(item_id, Unanswered.DEADLINE)
            elif outage_is_old:
                self._fail(item_id, Unanswered.DOWN)
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep) if self._waiting else None

    def _lost(self, reason: str) -> None:
        """The stream is gone: what may be asked twice waits for the next one, the rest comes back."""
        self._down(since=self._loop.time(), reason=reason)
        sent = [
            (item_id, waiting) for item_id, waiting in self._waiting.items() if waiting.sent_at is not None
        ]
        # All is in order before anybody hears of it: whoever hears may ask again at once.
        again = [(item_id, waiting) for item_id, waiting in sent if waiting.resend]
        self._pending.extendleft(item_id for item_id, _ in reversed(again))
        for _, waiting in again:
            waiting.sent_at = None
        self._open_gate()
        for item_id, waiting in sent:
            if not waiting.resend:
                self._fail(item_id, Unanswered.DOWN)

    def _down(self, *, since: float, reason: str) -> None:
        if self._down_since is None:
            self._down_since = since
            self._up.set(0)
        if not self._announced and self._loop.time() - self._down_since >= ANNOUNCE_AFTER_SECONDS:
            self._announced = True
            self._log.error("peer_down", peer=self._peer, reason=reason)

    def _recovered(self) -> None:
        self._down_since = None
        self._up.set(1)
        if self._announced:
            self._announced = False
            self._log.warning("peer_up", peer=self._peer)

    def _fail(self, item_id: int, cause: Unanswered) -> None:
        waiting = self._waiting.pop(item_id)
        self._bytes -= waiting.size
        self._give_back(waiting.done, cause)

    def _give_back(self, done: Callable[[Reply | Unanswered], None], cause: Unanswered) -> None:
        self._unanswered[cause].inc()
        self._tell(done, cause)

    def _tell(self, done: Callable[[Reply | Unanswered], None], outcome: Reply | Unanswered) -> None:
        try:
            done(outcome)
        except Exception:  # a bug of one asker, which its neighbours do not pay for
            self._log.exception("internal_error", peer=self._peer)
