"""The accounts and their cache."""

import sqlite3

import pytest

from quota.store import accounts as module
from quota.store.accounts import AccountTable


def test_an_account_is_made_once(db: sqlite3.Connection) -> None:
    """Its login is that which was typed last; none leaves it as it is."""
    table = AccountTable(db)
    first = table.of(b"alice", b"Alice")
    again = [table.of(b"alice", b"ALICE"), table.of(b"alice")]

    assert first == again[0] == again[1] == (1, None)
    assert db.execute("SELECT name, login FROM account").fetchall() == [(b"alice", b"ALICE")]


def test_what_is_set_is_read_with_the_account(db: sqlite3.Connection) -> None:
    """And again when it is said to have changed; a repeated question asks the store nothing."""
    table = AccountTable(db)
    table.of(b"alice", b"alice")
    db.execute("""UPDATE account SET overrides = '{"lock":["",9]}'""")
    _, before = table.of(b"alice", b"alice")
    table.changed(b"alice")
    _, after = table.of(b"alice", b"alice")
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    table.of(b"alice", b"alice")

    assert before is None
    assert after is not None
    assert after.locked_until_ms == 9
    assert asked == []


def test_long_names_are_not_kept_in_memory(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the same accounts all the same; neither are too many."""
    monkeypatch.setattr(module, "ACCOUNT_CACHE", 3)
    table = AccountTable(db)
    long = b"x" * 600
    ids = [table.of(long, long)[0], table.of(long, b"X")[0], table.of(long, b"X" * 600)[0]]
    for number in range(9):
        table.of(b"%d" % number, b"x")
        assert len(table._known) <= 3

    assert ids == [1, 1, 1]
    assert long not in table._known
