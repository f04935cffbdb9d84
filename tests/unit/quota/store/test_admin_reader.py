"""What is special to the reader of a SQLite store; tests/contract has what an admin sees."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from quota.store import reader as module
from quota.store.admin_reader import SqliteAdminReader
from quota.store.interface import StoreError
from quota.store.sqlite import SqliteStore
from tests.support.charges import NOON


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Of the interface, and no file is made."""
    with pytest.raises(StoreError):
        SqliteAdminReader(tmp_path / "missing").status(NOON)
    assert not (tmp_path / "missing").exists()


def test_reading_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is too large to be read in time is an error too."""
    SqliteStore(tmp_path / "store").close()
    monkeypatch.setattr(module, "READ_SECONDS", -1)
    monkeypatch.setattr(module, "_STEPS", 1)
    with pytest.raises(StoreError, match="interrupted"):
        SqliteAdminReader(tmp_path / "store").status(NOON)


def test_pages_are_found_by_an_index(tmp_path: Path) -> None:
    """A million accounts without an override are not looked at."""
    SqliteStore(tmp_path / "store").close()
    with closing(sqlite3.connect(tmp_path / "store")) as db:
        plan = db.execute(
            "EXPLAIN QUERY PLAN SELECT id, name FROM account"
            " WHERE overrides IS NOT NULL AND name > x'' ORDER BY name LIMIT 5"
        ).fetchall()

    assert [row[3] for row in plan] == ["SEARCH account USING INDEX account_overridden (name>?)"]
