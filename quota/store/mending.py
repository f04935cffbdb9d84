"""A store whose file is found corrupt is moved aside and kept, and a new one goes on in its place.

Counting on with a file that lies would be worse than counting anew, and so would answering nobody until
an admin comes: with the new store a user may send the day's number once more, and all limits hold from
then on. What admins had set (limits, permits, locks) is gone with the file; the log says so. So that a
failing disk does not do this for ever, there is a bound on the files that lie aside.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from quota.domain import ChargeResult, Item, Noted
from quota.overrides import AuditEntry, Changed, Request
from quota.store.interface import StoreCorruptError, StoreError
from quota.store.sqlite import SqliteStore

R = TypeVar("R")

MAX_KEPT = 5
# What belongs to one SQLite database: https://sqlite.org/tempfiles.html
_SUFFIXES = ("", "-wal", "-shm")


class MendingStore:
    """Fulfils quota.store.interface.Store with the store that `open_store` opens.

    Args:
        path: the file.
        alone: keeps everybody else (the checkpointer) from the file for as long as it is entered.
        moved: called with the corrupt file's new path and what was wrong.

    Raises:
        StoreError: it cannot be opened, and is not corrupt, or too many corrupt files lie aside.
    """

    def __init__(
        self,
        path: Path,
        open_store: Callable[[], SqliteStore],
        *,
        alone: Callable[[], AbstractContextManager[None]],
        moved: Callable[[Path, StoreCorruptError], None],
    ) -> None:
        self._path = path
        self._open_store = open_store
        self._alone = alone
        self._moved = moved
        self._store: SqliteStore | None = None
        self._mended(self._opened)

    def apply(self, items: Sequence[Item], now_unix_ms: int) -> list[ChargeResult | Noted]:
        return self._mended(lambda: self._opened().apply(items, now_unix_ms))

    def change(self, request: Request, now_unix_ms: int) -> Changed:
        return self._mended(lambda: self._opened().change(request, now_unix_ms))

    def note(self, entry: AuditEntry) -> None:
        self._mended(lambda: self._opened().note(entry))

    def expire(self, now_unix_ms: int, most: int) -> int:
        return self._mended(lambda: self._opened().expire(now_unix_ms, most))

    def checkpoint(self) -> None:
        self._mended(lambda: self._opened().checkpoint())

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _opened(self) -> SqliteStore:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _mended(self, do: Callable[[], R]) -> R:
        try:
            return do()
        except StoreCorruptError as error:
            # Nothing was changed: the same is done in the new store.
            self._move_aside(error)
            return do()

    def _move_aside(self, error: StoreCorruptError) -> None:
        prefix = f"{self._path.name}.corrupt-"
        kept = len(list(self._path.parent.glob(f"{prefix}*Z")))
        if kept >= MAX_KEPT:
            raise StoreError(f"{error}, and {kept} corrupt files lie beside it already") from error
        now = time.time_ns() // 1_000_000
        when = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 1000))
        aside = self._path.with_name(f"{prefix}{when}.{now % 1000:03}Z")
        with self._alone():
            try:
                # Before the files are closed: whoever closes last removes the WAL, by its name.
                for suffix in _SUFFIXES:
                    source = self._path.with_name(self._path.name + suffix)
                    if source.exists():
                        source.rename(aside.with_name(aside.name + suffix))
            except OSError as problem:
                raise StoreError(f"{error}, and cannot be moved aside: {problem.strerror}") from error
            self.close()
        self._moved(aside, error)
