"""Decisions as they are made, for admins who watch: `mtpolicyctl tail`.

While nobody reads, a decision costs one look at an empty tuple. A reader has a bounded queue: one that is too
slow loses the oldest and is told how many, and nobody waits for it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple

from chassis.logs import Logger
from decision.verdict import LimitState, MailEvent

MAX_READERS = 16
MAX_WAITING = 1000  # decisions in a reader's queue
MAX_WAITING_BYTES = 4 * 1024 * 1024  # of their names; a request of the policy protocol has up to 64 KiB
MAX_TOGETHER = 100  # decisions that a reader gets at a time
MAX_TOGETHER_BYTES = 1024 * 1024  # well below the largest gRPC message, whose limit is 4 MiB


class TooManyReadersError(Exception):
    """There are MAX_READERS already."""


class Decision(NamedTuple):
    """One decision; the names are those of its log line."""

    at_unix_ms: int
    decision_id: str
    action: str  # a Verb, or `none`: undecided
    reason: str  # the rule's name, or `none`
    mode: str
    event: MailEvent
    country: str
    state: LimitState | None
    settings: str  # their version
    would_refuse: str
    permitted: str
    ms: float

    @property
    def size(self) -> int:
        """About how many bytes its names have."""
        event = self.event
        names = (event.login, event.account, event.client_address, event.instance, event.recipient)
        return sum(map(len, names)) + len(event.sender) + len(event.queue_id)


class Filter(NamedTuple):
    """Which decisions a reader wants; empty fields match all."""

    account: bytes = b""
    reason: str = ""
    action: str = ""

    def matches(self, decision: Decision) -> bool:
        """Whether it is one of them."""
        return (
            (not self.account or self.account == decision.event.account)
            and (not self.reason or self.reason == decision.reason)
            and (not self.action or self.action == decision.action)
        )


class Reader:
    """One admin's queue. Made by `Tail.open`."""

    def __init__(self, wanted: Filter) -> None:
        self._wanted = wanted
        self._queue: deque[Decision] = deque()
        self._bytes = 0  # of the queue
        self._lost = 0
        self._woken = asyncio.Event()
        self._closed = False

    def offer(self, decision: Decision) -> None:
        """Queue a decision that is wanted; in the place of the oldest if there is no room."""
        if not self._wanted.matches(decision):
            return
        size = decision.size
        while self._queue and (len(self._queue) >= MAX_WAITING or self._bytes + size > MAX_WAITING_BYTES):
            self._take()
            self._lost += 1
        self._queue.append(decision)
        self._bytes += size
        self._woken.set()

    def close(self) -> None:
        """Let the reader end with what it has."""
        self._closed = True
        self._woken.set()

    async def read(self) -> AsyncIterator[tuple[int, list[Decision]]]:
        """How many were lost before these, and these, at most MAX_TOGETHER; until closed."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._queue:
                lost, self._lost = self._lost, 0
                some: list[Decision] = []
                size = 0
                while self._queue and len(some) < MAX_TOGETHER and size < MAX_TOGETHER_BYTES:
                    some.append(self._take())
                    size += some[-1].size
                yield lost, some
            if self._closed:
                return

    def _take(self) -> Decision:
        decision = self._queue.popleft()
        self._bytes -= decision.size
        return decision


class Tail:
    """Hands each decision to all readers. Lives in one event loop."""

    def __init__(self, log: Logger) -> None:
        self.readers: tuple[Reader, ...] = ()
        self._log = log

    def open(self, wanted: Filter) -> Reader:
        """A reader of what is decided from now on. Raises TooManyReadersError."""
        if len(self.readers) >= MAX_READERS:
            raise TooManyReadersError
        reader = Reader(wanted)
        self.readers = (*self.readers, reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """It reads no more."""
        self.readers = tuple(other for other in self.readers if other is not reader)

    def publish(self, decision: Decision) -> None:
        """Never raises: a verdict has been given, and watching changes none."""
        try:
            for reader in self.readers:
                reader.offer(decision)
        except Exception:
            self._log.exception("tail_failed", id=decision.decision_id)

    def close(self) -> None:
        """End all readers."""
        for reader in self.readers:
            reader.close()
