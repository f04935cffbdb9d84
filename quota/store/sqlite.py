"""The store in one SQLite file: WAL, synchronous=NORMAL, one transaction for each `apply`.

A committed transaction has been written to the WAL, so it survives the death of the process; only a
power cut or a crash of the kernel can lose the last commits (https://sqlite.org/pragma.html#pragma_synchronous).
Checkpoints run beside the writer (see checkpoint.py).
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path

from quota.domain import ChargeResult, Item, Noted
from quota.overrides import AuditEntry, Changed, Purge, Request
from quota.periods import day_of
from quota.store.audit import AUDIT_DAYS, expire_audit, write_audit
from quota.store.batch import Batch
from quota.store.changes import Changes, expire_overrides
from quota.store.interface import (
    KEEP_DAYS,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreReadOnlyError,
)
from quota.store.keeping import Keeping
from quota.store.origins import FORGET_ORIGIN, OLD_ORIGINS
from quota.store.outbox import Outgoing
from quota.store.tables import Tables
from quota.store.whereabouts import whereabouts

BUSY_TIMEOUT_MS = 100
DAY_MS = 24 * 3600 * 1000

_MIGRATIONS = ("schema_1.sql", "schema_2.sql", "schema_3.sql", "schema_4.sql", "schema_5.sql")

_DUE = "SELECT message FROM ledger WHERE expires <= ? LIMIT ?"
_FORGET_MESSAGE = "DELETE FROM ledger WHERE message = ?"
_OLD_COUNTERS = "SELECT day, account, name, unit FROM counter WHERE day < ? LIMIT ?"
_FORGET_COUNTER = "DELETE FROM counter WHERE day = ? AND account = ? AND name = ? AND unit = ?"
_OLD_REFUSALS = "SELECT day, account, rule, enforced FROM refusal WHERE day < ? LIMIT ?"
_FORGET_REFUSAL = "DELETE FROM refusal WHERE day = ? AND account = ? AND rule = ? AND enforced = ?"

_ERRORS = {
    sqlite3.SQLITE_BUSY: StoreBusyError,
    sqlite3.SQLITE_LOCKED: StoreBusyError,
    sqlite3.SQLITE_CORRUPT: StoreCorruptError,
    sqlite3.SQLITE_NOTADB: StoreCorruptError,
    sqlite3.SQLITE_READONLY: StoreReadOnlyError,
}


class SqliteStore:
    """Fulfils quota.store.interface.Store.

    Args:
        path: the file; made if it is missing. Only one store at a time may have it (see state_dir.py).
        committed: called after each commit, in the thread that wrote.
        keeping: what of a person is kept.
        purged: called likewise, after the commit of a purge: the WAL has what was deleted.
        outgoing: what of all this people are to be told.

    Raises:
        StoreError: the file cannot be opened, or was written by a newer version.
        StoreCorruptError: it is no database, or a damaged one.
    """

    def __init__(
        self,
        path: Path,
        committed: Callable[[], None] = lambda: None,
        keeping: Keeping | None = None,
        outgoing: Outgoing | None = None,
        purged: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._committed = committed
        self._purged = purged
        self._keeping = keeping or Keeping()
        with store_errors():
            # The writer's two threads use it; the interface promises one at a time.
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute("PRAGMA wal_autocheckpoint = 0")
                # What is deleted is overwritten: Debian's SQLite does so by default, others do not.
                self._db.execute("PRAGMA secure_delete = ON")
                self._migrate()
                self._tables = Tables(self._db, self._keeping, outgoing)
                self._files = whereabouts(path)
            except BaseException:
                self.close()
                raise

    def apply(self, items: Sequence[Item], now_unix_ms: int) -> list[ChargeResult | Noted]:
        with self._transaction():
            batch = Batch(self._tables, now_unix_ms)
            results = [batch.do(item) for item in items]
            batch.write()
        self._tables.outbox.committed()
        return results

    def change(self, request: Request, now_unix_ms: int) -> Changed:
        with self._transaction():
            changed = Changes(self._db, self._tables, now_unix_ms).do(request)
        if any(isinstance(change, Purge) for change in request.changes):
            self._purged()
        return changed

    def note(self, entry: AuditEntry) -> None:
        with self._transaction():
            write_audit(self._db, [entry])

    def expire(self, now_unix_ms: int, most: int) -> int:
        # UTC may be a day ahead of or behind the time zones in use: KEEP_DAYS leaves room for that.
        oldest = day_of(now_unix_ms, "UTC") - KEEP_DAYS
        db = self._db
        with self._transaction():
            due = db.execute(_DUE, (now_unix_ms // 1000, most)).fetchall()
            db.executemany(_FORGET_MESSAGE, due)
            forgotten = len(due)
            for find, forget in (
                (_OLD_COUNTERS, _FORGET_COUNTER),
                (_OLD_REFUSALS, _FORGET_REFUSAL),
                (OLD_ORIGINS, FORGET_ORIGIN),
            ):
                old = db.execute(find, (oldest, most - forgotten)).fetchall()
                db.executemany(forget, old)
                forgotten += len(old)
            forgotten += self._tables.outbox.expire(now_unix_ms, most - forgotten)
            forgotten += expire_overrides(db, now_unix_ms, most - forgotten)
            kept_ms = self._keeping.refusal_days * DAY_MS
            forgotten += self._tables.log.expire(now_unix_ms - kept_ms, most - forgotten)
            forgotten += expire_audit(db, now_unix_ms - AUDIT_DAYS * DAY_MS, most - forgotten)
        return forgotten

    def checkpoint(self) -> None:
        """Let the WAL begin anew: to be called by the writer when a checkpoint beside it does not keep up."""
        with store_errors():
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    @property
    def displaced(self) -> bool:
        """Whether one of its files is no longer where it was: what is written now is lost at the end."""
        return whereabouts(self._path) != self._files

    @property
    def replaced(self) -> bool:
        """Whether another file stands in the place of the database."""
        there = whereabouts(self._path)[0]
        return there is not None and there != self._files[0]

    def copy_to(self, path: Path) -> None:
        """Write all that is committed into a new file. Raises StoreError."""
        with store_errors(), closing(sqlite3.connect(path)) as new:
            self._db.backup(new)

    def close(self) -> None:
        try:
            self._db.close()
        except sqlite3.Error:
            # All that was answered is committed; the next start recovers the WAL.
            return

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StoreError(
                f"the store has schema {version}, this version knows {len(_MIGRATIONS)}: is it older?"
            )
        for number, name in enumerate(_MIGRATIONS[version:], version + 1):
            script = files("quota.store").joinpath(name).read_text()
            self._db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # What `store_errors` does, in place: every charge would pay for a second context manager.
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._tables.forget()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _store_error(error) from error
        self._committed()


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns SQLite's errors into those of the interface."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error(error) from error


def _store_error(error: sqlite3.Error) -> StoreError:
    # sqlite_errorcode is missing on errors that Python's module raises itself.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return _ERRORS.get(code, StoreError)(str(error))
