"""The outbox: what people are to be told, once for each account, period and kind.

It is written in the transaction that causes it. A key of the table says what has been told, so neither a
restart nor a reset of a counter tells it twice. A row is forgotten some time after its period. There is a
bound on the rows: a flood of accounts costs notifications, not the disk.
"""

import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

MAX_NOTIFICATIONS = 10_000
# After the end of the period: a message under way is still counted to it, and a clock may be set back.
KEEP_AFTER_PERIOD_MS = 48 * 3_600_000
KNOWN_KEYS = 16384

_COUNT = "SELECT count(*) FROM notification"
_THERE = "SELECT 1 FROM notification WHERE day = ? AND account = ? AND kind = ?"
_PUT = (
    "INSERT INTO notification (id, day, account, kind, rule, country, address, decision_id, used, maximum,"
    " created_ms, until_ms, time_zone, forget_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_PUT_DELIVERY = "INSERT INTO delivery (channel, notification) VALUES (?, ?)"
_SETTLE = (
    "DELETE FROM delivery WHERE channel = ? AND notification = (SELECT seq FROM notification WHERE id = ?)"
)
_DUE = "SELECT seq FROM notification WHERE forget_ms <= ? LIMIT ?"
_FORGET = "DELETE FROM notification WHERE seq = ?"


class Event(NamedTuple):
    """Something to tell, once for each (day, account, kind). Times are Unix milliseconds."""

    day: int  # the period, `date.toordinal()`
    account: int  # its id in the store
    kind: str
    rule: str
    country: str
    address: bytes
    decision_id: str
    used: int | None
    maximum: int | None
    at_ms: int
    until_ms: int  # the period's end
    time_zone: str


class Wanted(NamedTuple):
    """What is told at all."""

    channels: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()


class Outgoing:
    """Where the event loop says what is wanted, and the store what was written.

    `wanted` may be replaced at any time. The others are called from the store's thread, after the commit.
    """

    def __init__(
        self,
        written: Callable[[Mapping[str, int]], None] = lambda counts: None,
        left_out: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.wanted = Wanted()
        self.written = written  # how many of each kind
        self.left_out = left_out  # how many found no room


class OutboxTable:
    """The tables of the store that `db` is the writing connection of; used within its transactions."""

    def __init__(self, db: sqlite3.Connection, outgoing: Outgoing) -> None:
        self._db = db
        self._outgoing = outgoing
        # Those that need not be asked for: a refused account is refused again and again.
        self._known: set[tuple[int, int, str]] = set()
        self._rows: int | None = None
        self._written: Counter[str] = Counter()
        self._left_out = 0

    def add(self, events: Iterable[Event]) -> None:
        """Write those that are wanted and new, each for every channel that is on."""
        channels, kinds = self._outgoing.wanted
        if not channels:
            return
        for event in events:
            key = (event.day, event.account, event.kind)
            if event.kind in kinds and key not in self._known:
                self._remember(key)
                self._write(event, channels)

    def settle(self, settled: Iterable[tuple[str, str]]) -> None:
        """Nothing waits there any more. Args: settled: (channel, id of a notification)."""
        self._db.executemany(_SETTLE, settled)

    def expire(self, now_unix_ms: int, most: int) -> int:
        """Forget at most so many, delivered or not; returns how many."""
        rows = self._db.execute(_DUE, (now_unix_ms, most)).fetchall()
        if rows:
            self._db.executemany(_FORGET, rows)
            self._rows = None
        return len(rows)

    def committed(self) -> None:
        """Tell what was written since the last commit."""
        if self._written:
            written, self._written = self._written, Counter()
            self._outgoing.written(written)
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            self._outgoing.left_out(left_out)

    def forget(self) -> None:
        """What was read before is no longer so: a transaction was rolled back, or an account was purged."""
        self._known.clear()
        self._written.clear()
        self._rows, self._left_out = None, 0

    def _write(self, event: Event, channels: Iterable[str]) -> None:
        if self._rows is None:
            (self._rows,) = self._db.execute(_COUNT).fetchone()
        if self._rows >= MAX_NOTIFICATIONS:
            if self._db.execute(_THERE, event[:3]).fetchone() is None:
                self._left_out += 1
            return
        forget_ms = max(event.until_ms, event.at_ms) + KEEP_AFTER_PERIOD_MS
        put = self._db.execute(_PUT, (secrets.token_hex(16), *event, forget_ms))
        if put.rowcount:
            self._rows += 1
            self._written[event.kind] += 1
            self._db.executemany(_PUT_DELIVERY, [(channel, put.lastrowid) for channel in channels])

    def _remember(self, key: tuple[int, int, str]) -> None:
        if len(self._known) >= KNOWN_KEYS:
            self._known.clear()
        self._known.add(key)
