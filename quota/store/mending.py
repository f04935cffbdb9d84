"""A store whose file is found corrupt is moved aside and kept, and a new one goes on in its place.

Counting on with a file that lies would be worse than counting anew, and so would answering nobody until
an admin comes: with the new store a user may send the day's number once more, and all limits hold from
then on. What admins had set (limits, permits, locks) is gone with the file; the log says so. So that a
failing disk does not do this for ever, there is a bound on the files that lie aside.

A store whose files are removed, moved or replaced while it is open is written anew from what is open:
nothing is lost. What was put in the place of its file is kept beside it. Who wants another store, or to
begin anew, stops quota first.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from quota.domain import ChargeResult, Item, Noted
from quota.overrides import AuditEntry, Changed, Request
from quota.store.interface import StoreCorruptError, StoreError, StoreReadOnlyError
from quota.store.sqlite import SqliteStore
from quota.store.whereabouts import files_of

R = TypeVar("R")

MAX_KEPT = 5
# How often the files are looked for, and how soon it is tried again to write them anew: a copy may be large.
LOOK_SECONDS = 1.0
AGAIN_SECONDS = 60.0


class MendingStore:
    """Fulfils quota.store.interface.Store with the store that `open_store` opens.

    Args:
        path: the file.
        alone: keeps everybody else (the checkpointer) from the file for as long as it is entered.
        moved: called with the corrupt file's new path and what was wrong.
        rewritten: called with None when the files were written anew, or with the reason why they were not.

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
        rewritten: Callable[[str | None], None],
    ) -> None:
        self._path = path
        self._open_store = open_store
        self._alone = alone
        self._moved = moved
        self._rewritten = rewritten
        self._look_at = 0.0
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
        self.rewrite()
        self._mended(lambda: self._opened().checkpoint())

    def displaced(self) -> bool:
        """Whether files of the store are gone, and `rewrite` should be called; looked at once in a while."""
        now = time.monotonic()
        if self._store is None or now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        return self._store.displaced

    def rewrite(self) -> None:
        """Write a store anew whose files are gone; if that is not possible, go on with what is open."""
        if self._store is None or not self._store.displaced:
            return
        try:
            with self._alone():
                self._write_anew(self._store)
        except (OSError, StoreError) as error:
            self._look_at = time.monotonic() + AGAIN_SECONDS
            self._rewritten(str(error))
        else:
            self._rewritten(None)

    def close(self) -> None:
        self.rewrite()
        self._close()

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _write_anew(self, store: SqliteStore) -> None:
        new = self._path.with_name(f"{self._path.name}.new")
        new.unlink(missing_ok=True)
        try:
            store.copy_to(new)
        except StoreError:
            # Half a copy on a full disk would take the room that charges need.
            new.unlink(missing_ok=True)
            raise
        database, *others = files_of(self._path)
        if store.replaced:
            database.replace(database.with_name(f"{database.name}.replaced"))
        # The WAL first: it belongs to no other database than the one that wrote it.
        for other in others:
            other.unlink(missing_ok=True)
        new.replace(database)
        # Not before: a database that is closed in its place would take its WAL and the new one's with it.
        self._close()

    def _opened(self) -> SqliteStore:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _mended(self, do: Callable[[], R]) -> R:
        try:
            return do()
        except StoreReadOnlyError:
            # The next call opens it, and may find that it can be written again.
            self._close()
            raise
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
                for source, target in zip(files_of(self._path), files_of(aside), strict=True):
                    if source.exists():
                        source.rename(target)
            except OSError as problem:
                raise StoreError(f"{error}, and cannot be moved aside: {problem.strerror}") from error
            self._close()
        self._moved(aside, error)
