"""Reads the store for a report, over a connection of its own that cannot write.

In WAL mode a reader sees one moment and never holds the writer up; while it reads, checkpoints cannot let the
WAL begin anew (https://sqlite.org/wal.html#concurrency). So a report has an end.
"""

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from quota.domain import AccountReport, CountryCount, Origin, Refusals, RefusedAccount, RefusedNow, Report
from quota.store.sqlite import store_errors

MAX_ACCOUNTS = 500
ADDRESSES_PER_ACCOUNT = 200
READ_SECONDS = 10.0
_STEPS = 100_000  # of SQLite's virtual machine, a millisecond or so, between two looks at the clock

_RECORDED_SINCE = (
    "SELECT min(day) FROM (SELECT min(day) AS day FROM origin WHERE day BETWEEN :first AND :last"
    " UNION ALL SELECT min(day) FROM refusal WHERE day BETWEEN :first AND :last)"
)
_MOST_REFUSED = (
    "SELECT account FROM refusal WHERE day BETWEEN :first AND :last"
    " GROUP BY account ORDER BY sum(count) DESC, account LIMIT :most"
)
_ONE = "SELECT id FROM account WHERE name = :name"
_NAMES = "SELECT id, name, login FROM account WHERE id IN (SELECT value FROM json_each(:accounts))"
_REFUSALS = (
    "SELECT account, rule, enforced, sum(count), min(first_ms), max(last_ms) FROM refusal"
    " WHERE day BETWEEN :first AND :last AND account IN (SELECT value FROM json_each(:accounts))"
    " GROUP BY account, rule, enforced ORDER BY account, rule, enforced"
)
# A list of days, not a range: so the key finds (day, account) and nobody else's rows are read.
_ORIGINS = """
WITH grouped AS (
    SELECT account, country, address, rule, enforced,
        sum(count) AS count, min(day) AS first, max(day) AS last
    FROM origin
    WHERE day IN (SELECT value FROM json_each(:days))
        AND account IN (SELECT value FROM json_each(:accounts))
    GROUP BY account, country, address, rule, enforced
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY account ORDER BY count DESC, address) AS rank FROM grouped
)
SELECT account, country, iif(rank <= :addresses, address, x'') AS shown, rule, enforced,
    sum(count), min(first), max(last)
FROM ranked
GROUP BY account, country, shown, rule, enforced
ORDER BY account, sum(count) DESC, country, shown, rule, enforced
"""
_COUNTRIES = (
    "SELECT country, rule, enforced, sum(count) FROM origin WHERE day BETWEEN :first AND :last"
    " GROUP BY country, rule, enforced ORDER BY country, rule, enforced"
)
_COUNTRIES_OF_ONE = (
    "SELECT country, rule, enforced, sum(count) FROM origin"
    " WHERE day IN (SELECT value FROM json_each(:days))"
    " AND account IN (SELECT value FROM json_each(:accounts))"
    " GROUP BY country, rule, enforced ORDER BY country, rule, enforced"
)


_REFUSED_COUNTS = (
    "SELECT rule, count(DISTINCT account) FROM refusal WHERE enforced AND until_ms > ? GROUP BY rule"
)
# Around midnight an account has a row of each day. The columns are those of the row with the last refusal
# (https://sqlite.org/lang_select.html#bareagg).
_REFUSED_NOW = """
SELECT day, account, name, rule, last_country, first_ms, until_ms, last_maximum, last_decision_id,
    max(last_ms)
FROM refusal JOIN account ON account.id = refusal.account
WHERE enforced AND until_ms > ?
GROUP BY account, rule
ORDER BY max(last_ms) DESC, account, rule LIMIT ?
"""
# Recipients and messages are counted apart, and a day may have both: it is the one that has refused.
_USED = """
SELECT (
    SELECT used FROM counter WHERE day = ? AND account = ? AND name = ?
    ORDER BY refused > 0 DESC, used DESC LIMIT 1
)
"""


class SqliteReader:
    """Fulfils quota.store.interface.Reader. Args: path: the file of a SqliteStore that is open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def report(self, first_day: int, last_day: int, account: bytes | None = None) -> Report:
        with reading(self._path) as db:
            return _read(db, first_day, last_day, account)

    def refused_now(self, now_unix_ms: int, most: int) -> RefusedNow:
        with reading(self._path) as db:
            counts = dict(db.execute(_REFUSED_COUNTS, (now_unix_ms,)).fetchall())
            rows = db.execute(_REFUSED_NOW, (now_unix_ms, most)).fetchall()
            accounts = tuple(_refused_account(db, row) for row in rows)
        return RefusedNow(counts, accounts)


def _refused_account(db: sqlite3.Connection, row: tuple[Any, ...]) -> RefusedAccount:
    day, account, name, rule, country, since_ms, until_ms, maximum, decision_id, _ = row
    used = None if maximum is None else db.execute(_USED, (day, account, rule)).fetchone()[0]
    return RefusedAccount(name, rule, country, since_ms, until_ms, used, maximum, decision_id)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees one moment of a store, for READ_SECONDS at most. Raises StoreError."""
    deadline = time.monotonic() + READ_SECONDS
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with store_errors(), closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
        db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        db.execute("BEGIN")
        yield db


def _read(db: sqlite3.Connection, first_day: int, last_day: int, account: bytes | None) -> Report:
    days: dict[str, Any] = {"first": first_day, "last": last_day}
    (recorded_since,) = db.execute(_RECORDED_SINCE, days).fetchone()
    if account is None:
        found = db.execute(_MOST_REFUSED, {**days, "most": MAX_ACCOUNTS + 1}).fetchall()
    else:
        found = db.execute(_ONE, {"name": account}).fetchall()
    ids = [id_ for (id_,) in found[:MAX_ACCOUNTS]]
    which = {
        **days,
        "days": json.dumps(list(range(first_day, last_day + 1))),
        "accounts": json.dumps(ids),
        "addresses": ADDRESSES_PER_ACCOUNT,
    }
    countries = [
        CountryCount(country, rule, bool(enforced), total)
        for country, rule, enforced, total in db.execute(
            _COUNTRIES if account is None else _COUNTRIES_OF_ONE, which
        )
    ]
    return Report(
        recorded_since,
        tuple(_accounts(db, ids, which)),
        tuple(countries),
        len(found) > MAX_ACCOUNTS,
    )


def _accounts(db: sqlite3.Connection, ids: list[int], which: dict[str, Any]) -> Iterable[AccountReport]:
    names = {id_: (name, login) for id_, name, login in db.execute(_NAMES, which)}
    refusals = defaultdict(list)
    for id_, rule, enforced, *counts in db.execute(_REFUSALS, which):
        refusals[id_].append(Refusals(rule, bool(enforced), *counts))
    origins = defaultdict(list)
    for id_, country, address, rule, enforced, *counts in db.execute(_ORIGINS, which):
        origins[id_].append(Origin(country, address, rule, bool(enforced), *counts))
    for id_ in ids:
        yield AccountReport(*names[id_], tuple(refusals[id_]), tuple(origins[id_]))
