"""What a store writes to its outbox, and when: the contract of `Store.apply` about notifications."""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from quota.domain import ChargeResult, Limit, Noted, Outcome, Settled, Stage, Unit
from quota.notify.notification import KINDS, Notification
from quota.overrides import Kind, Purge, Request, Reset, Set
from quota.store.admin_reader import SqliteAdminReader
from quota.store.interface import Store
from quota.store.mending import MendingStore
from quota.store.outbox import KEEP_AFTER_PERIOD_MS, OutboxTable, Outgoing, Wanted
from quota.store.outbox_reader import OutboxReader
from quota.store.sqlite import SqliteStore
from tests.contract.conftest import unexpected
from tests.support.charges import BERLIN, HOUR, NOON, RECIPIENTS, berlin, charge, refusal

OBSERVED = RECIPIENTS._replace(enforce=False)
MIDNIGHT = berlin("2026-11-24 00:00")

Opener = Callable[[], Store]


@pytest.fixture
def outgoing() -> Outgoing:
    outgoing = Outgoing()
    outgoing.wanted = Wanted(("mail",), frozenset(KINDS))
    return outgoing


@pytest.fixture(params=["sqlite", "mending"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, outgoing: Outgoing) -> Iterator[Opener]:
    """Opens the same store again each time: calling it twice is a restart."""
    opened: list[Store] = []
    path = tmp_path / "quota.sqlite3"

    def sqlite() -> SqliteStore:
        return SqliteStore(path, outgoing=outgoing)

    def open_again() -> Store:
        if opened:
            opened[-1].close()
        opened.append(
            sqlite()
            if request.param == "sqlite"
            else MendingStore(path, sqlite, alone=nullcontext, moved=unexpected, rewritten=unexpected)
        )
        return opened[-1]

    yield open_again
    if opened:
        opened[-1].close()


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()


@pytest.fixture
def outbox(store: Store, tmp_path: Path) -> Callable[[], list[tuple[bytes, str]]]:
    """(account, kind) of what waits."""
    reader = OutboxReader(tmp_path / "quota.sqlite3")
    return lambda: [(told.account, told.kind) for told in reader.waiting("mail", (), 100)]


@pytest.fixture
def waiting(store: Store, tmp_path: Path) -> Callable[[], list[Notification]]:
    return lambda: OutboxReader(tmp_path / "quota.sqlite3").waiting("mail", (), 100)


Outbox = Callable[[], list[tuple[bytes, str]]]


def send(store: Store, count: int, *, first: int = 0, now: int = NOON, limit: Limit = RECIPIENTS) -> None:
    """So many mails of alice, one after another, each of one recipient."""
    for number in range(first, first + count):
        store.apply([charge(instance=b"i%d" % number, limits=(limit,))], now)


def test_eighty_percent_is_told_when_it_is_reached(
    store: Store, outbox: Outbox, waiting: Callable[[], list[Notification]]
) -> None:
    send(store, 7)
    assert outbox() == []
    send(store, 1, first=7)
    (told,) = waiting()

    assert (told.account, told.kind, told.rule) == (b"alice", "quota_80_percent", "quota")
    assert (told.used, told.maximum, told.country) == (8, 10, "DE")
    assert (told.since_unix_ms, told.until_unix_ms) == (NOON, MIDNIGHT)
    send(store, 2, first=8)
    assert len(outbox()) == 1


def test_the_first_refusal_is_told_and_no_other(store: Store, outbox: Outbox) -> None:
    send(store, 10)
    store.apply([charge(instance=b"a"), charge(instance=b"b")], NOON)
    store.apply([charge(instance=b"c")], NOON + HOUR)

    assert outbox() == [(b"alice", "quota_80_percent"), (b"alice", "quota_refused")]


def test_a_refusal_by_the_country_rule_is_a_kind_of_its_own(store: Store, outbox: Outbox) -> None:
    send(store, 11)
    store.apply([refusal(), refusal(country="BR"), refusal(account=b"bob")], NOON)
    store.apply([refusal()], NOON + HOUR)

    assert outbox() == [
        (b"alice", "quota_80_percent"),
        (b"alice", "quota_refused"),
        (b"alice", "country_refused"),
        (b"bob", "country_refused"),
    ]


def test_the_next_period_is_told_again(store: Store, outbox: Outbox) -> None:
    """A minute after midnight."""
    store.apply([refusal()], MIDNIGHT - 60_000)
    store.apply([refusal()], MIDNIGHT + 60_000)
    store.apply([refusal()], MIDNIGHT + 120_000)

    assert outbox() == [(b"alice", "country_refused")] * 2


def test_what_is_only_observed_is_not_told(store: Store, outbox: Outbox) -> None:
    """Nor is anything of an exempt sender, or of a rule that is no kind."""
    send(store, 15, limit=OBSERVED)
    store.apply([refusal(enforced=False), refusal(rule="other")], NOON)
    store.apply([charge(account=b"boss", instance=b"", limits=(OBSERVED,), exempt=True)] * 20, NOON)

    assert outbox() == []


def test_of_several_limits_each_is_told_of_its_own(
    store: Store, waiting: Callable[[], list[Notification]]
) -> None:
    """Only those that quota has kinds for."""
    other = Limit("messages", Unit.MESSAGES, 1, enforce=True)
    (result,) = store.apply([charge(stage=Stage.DATA, recipient_count=9, limits=(RECIPIENTS, other))], NOON)

    assert isinstance(result, ChargeResult)
    assert result.outcome is Outcome.CHARGED
    assert [(told.kind, told.used) for told in waiting()] == [("quota_80_percent", 9)]


def test_what_an_admin_has_set_is_what_is_told(
    store: Store, outbox: Outbox, waiting: Callable[[], list[Notification]]
) -> None:
    """80 % of the limit in force; nothing of one who is locked, or permitted the country."""
    store.change(
        Request(
            (
                Set(b"alice", Kind.LIMIT, "100", 0, "a campaign"),
                Set(b"bob", Kind.LOCK, "", 0, "stolen"),
                Set(b"carol", Kind.COUNTRY, "US", 0, "she travels"),
            ),
            "root@mx",
        ),
        NOON,
    )
    send(store, 79)
    store.apply([charge(account=b"bob"), refusal(account=b"carol"), refusal(account=b"carol")], NOON)
    assert outbox() == []
    send(store, 1, first=79)

    assert [(told.kind, told.used, told.maximum) for told in waiting()] == [("quota_80_percent", 80, 100)]


def test_a_limit_that_is_raised_or_a_reset_tells_nothing_twice(store: Store, outbox: Outbox) -> None:
    """80 % is reached three times in one day, and told once."""
    send(store, 8)
    store.change(Request((Set(b"alice", Kind.LIMIT, "20", 0, "a campaign"),), "root@mx"), NOON)
    send(store, 8, first=8)
    store.change(Request((Reset(b"alice", BERLIN, "tried again"),), "root@mx"), NOON)
    send(store, 20, first=100)

    assert outbox() == [(b"alice", "quota_80_percent")]


def test_a_purge_forgets_what_waits(store: Store, outbox: Outbox) -> None:
    """Nobody is told of an account that has asked to be forgotten."""
    store.apply([refusal(), refusal(account=b"bob")], NOON)
    store.change(Request((Purge(b"alice", "asked for it"),), "root@mx"), NOON)

    assert outbox() == [(b"bob", "country_refused")]


def test_an_admin_sees_what_waits(store: Store, outgoing: Outgoing, tmp_path: Path) -> None:
    """One that waits in two channels is one; it is of the data that is kept of the account."""
    admin = SqliteAdminReader(tmp_path / "quota.sqlite3")
    outgoing.wanted = Wanted(("mail", "webhook"), frozenset(KINDS))
    store.apply([refusal(), refusal(account=b"bob")], NOON)
    (told,) = (
        json.loads(row)
        for part in admin.export(b"alice")
        if part.table == "notification"
        for row in part.rows
    )

    assert admin.status(NOON).notifications_waiting == 2
    assert (told["kind"], told["country"], told["address"]) == ("country_refused", "US", "8.8.8.8")


def test_without_a_channel_nothing_is_written(store: Store, outbox: Outbox, outgoing: Outgoing) -> None:
    """And switched on later, the same is not told belatedly, unless it happens again."""
    outgoing.wanted = Wanted((), frozenset(KINDS))
    send(store, 11)
    store.apply([refusal()], NOON)
    outgoing.wanted = Wanted(("mail",), frozenset(KINDS))
    assert outbox() == []
    store.apply([charge(instance=b"z"), refusal()], NOON)

    assert outbox() == [(b"alice", "country_refused")]


def test_what_was_told_stays_told_after_a_restart(open_store: Opener, outbox: Outbox, tmp_path: Path) -> None:
    """And what waits still waits."""
    store = open_store()
    store.apply([refusal()], NOON)
    store = open_store()
    assert outbox() == [(b"alice", "country_refused")]
    (told,) = OutboxReader(tmp_path / "quota.sqlite3").waiting("mail", (), 1)
    assert store.apply([Settled("mail", told.id)], NOON) == [Noted.RECORDED]
    store = open_store()
    store.apply([refusal()], NOON)

    assert outbox() == []


def test_a_batch_that_fails_writes_nothing(
    store: Store, outbox: Outbox, outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is told and what is counted are of one transaction; the next try tells it."""
    written: list[object] = []
    outgoing.written = written.append
    with monkeypatch.context() as patch:
        patch.delattr(OutboxTable, "settle")
        with pytest.raises(AttributeError):
            store.apply([refusal(), Settled("mail", "0" * 32)], NOON)
    assert (outbox(), written) == ([], [])
    store.apply([refusal()], NOON)

    assert outbox() == [(b"alice", "country_refused")]
    assert written == [{"country_refused": 1}]


def test_expire_forgets_what_can_no_longer_be_told_twice(store: Store, outbox: Outbox) -> None:
    store.apply([refusal()], NOON)
    assert store.expire(MIDNIGHT + KEEP_AFTER_PERIOD_MS - 1, 100) == 0
    assert store.expire(MIDNIGHT + KEEP_AFTER_PERIOD_MS, 100) == 1

    assert outbox() == []
