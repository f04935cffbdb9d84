"""Reads the outbox, over a connection of its own that cannot write, and so beside the writer."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from quota.notify.notification import Notification
from quota.store.reader import reading

FOR_EVER_MS = 2**62

_WAITING = (
    "SELECT id, kind, account, rule, country, address, decision_id, used, maximum, created_ms, until_ms,"
    " time_zone FROM waiting WHERE channel = ? AND created_ms < ?"
    " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?"
)
_ONE = (
    "SELECT id, kind, account, rule, country, address, decision_id, used, maximum, created_ms, until_ms,"
    " time_zone FROM waiting WHERE channel = ? AND id = ?"
)
_BACKLOG = "SELECT count(*), min(created_ms) FROM waiting WHERE channel = ?"


class Backlog(NamedTuple):
    """What waits in a channel."""

    waiting: int
    oldest_unix_ms: int | None


class OutboxReader:
    """May be used from any thread. Args: path: the file of a SqliteStore that is open.

    Every method raises StoreError if the store cannot be read, or reading takes too long.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def waiting(
        self, channel: str, without: Collection[str], most: int, *, created_before_ms: int = FOR_EVER_MS
    ) -> list[Notification]:
        """What waits in a channel, the oldest first.

        Args:
            without: ids that are left out.
        """
        which = (channel, created_before_ms, json.dumps(list(without)), most)
        with reading(self._path) as db:
            rows = db.execute(_WAITING, which).fetchall()
        return [Notification(*row) for row in rows]

    def one(self, channel: str, notification_id: str) -> Notification | None:
        """The notification of an id, if it still waits in that channel."""
        with reading(self._path) as db:
            row = db.execute(_ONE, (channel, notification_id)).fetchone()
        return None if row is None else Notification(*row)

    def backlog(self, channel: str) -> Backlog:
        """How much waits in a channel."""
        with reading(self._path) as db:
            return Backlog(*db.execute(_BACKLOG, (channel,)).fetchone())
