"""What becomes of a store whose file is corrupt."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest

from quota.domain import Charge, ChargeResult, Outcome
from quota.overrides import AuditEntry, Kind, Request, Set
from quota.store import mending as module
from quota.store.interface import StoreCorruptError, StoreError
from quota.store.mending import MendingStore
from quota.store.sqlite import SqliteStore
from tests.support.charges import NOON, charge
from tests.support.stores import fill, spoil

NOISE = b"this is no database, " * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quota.sqlite3"


class Mended:
    """A mending store, what it has moved, and whether it was alone then."""

    def __init__(self, path: Path) -> None:
        self.moved: list[Path] = []
        self.reasons: list[str] = []
        self.alone = 0
        self.rewritten: list[str | None] = []
        self.store = MendingStore(
            path,
            lambda: SqliteStore(path),
            alone=self._alone,
            moved=self._moved,
            rewritten=self.rewritten.append,
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.alone += 1
        yield

    def _moved(self, aside: Path, error: StoreCorruptError) -> None:
        self.moved.append(aside)
        self.reasons.append(str(error))

    def used(self, *charges: Charge) -> list[int]:
        results = self.store.apply(charges, NOON)
        assert all(isinstance(result, ChargeResult) for result in results)
        return [result.limits[0].used for result in results if isinstance(result, ChargeResult)]


def test_a_file_that_is_no_database_is_moved_aside_and_kept(path: Path) -> None:
    """A new store goes on."""
    path.write_bytes(NOISE)
    mended = Mended(path)
    assert mended.used(charge()) == [1]
    mended.store.close()

    (aside,) = mended.moved
    assert aside.read_bytes() == NOISE
    assert aside.name.startswith("quota.sqlite3.corrupt-2")
    assert (mended.reasons, mended.alone) == (["file is not a database"], 1)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT used FROM counter").fetchall() == [(1,)]


def test_a_file_that_is_spoilt_while_it_is_used_is_moved_aside(path: Path) -> None:
    """With its WAL. The charge that met it is done in the new store, and nobody hears of a failure."""
    accounts = fill(path)
    mended = Mended(path)
    mended.used(charge(account=b"in the WAL"))
    spoil(path)
    results = [mended.used(charge(account=account)) for account in accounts[::100]]
    again = mended.used(charge(account=accounts[0], instance=b"i2"))
    mended.store.close()

    assert results == [[1]] * len(results)
    assert again == [2]
    (aside,) = mended.moved
    assert aside.with_name(aside.name + "-wal").stat().st_size > 0


def test_what_an_admin_does_is_written_to_the_new_store_too(path: Path) -> None:
    """A change, and an entry of the audit log that no change makes."""
    path.write_bytes(NOISE)
    mended = Mended(path)
    mended.store.change(Request([Set(b"alice", Kind.LIMIT, "5", 0, "newsletter")], "root@mail"), NOON)
    mended.store.note(AuditEntry(NOON, "ipv4:127.0.0.1:4711", "token-refused"))
    mended.store.close()

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT what FROM audit ORDER BY id").fetchall() == [("limit",), ("token-refused",)]


def test_a_truncated_file_is_corrupt(path: Path) -> None:
    """As after a disk that was full, or a copy that was broken off."""
    fill(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    mended = Mended(path)
    mended.store.expire(NOON, 1000)
    results = [mended.used(charge(account=b"filled%d" % number)) for number in range(50)]
    mended.store.close()

    assert len(mended.moved) == 1
    assert results[-1] == [1]


def test_a_sound_file_is_left_alone(path: Path) -> None:
    """And so is one that cannot be opened for another reason."""
    first = Mended(path)
    first.used(charge())
    first.store.close()
    second = Mended(path)
    assert second.used(charge(instance=b"i2")) == [2]
    second.store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="schema 99"):
        Mended(path)

    assert [each.name for each in path.parent.iterdir()] == ["quota.sqlite3"]


def test_after_five_corrupt_files_the_store_fails_until_they_are_removed(path: Path) -> None:
    """A failing disk must not let everybody begin at 0 again and again, nor be filled with copies."""
    for _ in range(module.MAX_KEPT):
        path.write_bytes(NOISE)
        Mended(path).store.close()
    path.write_bytes(NOISE)
    with pytest.raises(StoreError, match="file is not a database, and 5 corrupt files lie beside it already"):
        Mended(path)

    assert path.read_bytes() == NOISE
    for kept in path.parent.glob("*.corrupt-*"):
        kept.unlink()
    mended = Mended(path)
    assert mended.used(charge()) == [1]
    mended.store.close()


def test_what_cannot_be_moved_fails_until_it_can(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both reasons; the next try is a new one."""
    accounts = fill(path)
    mended = Mended(path)
    spoil(path)

    def rename(_: Path, __: Path) -> Path:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(StoreError, match="malformed, and cannot be moved aside: Read-only file system"):
            [mended.used(charge(account=account)) for account in accounts[::100]]
    results = mended.store.apply([charge(account=accounts[0])], NOON)
    mended.store.close()

    assert [result.outcome for result in results if isinstance(result, ChargeResult)] == [Outcome.CHARGED]


FILES = ("", "-wal", "-shm")


def remove(path: Path, suffixes: Iterable[str]) -> None:
    for suffix in suffixes:
        path.with_name(path.name + suffix).unlink()


@pytest.mark.parametrize("gone", [("",), ("-wal",), ("-shm",), FILES], ids=",".join)
def test_a_store_whose_files_are_removed_is_written_anew(path: Path, gone: tuple[str, ...]) -> None:
    """Nothing is lost, though the next process finds what is there by its name."""
    mended = Mended(path)
    assert mended.used(charge()) == [1]
    remove(path, gone)
    assert mended.store.displaced()
    assert mended.used(charge(instance=b"i2")) == [2]
    mended.store.checkpoint()
    # As after kill -9: nothing is closed.
    killed, after = mended, Mended(path)

    assert after.used(charge(instance=b"i3"), charge()) == [3, 3]
    assert not after.store.displaced()
    assert (mended.rewritten, mended.alone, mended.moved, after.rewritten) == ([None], 1, [], [])
    assert not path.with_name("quota.sqlite3.replaced").exists()
    after.store.close()
    killed.store.close()


def test_the_end_of_quota_writes_them_anew_too(path: Path) -> None:
    """Nobody had looked since they were removed."""
    mended = Mended(path)
    mended.used(charge())
    remove(path, FILES)
    mended.store.close()
    after = Mended(path)

    assert after.used(charge(instance=b"i2")) == [2]
    after.store.close()


def test_what_stands_in_the_place_of_the_store_is_kept(path: Path) -> None:
    """A backup, put there while quota runs: its counts are older than those in use."""
    mended = Mended(path)
    mended.used(charge())
    other = path.with_name("backup")
    other.write_bytes(b"backup")
    other.replace(path)
    mended.store.checkpoint()
    mended.store.close()
    after = Mended(path)

    assert after.used(charge(instance=b"i2")) == [2]
    assert path.with_name("quota.sqlite3.replaced").read_bytes() == b"backup"
    after.store.close()


def test_a_store_that_cannot_be_written_anew_is_used_as_it_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole directory was moved; that is told each time, and is well again when it is moved back."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    directory = path.parent / "state"
    directory.mkdir()
    mended = Mended(directory / path.name)
    mended.used(charge())
    away = directory.rename(path.parent / "away")
    for count in (2, 3):
        assert mended.store.displaced()
        mended.store.checkpoint()
        assert mended.used(charge(instance=b"i%d" % count)) == [count]
    away.rename(directory)

    assert not mended.store.displaced()
    assert mended.rewritten == ["unable to open database file"] * 2
    mended.store.close()
    after = Mended(directory / path.name)
    assert after.used(charge(instance=b"i4")) == [4]
    after.store.close()


def test_half_a_copy_is_not_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full: it would take the room that charges need."""
    mended = Mended(path)
    mended.used(charge())
    remove(path, [""])

    def copy_to(_: SqliteStore, new: Path) -> None:
        new.write_bytes(b"half")
        raise StoreError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "copy_to", copy_to)
        mended.store.checkpoint()
    assert not path.with_name("quota.sqlite3.new").exists()
    mended.store.close()

    assert mended.rewritten == ["database or disk is full", None]


def test_files_are_looked_for_once_in_a_while(path: Path) -> None:
    """Every charge pays for it."""
    mended = Mended(path)
    assert not mended.store.displaced()
    remove(path, FILES)
    assert not mended.store.displaced()
    mended.store.close()
    assert mended.rewritten == [None]


def test_a_store_that_was_opened_read_only_is_opened_anew(path: Path) -> None:
    """SQLite opens a file that it may not write for reading, and stays with that."""
    opened: list[SqliteStore] = []

    def open_store() -> SqliteStore:
        store = SqliteStore(path)
        if not opened:
            store._db.execute("PRAGMA query_only = 1")
        opened.append(store)
        return store

    store = MendingStore(path, open_store, alone=nullcontext, moved=print, rewritten=print)
    with pytest.raises(StoreError, match="attempt to write a readonly database"):
        store.apply([charge()], NOON)

    assert len(store.apply([charge()], NOON)) == 1
    assert len(opened) == 2
    store.close()
