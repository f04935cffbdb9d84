"""How origins are written; tests/contract has what comes of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files

import pytest

from quota.store import origins as module
from quota.store.origins import ACCEPTED, OriginKey, OriginTable

BOUND = 5


@pytest.fixture
def db(monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A database with nothing but the table, and a bound that a test can reach."""
    monkeypatch.setattr(module, "MAX_ADDRESSES", BOUND)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(files("quota.store").joinpath("schema_2.sql").read_text())
        yield db


@pytest.fixture
def asked(db: sqlite3.Connection) -> list[str]:
    """Every SELECT from now on."""
    asked: list[str] = []

    def trace(statement: str) -> None:
        if statement.startswith("SELECT"):
            asked.append(statement)

    db.set_trace_callback(trace)
    return asked


def origin(address: bytes, *, account: int = 1, day: int = 1, rule: str = "country") -> OriginKey:
    return day, account, "US", address, rule, 1


def rows(db: sqlite3.Connection) -> dict[tuple[int, bytes], int]:
    return {
        (account, address): n
        for account, address, n in db.execute("SELECT account, address, count FROM origin")
    }


def net(size: int) -> dict[OriginKey, int]:
    return {origin(b"%d" % number): 1 for number in range(size)}


def test_counts_are_added(db: sqlite3.Connection) -> None:
    """To what there was."""
    table = OriginTable(db)
    table.add({origin(b"a"): 2, origin(b"b"): 1})
    table.add({origin(b"a"): 3})
    table.add({})

    assert rows(db) == {(1, b"a"): 5, (1, b"b"): 1}


def test_below_the_bound_nothing_is_read(db: sqlite3.Connection, asked: list[str]) -> None:
    """But once for each account and day, however often they come: every charge would pay for it."""
    table = OriginTable(db)
    for _ in range(BOUND - 1):
        table.add({origin(b"a"): 1, origin(b"a", account=2): 1, origin(b"a", day=2): 1})

    assert len(asked) == 3


def test_one_address_never_fills_the_room(db: sqlite3.Connection) -> None:
    """However often it is counted: what looked full is counted exactly."""
    table = OriginTable(db)
    for _ in range(BOUND * 3):
        table.add({origin(b"a"): 1})
    table.add({origin(b"b"): 1})

    assert rows(db) == {(1, b"a"): BOUND * 3, (1, b"b"): 1}


@pytest.mark.parametrize("size", [1, 2, BOUND * 3])
def test_who_has_sent_much_from_one_address_gets_no_more_room(db: sqlite3.Connection, size: int) -> None:
    """What is counted exactly goes on being counted."""
    table = OriginTable(db)
    for _ in range(BOUND * 3):
        table.add({origin(b"a"): 1})
    keys = list(net(BOUND * 3))
    for start in range(0, len(keys), size):
        table.add(dict.fromkeys(keys[start : start + size], 1))

    assert len([address for _, address in rows(db) if address]) == BOUND
    assert rows(db)[1, b""] == BOUND * 2 + 1


@pytest.mark.parametrize("size", [1, 2, BOUND * 3])
def test_beyond_the_bound_there_is_no_address(db: sqlite3.Connection, size: int) -> None:
    """In one call or in many; those that were there count on."""
    table = OriginTable(db)
    keys = list(net(BOUND * 3))
    for _ in range(2):
        for start in range(0, len(keys), size):
            table.add(dict.fromkeys(keys[start : start + size], 1))

    assert rows(db) == {**{(1, b"%d" % number): 2 for number in range(BOUND)}, (1, b""): BOUND * 4}


def test_a_restart_knows_the_bound(db: sqlite3.Connection) -> None:
    """The rows are there, whoever wrote them."""
    OriginTable(db).add(net(BOUND))
    OriginTable(db).add({origin(b"new"): 1, origin(b"0"): 1})

    assert rows(db)[1, b""] == 1
    assert rows(db)[1, b"0"] == 2


def test_a_full_account_costs_one_look_for_each_address(db: sqlite3.Connection, asked: list[str]) -> None:
    """Not a count of its rows each time."""
    table = OriginTable(db)
    table.add(net(BOUND * 2))
    asked.clear()
    for number in range(10):
        table.add({origin(b"new %d" % number): 1})

    assert len(asked) == 10
    assert not any("count(*)" in statement for statement in asked)


def test_rows_without_an_address_take_no_room(db: sqlite3.Connection) -> None:
    """There are only so many countries."""
    table = OriginTable(db)
    for number in range(BOUND * 2):
        table.add({(1, 1, f"{number:02}", b"", ACCEPTED, 0): 1})
    table.add(net(BOUND))

    assert len(rows(db)) == BOUND + 1
    assert len(db.execute("SELECT * FROM origin").fetchall()) == BOUND * 3


def test_what_was_rolled_back_is_forgotten(db: sqlite3.Connection) -> None:
    """Its addresses take no room."""
    table = OriginTable(db)
    db.execute("BEGIN")
    table.add(net(BOUND * 2))
    db.execute("ROLLBACK")
    table.forget()
    table.add({origin(b"%d" % number): 1 for number in range(100, 100 + BOUND)})

    assert (1, b"") not in rows(db)


def test_the_cache_is_bounded_and_its_loss_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, db: sqlite3.Connection
) -> None:
    """More accounts than it holds keep their bounds."""
    monkeypatch.setattr(module, "CACHED_DAYS", 3)
    table = OriginTable(db)
    for number in range(BOUND * 2):
        for account in range(5):
            table.add({origin(b"%d" % number, account=account): 1})
            assert len(table._at_most) + len(table._exactly) <= 4

    found = rows(db)
    for account in range(5):
        assert sum(1 for which, address in found if which == account and address) == BOUND
        assert found[account, b""] == BOUND
