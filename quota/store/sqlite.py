"""The store in one SQLite file: WAL, synchronous=NORMAL, one transaction for each `apply`.

A committed transaction has been written to the WAL, so it survives the death of the process; only a
power cut or a crash of the kernel can lose the last commits (https://sqlite.org/pragma.html#pragma_synchronous).
Checkpoints run beside the writer (see checkpoint.py).
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from quota.assessment import Assessment, Counter, assess
from quota.domain import Charge, ChargeResult, Outcome, Refusal, Stage, Unit
from quota.periods import day_of, end_of_day
from quota.store.interface import KEEP_DAYS, REFUSED_MS, StoreBusyError, StoreCorruptError, StoreError
from quota.store.origins import ACCEPTED, FORGET_ORIGIN, OLD_ORIGINS, OriginKey, OriginTable

BUSY_TIMEOUT_MS = 100
REMEMBER_SECONDS = 6 * 3600
# A message's time is moved only once in this span, so that most repeats write nothing.
EXPIRY_STEP_SECONDS = 900
ACCOUNT_CACHE = 16384
CACHED_NAME_BYTES = 512  # name and login together; longer ones are looked up each time
_HASH_BYTES = 16
_OWN_ROW = b""

_MIGRATIONS = ("schema_1.sql", "schema_2.sql", "schema_3.sql")

_ACCOUNT = "SELECT id, login FROM account WHERE name = ?"
_NEW_ACCOUNT = "INSERT INTO account (name, login) VALUES (?, ?)"
_LOGIN = "UPDATE account SET login = ? WHERE id = ?"
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
_DUE = "SELECT message FROM ledger WHERE expires <= ? LIMIT ?"
_FORGET_MESSAGE = "DELETE FROM ledger WHERE message = ?"
_OLD_COUNTERS = "SELECT day, account, name, unit FROM counter WHERE day < ? LIMIT ?"
_FORGET_COUNTER = "DELETE FROM counter WHERE day = ? AND account = ? AND name = ? AND unit = ?"
_OLD_REFUSALS = "SELECT day, account, rule, enforced FROM refusal WHERE day < ? LIMIT ?"
_FORGET_REFUSAL = "DELETE FROM refusal WHERE day = ? AND account = ? AND rule = ? AND enforced = ?"


class _Message(NamedTuple):
    day: int
    recipients: int
    expires: int
    first: bytes | None  # the first recipient's hash; empty or None if the first charge was at no recipient


_ERRORS = {
    sqlite3.SQLITE_BUSY: StoreBusyError,
    sqlite3.SQLITE_LOCKED: StoreBusyError,
    sqlite3.SQLITE_CORRUPT: StoreCorruptError,
    sqlite3.SQLITE_NOTADB: StoreCorruptError,
}

CounterKey = tuple[int, int, str, Unit]


class SqliteStore:
    """Fulfils quota.store.interface.Store.

    Args:
        path: the file; made if it is missing. Only one store at a time may have it (see state_dir.py).
        committed: called after each commit, from the writer's thread.

    Raises:
        StoreError: the file cannot be opened, or was written by a newer version.
        StoreCorruptError: it is no database, or a damaged one.
    """

    def __init__(self, path: Path, committed: Callable[[], None] = lambda: None) -> None:
        self._committed = committed
        self._accounts: dict[bytes, tuple[int, bytes]] = {}  # name -> (id, login), emptied when full
        with store_errors():
            # The writer's thread is not the one that opens; the interface promises one at a time.
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute("PRAGMA wal_autocheckpoint = 0")
                self._migrate()
                self._origins = OriginTable(self._db)
            except BaseException:
                self.close()
                raise

    def apply(self, items: Sequence[Charge | Refusal], now_unix_ms: int) -> list[ChargeResult | None]:
        with self._transaction():
            batch = _Batch(self, now_unix_ms)
            results = [batch.do(item) for item in items]
            batch.write()
        return results

    def expire(self, now_unix_ms: int, most: int) -> int:
        # UTC may be a day ahead of or behind the time zones in use: KEEP_DAYS leaves room for that.
        oldest = day_of(now_unix_ms, "UTC") - KEEP_DAYS
        with self._transaction():
            execute = self._db.execute
            forgotten = execute(_DUE, (now_unix_ms // 1000, most)).fetchall()
            self._db.executemany(_FORGET_MESSAGE, forgotten)
            for find, forget in (
                (_OLD_COUNTERS, _FORGET_COUNTER),
                (_OLD_REFUSALS, _FORGET_REFUSAL),
                (OLD_ORIGINS, FORGET_ORIGIN),
            ):
                old = execute(find, (oldest, most - len(forgotten))).fetchall()
                self._db.executemany(forget, old)
                forgotten += old
        return len(forgotten)

    def checkpoint(self) -> None:
        """Let the WAL begin anew: to be called by the writer when a checkpoint beside it does not keep up."""
        with store_errors():
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        try:
            self._db.close()
        except sqlite3.Error:
            # All that was answered is committed; the next start recovers the WAL.
            return

    def account_id(self, name: bytes, login: bytes | None = None) -> int:
        """The id of an account, made if it is missing; its login, if given, is brought up to date."""
        found = self._accounts.get(name) or self._db.execute(_ACCOUNT, (name,)).fetchone()
        if found is None:
            login = name if login is None else login
            account = self._db.execute(_NEW_ACCOUNT, (name, login)).lastrowid
            assert account is not None
        else:
            account, known_login = found
            if login is None:
                login = known_login
            elif login != known_login:
                self._db.execute(_LOGIN, (login, account))
        if len(self._accounts) >= ACCOUNT_CACHE:
            self._accounts.clear()
        if len(name) + len(login) <= CACHED_NAME_BYTES:
            self._accounts[name] = (account, login)
        return account

    def message(self, message: bytes) -> _Message | None:
        row = self._db.execute(_MESSAGE, (message,)).fetchone()
        return None if row is None else _Message(*row)

    def has_recipient(self, message: bytes, recipient: bytes) -> bool:
        return self._db.execute(_RECIPIENT, (message, recipient)).fetchone() is not None

    def counter(self, key: CounterKey) -> Counter:
        row = self._db.execute(_COUNTER, key).fetchone()
        return Counter() if row is None else Counter(*row)

    def write_many(self, sql: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._db.executemany(sql, rows)

    def add_origins(self, counts: Mapping[OriginKey, int]) -> None:
        self._origins.add(counts)

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StoreError(
                f"the store has schema {version}, this version knows {len(_MIGRATIONS)}: is it older?"
            )
        for number, name in enumerate(_MIGRATIONS[version:], version + 1):
            script = files("quota.store").joinpath(name).read_text()
            self._db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with store_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._accounts.clear()
                self._origins.forget()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        self._committed()


class _Batch:
    """The items of one transaction: what they read is kept, what they change is written once at the end."""

    def __init__(self, store: SqliteStore, now_unix_ms: int) -> None:
        self._store = store
        self._now_ms = now_unix_ms
        self._expires = (now_unix_ms // 1000 + REMEMBER_SECONDS) // EXPIRY_STEP_SECONDS * EXPIRY_STEP_SECONDS
        self._expires += EXPIRY_STEP_SECONDS
        self._today: dict[str, int] = {}
        self._messages: dict[bytes, _Message | None] = {}
        self._counters: dict[CounterKey, Counter] = {}
        self._changed_messages: set[bytes] = set()
        self._changed_counters: set[CounterKey] = set()
        self._new_recipients: dict[tuple[bytes, bytes], None] = {}
        self._refusals: list[tuple[object, ...]] = []
        self._origins: dict[OriginKey, int] = {}

    def do(self, item: Charge | Refusal) -> ChargeResult | None:
        """Do one item; see Store.apply."""
        if isinstance(item, Charge):
            return self._charge(item)
        self._record(item)
        return None

    def _charge(self, charge: Charge) -> ChargeResult:
        account = self._store.account_id(charge.account, charge.login)
        key = _message_key(charge.account, charge.instance) if charge.instance else b""
        message = self._message(key) if key else None
        day = self._day(charge.time_zone) if message is None else message.day
        recipient = _hash(charge.recipient) if key and charge.stage is Stage.RCPT else _OWN_ROW
        counter_keys = [(day, account, limit.name, limit.unit) for limit in charge.limits]
        counters = [self._counter(counter_key) for counter_key in counter_keys]
        assessment = assess(
            charge,
            charged=message.recipients if message else 0,
            recipient_known=message is not None
            and recipient != _OWN_ROW
            and (recipient == message.first or self._has_recipient(key, recipient)),
            counters=counters,
            resets_unix_ms=end_of_day(day, charge.time_zone),
        )
        for counter_key, before, after in zip(counter_keys, counters, assessment.counters, strict=True):
            if after != before:
                self._counters[counter_key] = after
                self._changed_counters.add(counter_key)
        if key and assessment.outcome is Outcome.CHARGED:
            if message is None:
                self._put_message(key, _Message(day, assessment.recipients, self._expires, recipient))
            else:
                self._put_message(
                    key, message._replace(recipients=assessment.recipients, expires=self._expires)
                )
                if recipient != _OWN_ROW:
                    self._new_recipients[key, recipient] = None
        elif message is not None and message.expires < self._expires:
            self._put_message(key, message._replace(expires=self._expires))
        if assessment.units:
            origin = (day, account, charge.country, charge.address, ACCEPTED, 0)
            self._origins[origin] = self._origins.get(origin, 0) + assessment.units
        for state in assessment.limits:
            if state.would_refuse:
                self._record_limits(day, account, charge, assessment)
                break
        return ChargeResult(assessment.outcome, assessment.units, assessment.limits)

    def _record_limits(self, day: int, account: int, charge: Charge, assessment: Assessment) -> None:
        """Record the limits that refused the charge, or, if none did, those that would have."""
        over = [
            (limit, state)
            for limit, state in zip(charge.limits, assessment.limits, strict=True)
            if state.would_refuse
        ]
        enforced = [(limit, state) for limit, state in over if limit.enforce]
        for limit, state in enforced or (() if charge.exempt else over):
            until_ms, maximum = state.resets_unix_ms, state.maximum
            self._refuse(day, account, limit.name, limit.enforce, charge, until_ms, maximum)

    def _record(self, refusal: Refusal) -> None:
        account = self._store.account_id(refusal.account)
        day, until_ms = self._day(refusal.time_zone), self._now_ms + REFUSED_MS
        self._refuse(day, account, refusal.rule, refusal.enforced, refusal, until_ms, None)

    def write(self) -> None:
        write_many = self._store.write_many
        messages = self._messages
        write_many(_PUT_MESSAGE, [(key, *(messages[key] or ())) for key in self._changed_messages])
        write_many(_PUT_RECIPIENT, self._new_recipients)
        write_many(_PUT_COUNTER, [(*key, *self._counters[key]) for key in self._changed_counters])
        write_many(_PUT_REFUSAL, self._refusals)
        self._store.add_origins(self._origins)

    def _day(self, time_zone: str) -> int:
        day = self._today.get(time_zone)
        if day is None:
            day = self._today[time_zone] = day_of(self._now_ms, time_zone)
        return day

    def _message(self, key: bytes) -> _Message | None:
        if key not in self._messages:
            self._messages[key] = self._store.message(key)
        return self._messages[key]

    def _has_recipient(self, key: bytes, recipient: bytes) -> bool:
        return (key, recipient) in self._new_recipients or self._store.has_recipient(key, recipient)

    def _counter(self, key: CounterKey) -> Counter:
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._store.counter(key)
        return counter

    def _put_message(self, key: bytes, message: _Message) -> None:
        self._messages[key] = message
        self._changed_messages.add(key)

    def _refuse(
        self,
        day: int,
        account: int,
        rule: str,
        enforced: bool,
        item: Charge | Refusal,
        until_ms: int,
        maximum: int | None,
    ) -> None:
        country, address, now_ms = item.country, item.address, self._now_ms
        where = (country, address, item.decision_id)
        self._refusals.append((day, account, rule, enforced, now_ms, now_ms, *where, until_ms, maximum))
        origin = (day, account, country, address, rule, int(enforced))
        self._origins[origin] = self._origins.get(origin, 0) + 1


def _hash(value: bytes) -> bytes:
    return blake2b(value, digest_size=_HASH_BYTES).digest()


def _message_key(account: bytes, instance: bytes) -> bytes:
    """A hash of (account, instance), behind the second at which Postfix made the instance.

    So messages of one time lie together, and a batch of new ones touches a few pages of the ledger instead
    of one page each. Postfix's instance is `pid.seconds.microseconds.count` in hexadecimal (smtpd.c); of any
    other form only the hash counts.
    """
    # The length keeps (account "a", instance "bc") apart from ("ab", "c").
    digest = blake2b(b"%d:%b%b" % (len(account), account, instance), digest_size=_HASH_BYTES - 4).digest()
    fields = instance.split(b".", 2)
    try:
        seconds = int(fields[1], 16) if len(fields) == 3 else 0
    except ValueError:
        seconds = 0
    return (seconds & 0xFFFFFFFF).to_bytes(4) + digest


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns SQLite's errors into those of the interface."""
    try:
        yield
    except sqlite3.Error as error:
        # sqlite_errorcode is missing on errors that Python's module raises itself.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise _ERRORS.get(code, StoreError)(str(error)) from error
