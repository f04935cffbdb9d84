"""Who did what: written in the transaction of the act itself, kept for AUDIT_DAYS, and bounded."""

import sqlite3
from collections.abc import Iterable

from quota.overrides import AuditEntry

AUDIT_DAYS = 400
MAX_ROWS = 1_000_000

_PUT = "INSERT INTO audit (at_ms, who, what, account, value, until_ms, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"
# Ids grow with time, and few are missing: so they tell how many rows there are, at most.
_BOUNDS = "SELECT min(id), max(id) FROM audit"
_OLD = "SELECT id FROM (SELECT id, at_ms FROM audit ORDER BY id LIMIT ?) WHERE at_ms < ? OR id <= ?"
_FORGET = "DELETE FROM audit WHERE id = ?"


def write_audit(db: sqlite3.Connection, entries: Iterable[AuditEntry]) -> None:
    """Within a transaction of the writing connection."""
    db.executemany(_PUT, entries)


def expire_audit(db: sqlite3.Connection, before_ms: int, most: int) -> int:
    """Remove at most so many entries that are older, or too many; returns how many."""
    _, last = db.execute(_BOUNDS).fetchone()
    old = db.execute(_OLD, (most, before_ms, (last or 0) - MAX_ROWS)).fetchall()
    db.executemany(_FORGET, old)
    return len(old)
