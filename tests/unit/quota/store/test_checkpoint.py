"""Checkpoints beside the writer."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from quota.overrides import Kind, Purge, Request, Set
from quota.store import checkpoint as module
from quota.store.checkpoint import Checkpointer
from quota.store.sqlite import SqliteStore
from tests.support.charges import NOON, charge, refusal
from tests.support.observed import Observed

WAIT_SECONDS = 10.0


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint follows a commit at once."""
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quota.sqlite3"


def observed_checkpointer(path: Path) -> tuple[Checkpointer, Observed]:
    seen = Observed()
    return Checkpointer(path, log=seen.log.logger, metrics=seen.metrics), seen


@pytest.fixture
def checkpointer(path: Path) -> Iterator[Checkpointer]:
    checkpointer, seen = observed_checkpointer(path)
    yield checkpointer
    checkpointer.close()
    assert seen.log.events == []


@pytest.fixture
def store(path: Path, checkpointer: Checkpointer) -> Iterator[SqliteStore]:
    """A store that tells the checkpointer of its commits."""
    store = SqliteStore(path, committed=checkpointer.committed, purged=checkpointer.purged)
    yield store
    store.close()


def test_an_end_that_comes_when_a_pause_is_over_is_noticed(
    checkpointer: Checkpointer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just before the thread forgets that there was something to do."""
    forget = checkpointer._work.clear

    def end_and_forget() -> None:
        checkpointer._stop.set()
        checkpointer._work.set()
        forget()

    monkeypatch.setattr(checkpointer._work, "clear", end_and_forget)
    checkpointer.committed()

    checkpointer._thread.join(WAIT_SECONDS)
    assert not checkpointer._thread.is_alive()


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def counters_in(path: Path, copy: Path) -> int:
    """How many counters the database file holds by itself, without the WAL beside it."""
    copy.write_bytes(path.read_bytes())
    db = sqlite3.connect(copy)
    try:
        (count,) = db.execute("SELECT count(*) FROM counter").fetchone()
    except sqlite3.Error:
        # A file that is being written to, or has no table yet.
        return -1
    finally:
        db.close()
    return int(count)


def counters_are(count: int, path: Path, copy: Path) -> bool:
    return counters_in(path, copy) == count


def test_a_commit_reaches_the_database_file(tmp_path: Path, path: Path, store: SqliteStore) -> None:
    """Without the writer's doing anything for it."""
    for number in range(3):
        store.apply([charge(account=b"account %d" % number)], NOON)
        assert eventually(partial(counters_are, number + 1, path, tmp_path / "copy"))


def test_without_a_checkpointer_the_file_would_stay_behind(tmp_path: Path, path: Path) -> None:
    """The store itself does none: it would hold a charge up."""
    store = SqliteStore(path)
    for number in range(50):
        store.apply([charge(account=b"account %d" % number)], NOON)
    try:
        assert counters_in(path, tmp_path / "copy") < 50
    finally:
        store.close()


def test_a_large_wal_is_said_once(
    monkeypatch: pytest.MonkeyPatch, checkpointer: Checkpointer, store: SqliteStore
) -> None:
    """The writer is asked for one checkpoint, not for one after each transaction."""
    monkeypatch.setattr(module, "LARGE_WAL_PAGES", 0)
    store.apply([charge()], NOON)

    assert eventually(checkpointer.wal_is_large)
    assert not checkpointer.wal_is_large()
    store.checkpoint()


def test_a_small_wal_asks_for_nothing(
    tmp_path: Path, path: Path, checkpointer: Checkpointer, store: SqliteStore
) -> None:
    """The writer is left alone."""
    store.apply([charge()], NOON)
    assert eventually(partial(counters_are, 1, path, tmp_path / "copy"))
    assert not checkpointer.wal_is_large()


def test_a_checkpoint_by_the_writer_begins_the_wal_anew(path: Path) -> None:
    """What it has moved is overwritten, so the WAL does not grow for ever."""
    store = SqliteStore(path)
    wal = path.with_name(path.name + "-wal")
    try:
        store.apply([charge(account=b"%d" % number) for number in range(500)], NOON)
        store.checkpoint()
        size = wal.stat().st_size
        for number in range(5):
            store.apply([charge(account=b"later %d" % number)], NOON)
            store.checkpoint()
        assert wal.stat().st_size == size
    finally:
        store.close()


def purge(store: SqliteStore, account: bytes) -> None:
    """Of an account that has left something in every table."""
    store.apply([charge(account=account, login=account.upper()), refusal(account=account)], NOON)
    store.change(Request([Set(account, Kind.LIMIT, "5", 0, f"of {account.decode()}")], "root"), NOON)
    store.change(Request([Purge(account, "Art. 17")], "root"), NOON)


def traces(path: Path, account: bytes) -> int:
    """How often the files have it, deleted or not."""
    files = [path, path.with_name(f"{path.name}-wal")]
    return sum(file.read_bytes().lower().count(account) for file in files if file.exists())


def test_what_was_purged_is_in_no_file(path: Path, store: SqliteStore) -> None:
    """But for its entry of the audit log, in table and index; neither free pages nor the WAL have it."""
    store.apply([charge(account=b"account %d" % number) for number in range(300)], NOON)
    purge(store, b"somebody")

    assert eventually(lambda: traces(path, b"somebody") == 2)
    store.apply([charge(account=b"bob")], NOON)
    assert traces(path, b"somebody") == 2


def test_a_reader_delays_that_and_holds_no_charge_up(
    monkeypatch: pytest.MonkeyPatch, path: Path, store: SqliteStore
) -> None:
    """What it reads has to stay; the WAL is emptied when it has gone, though no charge comes any more."""
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.05)
    store.apply([charge()], NOON)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM account").fetchone()
        purge(store, b"somebody")
        for number in range(40):
            store.apply([charge(account=b"account %d" % number)], NOON)
            time.sleep(0.005)
        time.sleep(3 * module.INTERVAL_SECONDS)  # the checkpoint after the last charge has met the reader
        before = traces(path, b"somebody")

    assert before > 2
    assert eventually(lambda: traces(path, b"somebody") == 2)


def test_a_start_empties_what_a_killed_process_left(path: Path) -> None:
    """It may have been killed between a purge and the end of the WAL."""
    with closing(sqlite3.connect(path)) as holds_the_wal:
        store = SqliteStore(path)
        purge(store, b"somebody")
        holds_the_wal.execute("SELECT count(*) FROM account").fetchone()
        left = traces(path, b"somebody")
        checkpointer, _ = observed_checkpointer(path)
        checkpointer.committed()
        emptied = eventually(lambda: traces(path, b"somebody") == 2)
        checkpointer.close()
        store.close()

    assert left > 2
    assert emptied


def test_a_checkpoint_that_fails_is_told_once_and_tried_again(path: Path) -> None:
    """Each is counted; the next success is told, too."""
    path.write_bytes(b"this is no database " * 500)
    checkpointer, seen = observed_checkpointer(path)
    try:
        checkpointer.committed()
        assert eventually(lambda: seen.sample("store_checkpoints_failed_total") == 1)
        checkpointer.committed()
        assert eventually(lambda: seen.sample("store_checkpoints_failed_total") == 2)
        path.unlink()
        checkpointer.committed()
        assert eventually(lambda: len(seen.log.lines) == 2)
    finally:
        checkpointer.close()

    assert seen.log.events == ["checkpoint_failed", "checkpoints_work_again"]
    assert str(seen.log.lines[0]["reason"]) == "file is not a database"
    assert seen.sample("store_checkpoints_failed_total") == 2


def test_a_file_in_the_place_of_the_stores_is_left_alone(tmp_path: Path, path: Path) -> None:
    """An admin has put it there, which could not be undone: the WAL beside it is the store's."""
    checkpointer, seen = observed_checkpointer(path)
    with closing(SqliteStore(path, committed=checkpointer.committed)) as store:
        store.apply([charge(instance=b"first")], NOON)
        assert eventually(partial(counters_are, 1, path, tmp_path / "seen"))
        other = tmp_path / "other"
        with closing(sqlite3.connect(path)) as db:
            db.execute("VACUUM INTO ?", (str(other),))
        before = other.read_bytes()
        with suppress(OSError), checkpointer.kept_away():
            other.replace(path)
            raise OSError("no room to write the store anew")
        for number in range(20):
            store.apply([charge(account=b"account%d" % number)], NOON)
        assert eventually(lambda: "checkpoint_failed" in seen.log.events)
        checkpointer.close()

        assert path.read_bytes() == before


def test_without_a_commit_there_is_no_checkpoint(path: Path) -> None:
    """Each is done for a commit; an idle night costs nothing."""
    path.write_bytes(b"this is no database " * 500)
    checkpointer, seen = observed_checkpointer(path)
    try:
        assert not checkpointer.wal_is_large()
        time.sleep(0.02)
        assert seen.sample("store_checkpoints_failed_total") == 0
        checkpointer.committed()
        assert eventually(lambda: seen.sample("store_checkpoints_failed_total") == 1)
        time.sleep(0.02)
        assert seen.sample("store_checkpoints_failed_total") == 1
    finally:
        checkpointer.close()


def test_closing_ends_the_thread(checkpointer: Checkpointer) -> None:
    """Afterwards nobody holds the database."""
    threads = [thread for thread in threading.enumerate() if thread.name == "checkpoint"]
    assert len(threads) == 1
    checkpointer.committed()
    checkpointer.close()
    assert not threads[0].is_alive()


def test_closing_waits_for_no_interval(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Neither before the first commit nor between two checkpoints."""
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 3600.0)
    started = time.monotonic()
    observed_checkpointer(path)[0].close()
    busy, _ = observed_checkpointer(path)
    busy.committed()
    busy.close()

    assert time.monotonic() - started < 5
    assert not path.exists()


def test_who_is_kept_away_leaves_the_file_alone(
    tmp_path: Path, path: Path, checkpointer: Checkpointer, store: SqliteStore
) -> None:
    """So it can be moved; afterwards the checkpoints go on."""
    store.apply([charge()], NOON)
    assert eventually(partial(counters_are, 1, path, tmp_path / "copy"))
    with checkpointer.kept_away():
        store.apply([charge(account=b"second")], NOON)
        time.sleep(0.02)
        assert counters_in(path, tmp_path / "copy") == 1

    assert eventually(partial(counters_are, 2, path, tmp_path / "copy"))
