"""Where a person's rows are: for whoever asks what is kept of him, or that it be forgotten.

Each table of the schema stands here (a test says when one is missing). Most have the day first in their key,
and are asked day by day, so that nobody else's rows are read.
"""

import sqlite3
from collections.abc import Iterator

BY_DAY = ("counter", "refusal", "origin", "notification")  # keys begin with (day, account)
BY_ACCOUNT = ("refusal_log", "override")  # an index begins with account, which is account.id
BY_NAME = {"audit": "account", "account": "name"}  # the column that has the account's name
# A hash of account and message, made so that nobody can tell whose it is. It goes by itself after six hours.
UNKNOWN_WHOSE = ("ledger",)
WITH_OTHERS = ("delivery",)  # a trigger deletes them with those of notification
PURGE = "purge"  # the entry of the audit log that says that all others were deleted


# By the index, one step a day; `DISTINCT day` would read every row.
_DAYS = """
WITH RECURSIVE days (day) AS (
    SELECT min(day) FROM {table}
    UNION ALL SELECT (SELECT min(day) FROM {table} WHERE day > days.day) FROM days WHERE day IS NOT NULL
)
SELECT day FROM days WHERE day IS NOT NULL
"""
_BUT = {"audit": f" AND what != '{PURGE}'"}


def rows_of(db: sqlite3.Connection, name: bytes) -> Iterator[tuple[str, sqlite3.Cursor]]:
    """Each table with a cursor over the account's rows."""
    for table, where, values in _places(db, name):
        yield table, db.execute(f"SELECT * FROM {table} WHERE {where}", values)  # noqa: S608


def delete_rows_of(db: sqlite3.Connection, name: bytes) -> int:
    """Delete the account's rows in all tables, but for what the audit log says of that; returns how many."""
    return sum(
        db.execute(f"DELETE FROM {table} WHERE {where}{_BUT.get(table, '')}", values).rowcount  # noqa: S608
        for table, where, values in list(_places(db, name))
    )


def _places(db: sqlite3.Connection, name: bytes) -> Iterator[tuple[str, str, tuple[object, ...]]]:
    found = db.execute("SELECT id FROM account WHERE name = ?", (name,)).fetchone()
    if found is not None:
        for table in BY_DAY:
            for (day,) in db.execute(_DAYS.format(table=table)).fetchall():
                yield table, "day = ? AND account = ?", (day, *found)
        for table in BY_ACCOUNT:
            yield table, "account = ?", found
    for table, column in BY_NAME.items():
        yield table, f"{column} = ?", (name,)
