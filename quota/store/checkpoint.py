"""Moves the WAL into the database beside the writer, so that no charge waits for a disk.

A passive checkpoint never blocks the writer, but under steady load it never catches up with it either,
and the WAL grows. Then the writer is asked for one small checkpoint of its own, after which the WAL
begins anew (https://sqlite.org/wal.html#avoiding_excessively_large_wal_files).

What an admin has purged stands in the WAL until it is written over, which may take for ever: so it is cut
then, as soon as nobody reads it.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chassis.logs import Logger
from chassis.metrics import Metrics
from quota.store.whereabouts import whereabouts

INTERVAL_SECONDS = 1.0
# 64 MiB in pages of 4 KiB.
LARGE_WAL_PAGES = 16384
# To cut the WAL takes the writer's place, and waits in it for readers: the writer waits 100 ms for its own.
CUT_WAIT_MS = 20


class Checkpointer:
    """A thread with a connection of its own. Args: path: the database."""

    def __init__(self, path: Path, *, log: Logger, metrics: Metrics) -> None:
        self._path = path
        self._log = log
        self._failed = metrics.counter(
            "store_checkpoints_failed_total", "Checkpoints that failed: meanwhile the WAL only grows."
        )
        self._work = threading.Event()
        self._stop = threading.Event()
        self._wal_is_large = False
        # Whoever was killed may have left what was purged.
        self._cut = True
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # that the store has open
        self._using_file = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def committed(self) -> None:
        """There is something to move."""
        # Each transaction says so. Whoever clears it looks at the WAL afterwards, and finds this one too.
        if not self._work.is_set():
            self._work.set()

    def purged(self) -> None:
        """Something was deleted that is to stand in no file any more."""
        self._cut = True
        self._work.set()

    def wal_is_large(self) -> bool:
        """Whether the writer should do a checkpoint now; asked once, it is answered once."""
        large, self._wal_is_large = self._wal_is_large, False
        return large

    @contextmanager
    def kept_away(self) -> Iterator[None]:
        """Until left, have the file neither open nor opened."""
        with self._using_file:
            self._let_go()
            yield
            self._file = None  # who raises has moved nothing

    def close(self) -> None:
        self._stop.set()
        self._work.set()
        self._thread.join()

    def _run(self) -> None:
        failing = False
        while self._work.wait() and not self._stop.wait(INTERVAL_SECONDS):
            self._work.clear()
            if self._stop.is_set():  # close() came after the pause, and what it has set was just cleared
                break
            try:
                self._checkpoint()
            except sqlite3.Error as error:
                # What was opened when nobody could write it stays read-only for ever.
                with self._using_file:
                    self._let_go()
                self._failed.inc()
                if not failing:
                    self._log.error("checkpoint_failed", reason=error)
                failing = True
            else:
                if failing:
                    self._log.warning("checkpoints_work_again")
                failing = False
        with self._using_file:
            self._let_go()

    def _checkpoint(self) -> None:
        with self._using_file:
            there = whereabouts(self._path)[0]
            if self._db is None:
                if self._file is not None and there != self._file:
                    # In its place the store's WAL stands: both would be spoilt.
                    raise sqlite3.OperationalError("another file stands in the place of the database")
                # The thread that lets go is another one.
                self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                self._db.execute(f"PRAGMA busy_timeout = {CUT_WAIT_MS}")
            _, pages, _ = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._wal_is_large = pages > LARGE_WAL_PAGES
            self._file = self._file or there
            if self._cut:
                self._cut_wal(self._db)

    def _cut_wal(self, db: sqlite3.Connection) -> None:
        """Or try it again with the next checkpoint."""
        self._cut = False  # asked for once more from here on, it is done once more
        busy = 1
        try:
            busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            if busy:
                self.purged()

    def _let_go(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
