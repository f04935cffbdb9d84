"""Reading the outbox beside the writer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quota.domain import Settled
from quota.notify.notification import KINDS, Notification
from quota.store.interface import StoreError
from quota.store.outbox import Outgoing, Wanted
from quota.store.outbox_reader import Backlog, OutboxReader
from quota.store.sqlite import SqliteStore
from tests.support.charges import BERLIN, HOUR, NOON, berlin, refusal
from tests.support.stores import spoil


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """With both channels on."""
    outgoing = Outgoing()
    outgoing.wanted = Wanted(("mail", "webhook"), frozenset(KINDS))
    store = SqliteStore(tmp_path / "store", outgoing=outgoing)
    yield store
    store.close()


@pytest.fixture
def reader(store: SqliteStore, tmp_path: Path) -> OutboxReader:
    return OutboxReader(tmp_path / "store")


def ids(found: list[Notification]) -> list[str]:
    return [told.id for told in found]


def test_an_empty_outbox_has_nothing(reader: OutboxReader) -> None:
    assert reader.waiting("mail", (), 10) == []
    assert reader.one("mail", "0" * 32) is None
    assert reader.backlog("mail") == Backlog(0, None)


def test_a_notification_has_all_that_is_told(store: SqliteStore, reader: OutboxReader) -> None:
    """The account's name as it is counted."""
    store.apply([refusal(account=b"eve\xff", decision_id="0123456789")], NOON)
    (told,) = reader.waiting("mail", (), 10)

    assert told == Notification(
        told.id,
        "country_refused",
        b"eve\xff",
        "country",
        "US",
        b"8.8.8.8",
        "0123456789",
        None,
        None,
        NOON,
        berlin("2026-11-24 00:00"),
        BERLIN,
    )
    assert reader.one("webhook", told.id) == told


def test_the_oldest_come_first_without_those_that_are_left_out(
    store: SqliteStore, reader: OutboxReader
) -> None:
    for number in range(5):
        store.apply([refusal(account=b"%d" % number)], NOON + number)
    found = reader.waiting("mail", (), 10)

    assert [told.account for told in found] == [b"0", b"1", b"2", b"3", b"4"]
    assert ids(reader.waiting("mail", {found[0].id, found[2].id}, 2)) == [found[1].id, found[3].id]
    assert ids(reader.waiting("mail", (), 10, created_before_ms=NOON + 2)) == ids(found[:2])


def test_a_channel_has_its_own_backlog(store: SqliteStore, reader: OutboxReader) -> None:
    """What is settled in one waits in the other."""
    store.apply([refusal(), refusal(account=b"bob")], NOON)
    store.apply([refusal(account=b"carol")], NOON + HOUR)
    first = reader.waiting("mail", (), 1)[0]
    store.apply([Settled("mail", first.id)], NOON + HOUR)

    assert reader.backlog("mail") == Backlog(2, NOON)
    assert reader.backlog("webhook") == Backlog(3, NOON)
    assert reader.one("mail", first.id) is None
    assert reader.one("webhook", first.id) == first


def test_what_cannot_be_read_is_an_error_of_the_store(
    store: SqliteStore, reader: OutboxReader, tmp_path: Path
) -> None:
    store.apply([refusal()], NOON)
    store.close()
    spoil(tmp_path / "store")
    with pytest.raises(StoreError):
        reader.waiting("mail", (), 10)
    (tmp_path / "store").unlink()
    with pytest.raises(StoreError):
        reader.backlog("mail")
