"""What is special to reading the SQLite store; tests/contract has what every reader does."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quota.periods import day_of
from quota.store import reader as module
from quota.store.interface import StoreError
from quota.store.reader import SqliteReader, reading
from quota.store.sqlite import SqliteStore
from tests.support.charges import BERLIN, NOON, charge, refusal

DAY = day_of(NOON, BERLIN)


@pytest.fixture(params=["quota.sqlite3", "with blank, 100%?mode=rwc#.sqlite3"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Any name: it is no part of a URI."""
    found: Path = tmp_path / request.param
    return found


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as store:
        yield store


def test_it_reads_while_the_writer_writes(path: Path, store: SqliteStore) -> None:
    """What was committed before, and without waiting."""
    store.apply([refusal()], NOON)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE refusal SET count = 99")
        ((account,), countries) = SqliteReader(path).report(DAY, DAY)[1:3]
        writer.execute("ROLLBACK")

    assert account.refusals[0].total == 1
    assert countries[0].total == 1


def test_it_cannot_write(path: Path, store: SqliteStore) -> None:
    """The file is opened read-only."""
    store.apply([charge()], NOON)
    with (
        reading(path) as db,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        db.execute("DELETE FROM counter")


def test_it_makes_no_file(path: Path) -> None:
    """A store that is not there is a StoreError."""
    with pytest.raises(StoreError):
        SqliteReader(path).report(DAY, DAY)
    assert not path.exists()


def test_it_keeps_nothing_open(path: Path, store: SqliteStore) -> None:
    """Between two reports the WAL may begin anew."""
    store.apply([charge()], NOON)
    SqliteReader(path).report(DAY, DAY)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    assert busy == 0


def test_reading_has_an_end(monkeypatch: pytest.MonkeyPatch, path: Path, store: SqliteStore) -> None:
    """A report that takes too long is given up."""
    monkeypatch.setattr(module, "READ_SECONDS", -1.0)
    monkeypatch.setattr(module, "_STEPS", 10)
    store.apply([refusal(account=b"%d" % number) for number in range(100)], NOON)
    with pytest.raises(StoreError, match="interrupted"):
        SqliteReader(path).report(DAY, DAY)


def test_only_the_rows_that_are_asked_for_are_read(path: Path, store: SqliteStore) -> None:
    """By day and account on the key: the origins of all others cost nothing."""
    with closing(sqlite3.connect(path)) as db:
        plan = db.execute(
            f"EXPLAIN QUERY PLAN {module._ORIGINS}", {"days": "[1]", "accounts": "[1]", "addresses": 1}
        ).fetchall()

    assert any("SEARCH origin USING PRIMARY KEY (day=? AND account=?)" in step for *_, step in plan)


@pytest.mark.parametrize(
    ("query", "values"), [(module._REFUSED_COUNTS, (NOON,)), (module._REFUSED_NOW, (NOON, 50))]
)
def test_who_is_refused_now_is_found_by_an_index(
    path: Path, store: SqliteStore, query: str, values: tuple[int, ...]
) -> None:
    """It is asked every five seconds: what has ended long ago costs nothing."""
    with closing(sqlite3.connect(path)) as db:
        steps = [step for *_, step in db.execute(f"EXPLAIN QUERY PLAN {query}", values)]

    assert any("INDEX refusal_until (until_ms>?)" in step for step in steps)
    assert not any(step.startswith("SCAN") for step in steps)


def test_a_damaged_store_is_a_store_error(path: Path) -> None:
    """Not SQLite's own."""
    path.write_bytes(b"this is no database " * 500)
    with pytest.raises(StoreError):
        SqliteReader(path).report(DAY, DAY)
