"""The audit log's bounds; tests/contract has what stands in it."""

import sqlite3

import pytest

from quota.overrides import AuditEntry
from quota.store import audit as module
from quota.store.audit import expire_audit, write_audit


def entries(db: sqlite3.Connection) -> list[int]:
    return [at for (at,) in db.execute("SELECT at_ms FROM audit ORDER BY id")]


def test_old_entries_go_in_bites(db: sqlite3.Connection) -> None:
    """Younger ones stay."""
    write_audit(db, [AuditEntry(number, "root", "lock", b"alice") for number in range(10)])
    bites = [expire_audit(db, 5, 3) for _ in range(3)]

    assert bites == [3, 2, 0]
    assert entries(db) == [5, 6, 7, 8, 9]


def test_too_many_entries_go(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first; an empty log is fine."""
    monkeypatch.setattr(module, "MAX_ROWS", 4)
    assert expire_audit(db, 0, 100) == 0
    write_audit(db, [AuditEntry(number, "root", "lock") for number in range(10)])

    assert expire_audit(db, 0, 100) == 6
    assert entries(db) == [6, 7, 8, 9]
