"""Reads the store for an admin, beside the writer and without disturbing it; bounded as a report is."""

import base64
import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from quota.domain import LOCK
from quota.overrides import AuditEntry, Kind, Override
from quota.store.overrides import Standing
from quota.store.personal import rows_of
from quota.store.reader import reading
from quota.views import (
    DayUsage,
    OverridePage,
    RefusalRecord,
    Rows,
    StoreStatus,
    Top,
    TopAccount,
    Usage,
)

# The largest, of the audit log, have some 15 KB in JSON: names of control characters, reasons of emoji.
ROWS_AT_A_TIME = 100

_ACCOUNT = "SELECT id, login FROM account WHERE name = ?"
_COUNTERS = (
    "SELECT day, name, unit, used, refused FROM counter"
    " WHERE day IN (SELECT value FROM json_each(?)) AND account = ?"
)
_REFUSALS = (
    "SELECT day, rule, 0, 0, count FROM refusal"
    " WHERE day IN (SELECT value FROM json_each(?)) AND account = ? AND enforced AND last_maximum IS NULL"
)
_TOP = """
SELECT account.name, counter.name, unit, used, refused, overrides
FROM counter JOIN account ON account.id = counter.account
WHERE day = ? ORDER BY used DESC, account.name LIMIT ?
"""
_TOTAL = "SELECT coalesce(sum(used), 0) FROM counter WHERE day = ?"
_REFUSAL = """
SELECT decision_id, at_ms, account.name, refusal_log.login, rule, enforced, country, address, sender,
    recipient, recipient_count, used, maximum, resets_ms, settings, detail, account
FROM refusal_log JOIN account ON account.id = refusal_log.account
WHERE decision_id = ? ORDER BY enforced DESC, refusal_log.id LIMIT 1
"""
_PAGE = "SELECT id, name FROM account WHERE overrides IS NOT NULL AND name > ? ORDER BY name LIMIT ?"
_ONE = "SELECT id, name FROM account WHERE overrides IS NOT NULL AND name = ?"
_OVERRIDES = (
    "SELECT kind, value, until_ms, reason, who, set_ms FROM override"
    " WHERE account = ? AND (until_ms = 0 OR until_ms > ?) ORDER BY kind"
)
_REASON = "SELECT reason FROM override WHERE account = ? AND kind = ?"
_AUDIT = "SELECT at_ms, who, what, account, value, until_ms, reason FROM audit ORDER BY id DESC LIMIT ?"
_AUDIT_OF = (
    "SELECT at_ms, who, what, account, value, until_ms, reason FROM audit"
    " WHERE account = ? ORDER BY id DESC LIMIT ?"
)
_ACCOUNTS = "SELECT count(*) FROM account"
_WAITING = "SELECT count(DISTINCT notification) FROM delivery"
_IN_FORCE = "SELECT kind, count(*) FROM override WHERE until_ms = 0 OR until_ms > ? GROUP BY kind"


class SqliteAdminReader:
    """Fulfils quota.store.interface.AdminReader. Args: path: the file of a SqliteStore that is open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def status(self, now_unix_ms: int) -> StoreStatus:
        with reading(self._path) as db:
            (accounts,) = db.execute(_ACCOUNTS).fetchone()
            in_force = dict(db.execute(_IN_FORCE, (now_unix_ms,)).fetchall())
            (waiting,) = db.execute(_WAITING).fetchone()
        files = [self._path.with_name(self._path.name + suffix) for suffix in ("", "-wal")]
        return StoreStatus(
            str(self._path),
            sum(file.stat().st_size for file in files if file.exists()),
            accounts,
            limits=in_force.get(Kind.LIMIT, 0),
            permits=in_force.get(Kind.COUNTRY, 0),
            locks=in_force.get(Kind.LOCK, 0),
            notifications_waiting=waiting,
        )

    def usage(self, account: bytes, first_day: int, last_day: int, now_unix_ms: int) -> Usage:
        with reading(self._path) as db:
            id_, login = db.execute(_ACCOUNT, (account,)).fetchone() or (None, b"")
            days = (json.dumps(list(range(first_day, last_day + 1))), id_)
            found = [DayUsage(*row) for sql in (_COUNTERS, _REFUSALS) for row in db.execute(sql, days)]
            found.sort(key=lambda of: (-of.day, -of.unit, of.name))
            return Usage(login, tuple(found), tuple(_overrides(db, id_, account, now_unix_ms)))

    def top(self, day: int, most: int, now_unix_ms: int) -> Top:
        with reading(self._path) as db:
            accounts = tuple(
                TopAccount._make((*row[:-1], _maximum(row[-1], now_unix_ms)))
                for row in db.execute(_TOP, (day, most))
            )
            return Top(accounts, db.execute(_TOTAL, (day,)).fetchone()[0])

    def explain(self, decision_id: str) -> RefusalRecord | None:
        with reading(self._path) as db:
            row = db.execute(_REFUSAL, (decision_id,)).fetchone()
            if row is None:
                return None
            *values, account = row
            record = RefusalRecord(*values)._replace(enforced=bool(values[5]))
            if record.rule == LOCK:
                found = db.execute(_REASON, (account, Kind.LOCK)).fetchone()
                record = record._replace(detail=found[0] if found else "")
            return record

    def overrides(self, after: bytes, most: int, now_unix_ms: int) -> OverridePage:
        with reading(self._path) as db:
            names = db.execute(_PAGE, (after, most + 1)).fetchall()
            found = [
                override for id_, name in names[:most] for override in _overrides(db, id_, name, now_unix_ms)
            ]
            return OverridePage(tuple(found), names[most - 1][1] if len(names) > most else b"")

    def overrides_of(self, account: bytes, now_unix_ms: int) -> tuple[Override, ...]:
        with reading(self._path) as db:
            return tuple(
                override
                for id_, name in db.execute(_ONE, (account,)).fetchall()
                for override in _overrides(db, id_, name, now_unix_ms)
            )

    def audit(self, most: int, account: bytes | None = None) -> tuple[AuditEntry, ...]:
        with reading(self._path) as db:
            rows = db.execute(_AUDIT, (most,)) if account is None else db.execute(_AUDIT_OF, (account, most))
            return tuple(AuditEntry(*row) for row in rows)

    def export(self, account: bytes) -> tuple[Rows, ...]:
        with reading(self._path) as db:
            return tuple(_exported(db, account))


def _overrides(db: sqlite3.Connection, id_: int | None, name: bytes, now_ms: int) -> Iterator[Override]:
    for kind, *of in db.execute(_OVERRIDES, (id_, now_ms)):
        yield Override(name, Kind(kind), *of)


def _maximum(short: str | None, now_ms: int) -> int:
    if short is None:
        return 0
    standing = Standing.read(short)
    return standing.maximum if now_ms < standing.maximum_until_ms else 0


def _exported(db: sqlite3.Connection, account: bytes) -> Iterator[Rows]:
    for table, cursor in rows_of(db, account):
        columns = [column for column, *_ in cursor.description]
        while rows := cursor.fetchmany(ROWS_AT_A_TIME):
            yield Rows(table, tuple(_as_json(columns, row) for row in rows))


def _as_json(columns: Iterable[str], row: Iterable[Any]) -> str:
    values = {column: _plain(column, value) for column, value in zip(columns, row, strict=True)}
    return json.dumps(values)


def _plain(column: str, value: Any) -> Any:
    if column == "day":
        return date.fromordinal(value).isoformat()
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
