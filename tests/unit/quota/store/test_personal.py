"""Where a person's rows are."""

import sqlite3

from quota.store.personal import (
    BY_ACCOUNT,
    BY_DAY,
    BY_NAME,
    UNKNOWN_WHOSE,
    WITH_OTHERS,
    delete_rows_of,
    rows_of,
)


def test_no_table_is_forgotten(db: sqlite3.Connection) -> None:
    """Whoever adds a table says whose rows it has."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}

    assert {*BY_DAY, *BY_ACCOUNT, *BY_NAME, *UNKNOWN_WHOSE, *WITH_OTHERS} == tables


def test_rows_are_found_and_deleted(db: sqlite3.Connection) -> None:
    """Of this account alone; of one that nobody knows there may still be audit entries."""
    for id_, name in ((1, b"alice"), (2, b"bob")):
        db.execute("INSERT INTO account (id, name, login) VALUES (?, ?, ?)", (id_, name, name))
        for day in (5, 9):
            db.execute("INSERT INTO counter VALUES (?, ?, 'quota', 1, 3, 0)", (day, id_))
        db.execute("INSERT INTO override VALUES (?, 'lock', '', 0, '', '', 0)", (id_,))
        db.execute("INSERT INTO audit VALUES (NULL, 0, 'root', 'lock', ?, '', 0, '')", (name,))
    found = {table: len(rows) for table, of in rows_of(db, b"alice") if (rows := of.fetchall())}
    deleted = [delete_rows_of(db, b"alice"), delete_rows_of(db, b"alice")]

    assert found == {"counter": 1, "override": 1, "audit": 1, "account": 1}
    assert deleted == [5, 0]
    assert db.execute("SELECT DISTINCT account FROM counter").fetchall() == [(2,)]
    assert db.execute("SELECT name FROM account").fetchall() == [(b"bob",)]


def test_only_days_that_there_are_are_asked(db: sqlite3.Connection) -> None:
    """A clock that stood wrong for a moment leaves a day far away: a purge holds all charges up."""
    db.execute("INSERT INTO account (id, name, login) VALUES (1, x'616c696365', x'616c696365')")
    for day in (5, 700, 20_000):
        db.execute("INSERT INTO counter VALUES (?, 1, 'quota', 1, 3, 0)", (day,))
    asked: list[str] = []
    db.set_trace_callback(asked.append)

    assert delete_rows_of(db, b"alice") == 4
    assert len([statement for statement in asked if statement.startswith("DELETE FROM counter")]) == 3
