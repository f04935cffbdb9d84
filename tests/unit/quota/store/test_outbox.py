"""How the outbox is written; tests/contract has what comes of it, test_outbox_reader.py how it is read."""

import sqlite3
from collections.abc import Mapping

import pytest

from quota.store import outbox as module
from quota.store.outbox import KEEP_AFTER_PERIOD_MS, Event, OutboxTable, Outgoing, Wanted
from tests.support.charges import BERLIN, HOUR, NOON, berlin

MIDNIGHT = berlin("2026-11-24 00:00")
KINDS = frozenset({"quota_refused", "country_refused"})


class Told:
    """What the store told after its commits."""

    def __init__(self) -> None:
        self.written: list[Mapping[str, int]] = []
        self.left_out: list[int] = []
        self.outgoing = Outgoing(self.written.append, self.left_out.append)
        self.outgoing.wanted = Wanted(("mail", "webhook"), KINDS)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def table(db: sqlite3.Connection, told: Told) -> OutboxTable:
    return OutboxTable(db, told.outgoing)


def event(account: int = 1, *, kind: str = "quota_refused", day: int = 1, at_ms: int = NOON) -> Event:
    return Event(
        day, account, kind, "quota", "DE", b"84.128.0.1", "0123456789", 10, 10, at_ms, MIDNIGHT, BERLIN
    )


def keys(db: sqlite3.Connection) -> list[tuple[int, int, str]]:
    return db.execute("SELECT day, account, kind FROM notification ORDER BY seq").fetchall()


def deliveries(db: sqlite3.Connection) -> list[tuple[str, int]]:
    return db.execute(
        "SELECT channel, account FROM delivery JOIN notification ON seq = notification ORDER BY 1, 2"
    ).fetchall()


def test_an_event_is_written_once_for_each_channel(
    db: sqlite3.Connection, table: OutboxTable, told: Told
) -> None:
    """The same of the same account, period and kind is not written again, nor after a restart."""
    table.add([event(), event(2), event(), event(kind="country_refused"), event(day=2)])
    table.committed()
    OutboxTable(db, told.outgoing).add([event(), event(2)])

    assert keys(db) == [
        (1, 1, "quota_refused"),
        (1, 2, "quota_refused"),
        (1, 1, "country_refused"),
        (2, 1, "quota_refused"),
    ]
    assert deliveries(db) == [
        (channel, account) for channel in ("mail", "webhook") for account in (1, 1, 1, 2)
    ]
    assert told.written == [{"quota_refused": 3, "country_refused": 1}]


def test_every_notification_has_an_id_of_its_own(db: sqlite3.Connection, table: OutboxTable) -> None:
    table.add([event(number) for number in range(100)])
    ids = {id_ for (id_,) in db.execute("SELECT id FROM notification")}

    assert len(ids) == 100
    assert all(len(id_) == 32 and set(id_) <= set("0123456789abcdef") for id_ in ids)


def test_what_nobody_wants_is_not_written(db: sqlite3.Connection, table: OutboxTable, told: Told) -> None:
    """No channel is on, or the kind is not wanted; it may be wanted later."""
    told.outgoing.wanted = Wanted((), KINDS)
    table.add([event()])
    told.outgoing.wanted = Wanted(("mail",), frozenset())
    table.add([event()])
    assert keys(db) == []
    told.outgoing.wanted = Wanted(("mail",), KINDS)
    table.add([event()])

    assert deliveries(db) == [("mail", 1)]


def test_a_known_one_is_not_asked_for_again(db: sqlite3.Connection, table: OutboxTable) -> None:
    """An account that is refused a thousand times costs one statement."""
    table.add([event()])
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    for _ in range(1000):
        table.add([event()])

    assert asked == []


def test_what_was_rolled_back_is_written_by_the_next_try(
    db: sqlite3.Connection, table: OutboxTable, told: Told
) -> None:
    db.execute("BEGIN")
    table.add([event()])
    db.execute("ROLLBACK")
    table.forget()
    table.committed()
    assert (keys(db), told.written) == ([], [])
    table.add([event()])
    table.committed()

    assert keys(db) == [(1, 1, "quota_refused")]
    assert told.written == [{"quota_refused": 1}]


def test_a_flood_of_accounts_does_not_fill_the_disk(
    db: sqlite3.Connection, table: OutboxTable, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds no room is counted once; what is there already is not."""
    monkeypatch.setattr(module, "MAX_NOTIFICATIONS", 5)
    table.add([event(number) for number in range(9)])
    table.committed()
    table.add([event(8), event(7), event(0)])
    table.committed()
    restarted = OutboxTable(db, told.outgoing)
    restarted.add([event(0)])
    restarted.committed()

    assert len(keys(db)) == 5
    assert told.left_out == [4]


def test_what_is_remembered_is_bounded(
    db: sqlite3.Connection, table: OutboxTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the table is asked; nothing is told twice."""
    monkeypatch.setattr(module, "KNOWN_KEYS", 4)
    for _ in range(3):
        table.add([event(number) for number in range(9)])

    assert len(keys(db)) == 9


def test_after_some_are_forgotten_there_is_room(
    db: sqlite3.Connection, table: OutboxTable, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_NOTIFICATIONS", 5)
    table.add([event(number) for number in range(5)])
    table.expire(MIDNIGHT + KEEP_AFTER_PERIOD_MS, 3)
    table.add([event(number) for number in range(10, 20)])
    table.committed()

    assert [account for _, account, _ in keys(db)] == [3, 4, 10, 11, 12]
    assert told.left_out == [7]


def test_a_settled_one_waits_in_its_channel_no_more(db: sqlite3.Connection, table: OutboxTable) -> None:
    """It stays as told; an unknown id or channel is nothing."""
    table.add([event(), event(2)])
    (first, _) = [id_ for (id_,) in db.execute("SELECT id FROM notification ORDER BY seq")]
    table.settle([("mail", first), ("mail", "0" * 32), ("pigeon", first)])

    assert deliveries(db) == [("mail", 2), ("webhook", 1), ("webhook", 2)]
    assert len(keys(db)) == 2


def test_a_row_is_forgotten_long_after_its_period(db: sqlite3.Connection, table: OutboxTable) -> None:
    """In bites, and delivered or not; one of a message under way past midnight counts from then."""
    late = MIDNIGHT + HOUR
    table.add([event(number) for number in range(4)])
    table.add([event(9, at_ms=late)])
    end = MIDNIGHT + KEEP_AFTER_PERIOD_MS

    assert table.expire(end - 1, 10) == 0
    assert table.expire(end, 3) == 3
    assert table.expire(end, 10) == 1
    assert [account for _, account, _ in keys(db)] == [9]
    assert table.expire(late + KEEP_AFTER_PERIOD_MS, 10) == 1
    assert (keys(db), deliveries(db)) == ([], [])


def test_what_is_deleted_waits_nowhere(db: sqlite3.Connection, table: OutboxTable) -> None:
    """Whoever deletes it; another account that gets the number is told of."""
    table.add([event(), event(kind="country_refused"), event(2)])
    db.execute("DELETE FROM notification WHERE account = 1")
    table.forget()

    assert deliveries(db) == [("mail", 2), ("webhook", 2)]
    table.add([event()])
    assert len(keys(db)) == 2
