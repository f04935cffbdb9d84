"""The metrics of who is refused now."""

import asyncio

import pytest

from chassis.tasks import background
from quota import refused_senders as module
from quota.account_label import AccountLabel, namer
from quota.domain import RefusedAccount, RefusedNow
from quota.refused_senders import REFRESH_SECONDS, RefusedSenders
from quota.store.interface import StoreError
from tests.support.observed import Observed
from tests.support.stores import FakeReader

ALICE = RefusedAccount(b"alice", "quota", "DE", 1_000_000, 2_000_000, 12, 10, "1")
BOB = RefusedAccount(b"bob", "country", "", 3_000_000, 4_000_000, None, None, "2")


class Shown:
    """The metrics in a registry of their own, with a reader that the test speaks for."""

    def __init__(self, label: AccountLabel = AccountLabel.PLAIN, most: int = 50) -> None:
        self.seen = Observed()
        self.reader = FakeReader()
        self.senders = RefusedSenders(
            self.reader, reasons=("country", "quota"), log=self.seen.log.logger, clock=lambda: 5000.0
        )
        self.senders.most = most
        self.senders.name = namer(label, b"key")
        self.seen.registry.register(self.senders)

    async def refresh(self, counts: dict[str, int], *accounts: RefusedAccount) -> None:
        self.reader.refused = RefusedNow(counts, accounts)
        await self.senders.refresh()


async def test_before_the_first_look_the_totals_are_there() -> None:
    """At 0, so that the first refusal is a change."""
    shown = Shown()

    assert shown.seen.samples("blocked_senders") == {("country",): 0, ("quota",): 0}
    assert shown.seen.samples("blocked_senders_refreshed_timestamp_seconds") == {}


async def test_the_store_is_asked_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, then again and again with a pause, for as long as quota runs."""
    shown = Shown()
    asked = shown.reader.asked_refused
    async with background(shown.senders.run(), died=pytest.fail):
        await asyncio.sleep(0.05)
    assert (len(asked), REFRESH_SECONDS) == (1, 5)

    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.001)
    async with background(shown.senders.run(), died=pytest.fail), asyncio.timeout(5):
        while len(asked) < 4:  # noqa: ASYNC110 - it asks in a thread
            await asyncio.sleep(0.001)


async def test_who_is_refused_is_listed() -> None:
    """Why, from where, since when and until when; a limit with what was used of it."""
    shown = Shown()
    await shown.refresh({"quota": 1, "country": 1}, BOB, ALICE)
    alice, bob = ("alice", "quota", "DE"), ("bob", "country", "unknown")

    assert shown.seen.samples("blocked_senders") == {("country",): 1, ("quota",): 1}
    assert shown.seen.samples("blocked_sender_since_timestamp_seconds") == {bob: 3000, alice: 1000}
    assert shown.seen.samples("blocked_sender_until_timestamp_seconds") == {bob: 4000, alice: 2000}
    assert shown.seen.samples("blocked_sender_used") == {alice: 12}
    assert shown.seen.samples("blocked_sender_limit") == {alice: 10}
    assert shown.seen.sample("blocked_senders_listed") == 2
    assert shown.seen.sample("blocked_senders_truncated") == 0
    assert shown.seen.sample("blocked_senders_refreshed_timestamp_seconds") == 5000
    assert shown.reader.asked_refused == [(5_000_000, 50)]


async def test_who_is_no_longer_refused_is_gone() -> None:
    """With the next look."""
    shown = Shown()
    await shown.refresh({"quota": 1}, ALICE)
    await shown.refresh({})

    assert shown.seen.samples("blocked_sender_used") == {}
    assert shown.seen.samples("blocked_senders") == {("country",): 0, ("quota",): 0}


async def test_a_cut_list_says_so() -> None:
    """More are refused than are listed."""
    shown = Shown(most=1)
    await shown.refresh({"quota": 2}, ALICE)

    assert shown.seen.sample("blocked_senders_truncated") == 1


async def test_a_list_of_length_0_is_not_cut() -> None:
    """It is not wanted: nobody needs to be told of it all the time."""
    shown = Shown(most=0)
    await shown.refresh({"quota": 2})

    assert shown.seen.samples("blocked_senders") == {("country",): 0, ("quota",): 2}
    assert shown.seen.sample("blocked_senders_truncated") == 0


async def test_without_names_there_are_totals_only() -> None:
    """And the store is not asked for names."""
    shown = Shown(AccountLabel.OFF)
    await shown.refresh({"quota": 2})

    assert shown.reader.asked_refused == [(5_000_000, 0)]
    assert shown.seen.samples("blocked_senders") == {("country",): 0, ("quota",): 2}
    assert shown.seen.samples("blocked_sender_used") == {}
    assert shown.seen.sample("blocked_senders_truncated") == 0


async def test_names_can_be_hashed() -> None:
    """The login is nowhere."""
    shown = Shown(AccountLabel.HASH)
    await shown.refresh({"quota": 1}, ALICE)

    ((account, reason, _),) = shown.seen.samples("blocked_sender_used")
    assert (len(account), reason) == (16, "quota")


async def test_accounts_that_are_cut_to_one_name_are_one_row() -> None:
    """A series may be there once only: the last refused one stands, and the list says that one is missing."""
    shown = Shown()
    long = b"x" * 2000
    await shown.refresh(
        {"quota": 2}, ALICE._replace(account=long + b"1"), ALICE._replace(account=long + b"2", used=9)
    )

    assert list(shown.seen.samples("blocked_sender_used").values()) == [12]
    assert shown.seen.sample("blocked_senders_listed") == 1
    assert shown.seen.sample("blocked_senders_truncated") == 1


async def test_a_store_that_cannot_be_read_leaves_the_last_list() -> None:
    """It is said once, and the time of the last look shows its age."""
    shown = Shown()
    await shown.refresh({"quota": 1}, ALICE)
    shown.reader.refused = StoreError("locked")
    await shown.senders.refresh()
    await shown.senders.refresh()

    assert shown.seen.sample("blocked_senders_listed") == 1
    assert shown.seen.log.events == ["refused_senders_unread"]
