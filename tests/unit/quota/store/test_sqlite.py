"""What is special to the SQLite store; tests/contract has what every store does."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from quota.domain import Charge, ChargeResult, Limit, Noted, Outcome, Refusal, Stage, Unit
from quota.periods import day_of
from quota.store import accounts
from quota.store import sqlite as module
from quota.store.interface import StoreBusyError, StoreError
from quota.store.sqlite import SqliteStore
from tests.support.charges import BERLIN, HOUR, NOON, charge, refusal

TODAY = day_of(NOON, BERLIN)
TABLES = ("account", "counter", "ledger", "refusal", "origin", "override", "refusal_log", "audit")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "quota.sqlite3"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, path: Path) -> Iterator[SqliteStore]:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 5)
    store = SqliteStore(path)
    yield store
    store.close()


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask over a connection of one's own."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    return {table: query(path, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another connection is writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


def units(store: SqliteStore, *charges: Charge) -> list[int]:
    """The units of each charge; all must be charge results."""
    results = store.apply(charges, NOON)
    assert all(isinstance(result, ChargeResult) for result in results)
    return [result.units for result in results if isinstance(result, ChargeResult)]


def units_of(results: Sequence[ChargeResult | Noted]) -> list[tuple[Outcome, int]]:
    """Outcome and units of the charges among the results."""
    return [(result.outcome, result.units) for result in results if isinstance(result, ChargeResult)]


@pytest.mark.parametrize("version", [6, 99])
def test_a_store_of_a_newer_version_is_refused(path: Path, version: int) -> None:
    """With both schema numbers, and left as it is."""
    SqliteStore(path).close()
    query(path, f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError) as caught:
        SqliteStore(path)

    assert f"schema {version}" in str(caught.value)
    assert "this version knows 5" in str(caught.value)
    assert not isinstance(caught.value, StoreBusyError)
    assert query(path, "PRAGMA user_version") == [(version,)]


def test_a_new_store_has_the_known_version(path: Path) -> None:
    """And is not made anew when it is opened again."""
    first = SqliteStore(path)
    first.apply([charge()], NOON)
    first.close()
    before = content(path)
    SqliteStore(path).close()

    assert query(path, "PRAGMA user_version") == [(5,)]
    assert content(path) == before


def test_a_store_of_schema_1_is_brought_up_to_date(path: Path) -> None:
    """Its counts stay, and where mail comes from is counted from now on."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(files("quota.store").joinpath("schema_1.sql").read_text())
        db.executescript(
            "PRAGMA user_version = 1;"
            " INSERT INTO account VALUES (1, x'616c696365', x'416c696365');"
            f" INSERT INTO counter VALUES ({TODAY}, 1, 'quota', 1, 7, 0);"
            f" INSERT INTO refusal VALUES ({TODAY}, 1, 'country', 1, 2, 3, 4, 'US', x'', '');"
        )
    with closing(SqliteStore(path)) as store:
        (result,) = store.apply([charge()], NOON)

    assert isinstance(result, ChargeResult)
    assert result.limits[0].used == 8
    assert query(path, "PRAGMA user_version") == [(5,)]
    assert query(path, "SELECT count FROM refusal") == [(2,)]
    assert query(path, "SELECT * FROM origin") == [(TODAY, 1, "DE", b"84.128.0.1", "", 0, 1)]


def test_wal_and_synchronous_normal_are_in_force(path: Path, store: SqliteStore) -> None:
    """A commit survives the death of the process without waiting for the disk each time."""
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert store._db.execute("PRAGMA synchronous").fetchone() == (1,)
    assert store._db.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_the_store_waits_100_ms_for_a_lock(path: Path) -> None:
    """Long enough for a neighbour's read, short enough for the writer."""
    store = SqliteStore(path)
    assert store._db.execute("PRAGMA busy_timeout").fetchone() == (100,)
    store.close()


@pytest.mark.parametrize("bad", [b"this is no database " * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused(path: Path, bad: bytes) -> None:
    """A StoreError, not the library's own, and the file stays as it is."""
    path.write_bytes(bad)
    with pytest.raises(StoreError):
        SqliteStore(path)
    assert path.read_bytes() == bad


def test_a_place_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """A missing directory is a StoreError too."""
    with pytest.raises(StoreError, match="unable to open database file"):
        SqliteStore(tmp_path / "missing" / "quota.sqlite3")


def test_a_lock_of_another_connection_is_busy(path: Path, store: SqliteStore) -> None:
    """Nothing is changed; the same call succeeds once the lock is gone."""
    store.apply([charge()], NOON)
    before = content(path)
    charges = [charge(instance=b"i2"), charge(account=b"bob")]
    with locked(path):
        with pytest.raises(StoreBusyError):
            store.apply([*charges, refusal()], NOON)
        with pytest.raises(StoreBusyError):
            store.expire(NOON, 100)

    assert content(path) == before
    assert units(store, *charges) == [1, 1]


def test_a_reader_disturbs_nobody(path: Path, store: SqliteStore) -> None:
    """An admin may look at the counts while mail is counted."""
    store.apply([charge()], NOON)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM counter").fetchall()
        assert units(store, charge(instance=b"i2")) == [1]
        reader.execute("COMMIT")


@contextmanager
def broken_table(path: Path, table: str) -> Iterator[None]:
    """Writing to one table fails, as it would on a full disk."""
    query(
        path,
        f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no space left'); END",
    )
    yield
    query(path, "DROP TRIGGER broken")


@pytest.mark.parametrize("table", [table for table in TABLES if table not in ("override", "audit")])
def test_a_transaction_that_fails_half_way_changes_nothing(
    path: Path, store: SqliteStore, table: str
) -> None:
    """Whatever it had written before; afterwards it is done as if it had never been tried."""
    store.apply([charge(account=b"old")], NOON)
    before = content(path)
    items: list[Charge | Refusal] = [
        charge(account=b"old", instance=b"i2"),
        charge(account=b"new"),
        charge(account=b"new", recipient=b"carol@example.net"),
        refusal(account=b"newer"),
    ]
    with broken_table(path, table):
        with pytest.raises(StoreError, match="no space left") as caught:
            store.apply(items, NOON)
        assert not isinstance(caught.value, StoreBusyError)
        assert content(path) == before

    again = store.apply(items, NOON)
    assert units_of(again) == [(Outcome.CHARGED, 1)] * 3
    assert again[3] is Noted.RECORDED
    assert query(
        path, "SELECT a.name, sum(used) FROM counter c JOIN account a ON a.id = c.account GROUP BY 1"
    ) == [(b"new", 2), (b"old", 2)]
    assert query(path, "SELECT a.name FROM refusal r JOIN account a ON a.id = r.account") == [(b"newer",)]


def test_no_cache_remembers_an_account_that_was_not_made(path: Path, store: SqliteStore) -> None:
    """The id of a rolled-back account goes to another one, and neither gets the other's counts."""
    with broken_table(path, "counter"), pytest.raises(StoreError):
        store.apply([charge(account=b"first")], NOON)
    store.apply([charge(account=b"second")], NOON)
    store.apply([charge(account=b"first")], NOON)

    assert query(
        path, "SELECT a.name, used FROM counter c JOIN account a ON a.id = c.account ORDER BY 1"
    ) == [(b"first", 1), (b"second", 1)]


def test_an_error_outside_the_database_changes_nothing_either(path: Path, store: SqliteStore) -> None:
    """A bug in the middle of a batch rolls the batch back, and the next one is done."""
    before = content(path)
    with pytest.raises(ValueError, match="no time zone"):
        store.apply([charge(), charge(account=b"bob", time_zone="Europe/Bonn")], NOON)

    assert content(path) == before
    assert units(store, charge()) == [1]


def test_a_commit_is_told_and_a_failure_is_not(path: Path) -> None:
    """The checkpointer works only when there is something to move."""
    commits: list[int] = []
    with closing(SqliteStore(path, committed=lambda: commits.append(1))) as store:
        store.apply([charge()], NOON)
        assert len(commits) == 1
        with broken_table(path, "counter"), pytest.raises(StoreError):
            store.apply([charge(instance=b"i2")], NOON)
        assert len(commits) == 1
        store.expire(NOON, 100)
        assert len(commits) == 2


def test_a_full_account_cache_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, path: Path, store: SqliteStore
) -> None:
    """More accounts than it holds have their counts all the same."""
    monkeypatch.setattr(accounts, "ACCOUNT_CACHE", 3)
    for _ in range(2):
        for number in range(10):
            store.apply([charge(account=b"%d" % number, instance=b"")], NOON)

    assert query(path, "SELECT count(*), min(used), max(used) FROM counter") == [(10, 2, 2)]
    assert query(path, "SELECT count(*) FROM account") == [(10,)]


def test_the_account_cache_is_bounded(monkeypatch: pytest.MonkeyPatch, store: SqliteStore) -> None:
    """A thief who tries a million logins does not fill the memory."""
    monkeypatch.setattr(accounts, "ACCOUNT_CACHE", 3)
    for number in range(20):
        store.apply([charge(account=b"%d" % number)], NOON)
        assert len(store._tables.accounts._known) <= 3


@pytest.mark.parametrize(
    ("instance", "seconds"),
    [
        (b"1f2a.65a0b1c2.3d090.0", 0x65A0B1C2),
        (b"1.0.0.0", 0),
        (b"1.ffffffff.0.0", 0xFFFFFFFF),
        (b"1.165a0b1c2.0.0", 0x65A0B1C2),
        (b"1.%s.0.0" % (b"f" * 6000), 0xFFFFFFFF),
        (b"1.-1.0.0", 0xFFFFFFFF),
        (b"1.seconds.0.0", 0),
        (b"1..0.0", 0),
        (b"65a0b1c2.65a0b1c2", 0),
        (b"\xff.\xff.\xff", 0),
        (b"i1", 0),
    ],
)
def test_messages_of_one_time_lie_together(
    path: Path, store: SqliteStore, instance: bytes, seconds: int
) -> None:
    """A message's key begins with the second of Postfix's instance; an instance of another form works too."""
    item = charge(instance=instance)
    assert units(store, item, item) == [1, 0]

    ((key,),) = query(path, "SELECT message FROM ledger WHERE recipient = x''")
    assert len(key) == 16
    assert int.from_bytes(key[:4]) == seconds


def test_messages_of_one_second_are_told_apart(store: SqliteStore) -> None:
    """By account, process, microsecond and count; no two of these run into each other."""
    instances = [b"1.65a0b1c2.0.0", b"2.65a0b1c2.0.0", b"1.65a0b1c2.1.0", b"1.65a0b1c2.0.1"]
    charges = [
        charge(account=account, instance=instance) for account in (b"a", b"ab") for instance in instances
    ]
    charges += [charge(account=b"a", instance=b"b.1.x"), charge(account=b"ab", instance=b".1.x")]

    assert units(store, *charges) == [1] * 10
    assert units(store, *charges) == [0] * 10


def test_forgetting_is_bounded_over_messages_counters_and_refusals(path: Path, store: SqliteStore) -> None:
    """One bite is at most so many rows of all kinds together, and the number tells whether there is more."""
    for number in range(3):  # six rows each, without the account's
        store.apply([charge(account=b"%d" % number), refusal(account=b"%d" % number)], NOON)
    later = NOON + 40 * 24 * HOUR
    bites = [store.expire(later, 4) for _ in range(5)]

    assert bites == [4, 4, 4, 4, 2]
    assert {table: len(rows) for table, rows in content(path).items() if rows} == {"account": 3}


def test_the_login_is_kept_as_it_was_typed_last(path: Path, store: SqliteStore) -> None:
    """Who typed it another way is told apart no more, but can be recognised."""
    for login in (b"Alice", b"ALICE"):
        store.apply([charge(login=login, instance=b"")], NOON)
    assert query(path, "SELECT name, login FROM account") == [(b"alice", b"ALICE")]


def test_a_recorded_refusal_leaves_the_login_as_it_was_typed(path: Path, store: SqliteStore) -> None:
    """A refusal does not say what was typed."""
    store.apply([charge(login=b"Alice")], NOON)
    store.apply([refusal()], NOON)
    assert query(path, "SELECT name, login FROM account") == [(b"alice", b"Alice")]


def test_refusals_are_summed_up(path: Path, store: SqliteStore) -> None:
    """One row for day, account, rule and mode, with the first and last time."""
    store.apply([refusal()], NOON)
    store.apply(
        [refusal()._replace(country="FR", decision_id="9876543210"), refusal(enforced=False)], NOON + 7
    )

    columns = "rule, enforced, count, first_ms, last_ms, last_country, last_address, last_decision_id"
    assert query(path, f"SELECT {columns} FROM refusal ORDER BY enforced") == [
        ("country", 0, 1, NOON + 7, NOON + 7, "US", b"8.8.8.8", ""),
        ("country", 1, 2, NOON, NOON + 7, "FR", b"8.8.8.8", "9876543210"),
    ]


def test_a_refusal_by_a_limit_is_recorded(path: Path, store: SqliteStore) -> None:
    """Under the limit's name, with where the client is."""
    store.apply([charge(stage=Stage.DATA, recipient_count=11)], NOON)

    assert query(path, "SELECT rule, enforced, count, last_country, last_address FROM refusal") == [
        ("quota", 1, 1, "DE", b"84.128.0.1")
    ]


def test_only_the_limit_that_refused_is_recorded(path: Path, store: SqliteStore) -> None:
    """Not one that has room, nor one that only observes, over its maximum or not."""
    limits = (
        Limit("room", Unit.RECIPIENTS, 100, enforce=True),
        Limit("full", Unit.RECIPIENTS, 10, enforce=True),
        Limit("watched", Unit.RECIPIENTS, 10, enforce=False),
        Limit("quiet", Unit.RECIPIENTS, 100, enforce=False),
    )
    store.apply([charge(stage=Stage.DATA, recipient_count=11, limits=limits)], NOON)

    assert query(path, "SELECT rule, count FROM refusal") == [("full", 1)]
    assert query(path, "SELECT name, used, refused FROM counter") == [("full", 0, 11)]


def test_a_closed_store_can_be_closed_again(store: SqliteStore) -> None:
    """Closing never raises; what is asked afterwards is a StoreError."""
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.apply([charge()], NOON)


def test_a_mail_costs_five_statements(path: Path, store: SqliteStore) -> None:
    """Two to read (the message, the counter), three to write (message, counter, origin); and one commit."""
    accounts = [b"user%d" % number for number in range(50)]
    store.apply([charge(account=account, instance=b"first") for account in accounts], NOON)
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    store.apply([charge(account=account, instance=b"second") for account in accounts], NOON)
    store._db.set_trace_callback(None)

    assert len(statements) == 5 * len(accounts) + 2
    assert [statements[0], statements[-1]] == ["BEGIN IMMEDIATE", "COMMIT"]
