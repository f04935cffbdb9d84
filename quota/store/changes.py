"""What an admin changes: all of a request in the transaction that is open, with its audit entries.

Overrides are changed in memory and written in the end, so that a large import holds the writer up as
little as can be.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from quota.domain import COUNTRY, LOCK, QUOTA
from quota.overrides import AuditEntry, Change, Changed, Clear, Kind, Override, Purge, Request, Reset, Set
from quota.periods import day_of
from quota.store.audit import write_audit
from quota.store.interface import MAX_CHANGES, SHOWN_BEFORE, TooManyChangesError
from quota.store.overrides import short
from quota.store.personal import PURGE, delete_rows_of
from quota.store.tables import Tables

NOT_IN_LIST = "not in the list that was imported"
_WORDS = {Kind.LIMIT: "limit-clear", Kind.COUNTRY: "country-clear", Kind.LOCK: "unlock"}

_ACCOUNT = "SELECT id, overrides FROM account WHERE name = ?"
_NEW_ACCOUNT = "INSERT INTO account (name, login) VALUES (?, ?)"
_SHORT = "UPDATE account SET overrides = ? WHERE id = ?"
_ROWS = "SELECT kind, value, until_ms, reason, who, set_ms FROM override WHERE account = ?"
_PUT = (
    "INSERT OR REPLACE INTO override (account, kind, value, until_ms, reason, who, set_ms)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_DELETE = "DELETE FROM override WHERE account = ? AND kind = ?"
_LISTED = (
    "SELECT name, kind FROM override JOIN account ON account.id = override.account"
    " WHERE kind != 'lock' LIMIT ?"
)
_REFUSED_NOW = "SELECT DISTINCT account FROM refusal WHERE enforced AND until_ms > ?"
# A refusal that lasts was counted to today, or to a day of another time zone.
_NO_LONGER = (
    "UPDATE refusal SET until_ms = 0"
    " WHERE day IN (:today - 1, :today, :today + 1) AND account = :account AND enforced AND until_ms > 0 AND "
)
_BY_LOWER_LIMIT = _NO_LONGER + "rule = :rule AND last_maximum < :maximum"
_FROM_COUNTRY = _NO_LONGER + "rule = :rule AND instr(:countries, last_country) AND last_country != ''"
_BY_RULE = _NO_LONGER + "rule = :rule"
_BY_ANY_BUT = _NO_LONGER + "rule != :rule"
_RESET = "DELETE FROM counter WHERE day = ? AND account = ?"
_ENDED = "SELECT account, kind FROM override WHERE until_ms > 0 AND until_ms <= ? LIMIT ?"
ROWS_OF_A_LOCK = 2  # the override's and the account's


class _Account(NamedTuple):
    id: int | None  # None: not there yet
    overrides: dict[Kind, Override]  # as they will be, with those that have ended


class Changes:
    """One request. Args: now_unix_ms: decides what is in force, and which day is today."""

    def __init__(self, db: sqlite3.Connection, tables: Tables, now_unix_ms: int) -> None:
        self._db = db
        self._tables = tables
        self._now_ms = now_unix_ms
        self._accounts: dict[bytes, _Account] = {}
        self._changed: dict[tuple[bytes, Kind], None] = {}
        self._audit: list[AuditEntry] = []
        self._before: list[Override] = []
        self._refused: set[int] | None = None

    def do(self, request: Request) -> Changed:
        """Do all, and write. Raises TooManyChangesError."""
        done = 0
        for change in [*(self._unlisted(request) if request.replace else ()), *request.changes]:
            entry = self._one(change, request.who)
            if entry is not None:
                done += 1
                self._audit.append(entry)
        self._write()
        return Changed(done, tuple(self._before))

    def _unlisted(self, request: Request) -> Iterator[Clear]:
        listed = {(change.account, change.kind) for change in request.changes if isinstance(change, Set)}
        now = self._db.execute(_LISTED, (2 * MAX_CHANGES + 1,)).fetchall()
        gone = [(name, Kind(kind)) for name, kind in now if (name, kind) not in listed]
        if len(gone) + len(request.changes) > MAX_CHANGES:
            raise TooManyChangesError(
                f"more than {MAX_CHANGES:,} changes, with the limits and permits that would be cleared"
            )
        for name, kind in gone:
            yield Clear(name, kind, NOT_IN_LIST)

    def _one(self, change: Change, who: str) -> AuditEntry | None:
        """Do one change; None if there was nothing to do."""
        name = change.account
        if isinstance(change, Set):
            return self._set(change, who)
        if isinstance(change, Clear):
            if self._clear(change):
                return AuditEntry(self._now_ms, who, _WORDS[change.kind], name, reason=change.reason)
        elif isinstance(change, Reset):
            self._write()
            if self._reset(change):
                return AuditEntry(self._now_ms, who, "reset", name, reason=change.reason)
        else:
            self._write()
            if self._purge(change):
                return AuditEntry(self._now_ms, who, PURGE, name, reason=change.reason)
        return None

    def _set(self, change: Set, who: str) -> AuditEntry | None:
        name, kind, value, until_ms, reason = change
        account = self._account(name)
        known = account.overrides.get(kind)
        if known is not None and known[2:5] == (value, until_ms, reason):
            return None
        self._was(known)
        account.overrides[kind] = Override(name, kind, value, until_ms, reason, who, self._now_ms)
        self._changed[name, kind] = None
        if kind is Kind.LIMIT:
            self._no_longer(account, _BY_LOWER_LIMIT, rule=QUOTA, maximum=int(value))
        elif kind is Kind.COUNTRY:
            self._no_longer(account, _FROM_COUNTRY, rule=COUNTRY, countries=value)
        return AuditEntry(self._now_ms, who, kind, name, value, until_ms, reason)

    def _clear(self, change: Clear) -> bool:
        account = self._account(change.account)
        known = account.overrides.pop(change.kind, None)
        if known is None:
            return False
        self._changed[change.account, change.kind] = None
        if change.kind is Kind.LOCK:
            self._no_longer(account, _BY_RULE, rule=LOCK)
        return self._was(known)

    def _reset(self, change: Reset) -> bool:
        account = self._account(change.account)
        if account.id is None:
            return False
        today = day_of(self._now_ms, change.time_zone)
        counters = self._db.execute(_RESET, (today, account.id)).rowcount
        return bool(self._no_longer(account, _BY_ANY_BUT, rule=LOCK) + counters)

    def _purge(self, change: Purge) -> bool:
        name = change.account
        in_force = [known for known in self._account(name).overrides.values() if self._was(known)]
        rows = delete_rows_of(self._db, name)
        self._accounts.pop(name, None)
        self._refused = None
        # Ids may be given anew.
        self._tables.forget()
        for lock in (known for known in in_force if known.kind is Kind.LOCK):
            # Whoever asks that a stolen account be forgotten does not ask that it send again.
            self._account(name).overrides[Kind.LOCK] = lock
            self._changed[name, Kind.LOCK] = None
            rows -= ROWS_OF_A_LOCK
        return rows > 0

    def _was(self, override: Override | None) -> bool:
        """Whether it was in force; then it is told."""
        if override is None or 0 < override.until_unix_ms <= self._now_ms:
            return False
        if len(self._before) < SHOWN_BEFORE:
            self._before.append(override)
        return True

    def _no_longer(self, account: _Account, sql: str, **values: str | int) -> int:
        """Some grounds why the account is refused now are gone; returns how many."""
        if self._refused is None:
            self._refused = {of for (of,) in self._db.execute(_REFUSED_NOW, (self._now_ms,))}
        if account.id is None or account.id not in self._refused:
            return 0
        today = day_of(self._now_ms, "UTC")
        return self._db.execute(sql, {"today": today, "account": account.id, **values}).rowcount

    def _account(self, name: bytes) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            id_, has = self._db.execute(_ACCOUNT, (name,)).fetchone() or (None, None)
            rows = self._db.execute(_ROWS, (id_,)) if has is not None else ()
            account = _Account(id_, {Kind(kind): Override(name, Kind(kind), *of) for kind, *of in rows})
            self._accounts[name] = account
        return account

    def _write(self) -> None:
        """What has been changed in memory; then the memory is empty."""
        names = dict.fromkeys(name for name, _ in self._changed)
        self._db.executemany(
            _NEW_ACCOUNT,
            [
                (name, name)
                for name in names
                if self._accounts[name].id is None and self._accounts[name].overrides
            ],
        )
        ids = {
            name: self._accounts[name].id or self._db.execute(_ACCOUNT, (name,)).fetchone()[0]
            for name in names
            if self._accounts[name].id is not None or self._accounts[name].overrides
        }
        puts, deletes = [], []
        for name, kind in self._changed:
            if name not in ids:
                continue
            override = self._accounts[name].overrides.get(kind)
            if override is None:
                deletes.append((ids[name], kind))
            else:
                puts.append((ids[name], *override[1:]))
        self._db.executemany(_DELETE, deletes)
        self._db.executemany(_PUT, puts)
        self._db.executemany(
            _SHORT, [(short(self._accounts[name].overrides.values()), id_) for name, id_ in ids.items()]
        )
        write_audit(self._db, self._audit)
        for name in names:
            self._tables.accounts.changed(name)
        self._accounts.clear()
        self._changed.clear()
        self._audit.clear()


def expire_overrides(db: sqlite3.Connection, now_unix_ms: int, most: int) -> int:
    """Remove at most so many that have ended; returns how many.

    What the accounts' rows and a cache of them say stays true: the same ends stand there.
    """
    ended = db.execute(_ENDED, (now_unix_ms, most)).fetchall()
    db.executemany(_DELETE, ended)
    _shorten(db, {account for account, _ in ended})
    return len(ended)


def _shorten(db: sqlite3.Connection, accounts: Iterable[int]) -> None:
    for account in accounts:
        left = [Override(b"", Kind(kind), *of) for kind, *of in db.execute(_ROWS, (account,))]
        db.execute(_SHORT, (short(left), account))
