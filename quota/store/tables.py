"""The tables that charges read and write, as a batch of them needs it."""

import sqlite3
from collections.abc import Collection, Mapping
from typing import NamedTuple

from quota.assessment import Counter
from quota.domain import Unit
from quota.store.accounts import AccountTable
from quota.store.keeping import Keeping
from quota.store.origins import OriginKey, OriginTable
from quota.store.outbox import OutboxTable, Outgoing
from quota.store.refusal_log import RefusalLog

_MESSAGE = "SELECT day, recipients, expires, first FROM ledger WHERE message = ? AND recipient = x''"
_RECIPIENT = "SELECT 1 FROM ledger WHERE message = ? AND recipient = ?"
_COUNTER = "SELECT used, refused FROM counter WHERE day = ? AND account = ? AND name = ? AND unit = ?"
_PUT_MESSAGE = (
    "INSERT INTO ledger (message, recipient, day, recipients, expires, first) VALUES (?, x'', ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET recipients = excluded.recipients, expires = excluded.expires"
)
_PUT_RECIPIENT = "INSERT INTO ledger (message, recipient) VALUES (?, ?)"
_PUT_COUNTER = (
    "INSERT INTO counter (day, account, name, unit, used, refused) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET used = excluded.used, refused = excluded.refused"
)
_PUT_REFUSAL = (
    "INSERT INTO refusal (day, account, rule, enforced, count, first_ms, last_ms,"
    " last_country, last_address, last_decision_id, until_ms, last_maximum)"
    " VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET count = count + 1, last_ms = excluded.last_ms,"
    " last_country = excluded.last_country, last_address = excluded.last_address,"
    " last_decision_id = excluded.last_decision_id, until_ms = excluded.until_ms,"
    " last_maximum = excluded.last_maximum"
)

CounterKey = tuple[int, int, str, Unit]


class Message(NamedTuple):
    """What the ledger knows of a message."""

    day: int
    recipients: int
    expires: int
    first: bytes | None  # the first recipient's hash; empty or None if the first charge was at no recipient


class Tables:
    """Those of the store that `db` is the writing connection of; used within its transactions."""

    def __init__(self, db: sqlite3.Connection, keeping: Keeping, outgoing: Outgoing | None = None) -> None:
        self._db = db
        self.keeping = keeping
        self.accounts = AccountTable(db)
        self.log = RefusalLog(db)
        self.outbox = OutboxTable(db, outgoing or Outgoing())
        self._origins = OriginTable(db)

    def forget(self) -> None:
        """What was read before is no longer so: a transaction was rolled back, or an account was purged."""
        self.accounts.forget()
        self.log.forget()
        self.outbox.forget()
        self._origins.forget()

    def message(self, message: bytes) -> Message | None:
        row = self._db.execute(_MESSAGE, (message,)).fetchone()
        return None if row is None else Message(*row)

    def has_recipient(self, message: bytes, recipient: bytes) -> bool:
        return self._db.execute(_RECIPIENT, (message, recipient)).fetchone() is not None

    def counter(self, key: CounterKey) -> Counter:
        row = self._db.execute(_COUNTER, key).fetchone()
        return Counter() if row is None else Counter(*row)

    def write(
        self,
        *,
        messages: Collection[tuple[object, ...]],
        recipients: Collection[tuple[bytes, bytes]],
        counters: Collection[tuple[object, ...]],
        refusals: Collection[tuple[object, ...]],
        logged: Collection[tuple[object, ...]],
        origins: Mapping[OriginKey, int],
    ) -> None:
        """What a batch has changed; rows as in the tables."""
        for statement, rows in (
            (_PUT_MESSAGE, messages),
            (_PUT_RECIPIENT, recipients),
            (_PUT_COUNTER, counters),
            (_PUT_REFUSAL, refusals),
        ):
            if rows:
                self._db.executemany(statement, rows)
        if logged:
            self.log.write(logged)
        if origins:
            self._origins.add(origins)
