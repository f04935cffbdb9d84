"""How one channel works its way through the outbox."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quota.notify import sender as module
from quota.notify.interface import NotDeliveredError, RefusedError
from quota.notify.notification import Notification
from quota.notify.sender import GIVE_UP_SECONDS, Sender, SenderMetrics
from quota.store.interface import StoreError
from quota.store.outbox_reader import FOR_EVER_MS, Backlog, OutboxReader
from tests.support.charges import NOON
from tests.support.notifications import notification
from tests.support.observed import Observed

NOW = NOON / 1000 + 60
# Long for a machine that is busy, and no test waits for it.
WAIT_SECONDS = 20.0


def told(number: int, *, since_unix_ms: int = NOON) -> Notification:
    return notification(id=f"{number:032x}", account=b"user%d" % number, since_unix_ms=since_unix_ms)


class FakeOutbox(OutboxReader):
    """One channel's rows, in order; `problems` are raised first, one a call."""

    def __init__(self) -> None:
        super().__init__(Path("unused"))
        self.rows: list[Notification] = []
        self.problems: list[Exception] = []

    def waiting(
        self, channel: str, without: Collection[str], most: int, *, created_before_ms: int = FOR_EVER_MS
    ) -> list[Notification]:
        if self.problems:
            raise self.problems.pop(0)
        return [one for one in self.rows if one.id not in without and one.since_unix_ms < created_before_ms][
            :most
        ]

    def one(self, channel: str, notification_id: str) -> Notification | None:
        return next((one for one in self.rows if one.id == notification_id), None)

    def backlog(self, channel: str) -> Backlog:
        return Backlog(len(self.rows), min((one.since_unix_ms for one in self.rows), default=None))


class FakeChannel:
    """Delivers, or raises what stands in `problems`, by the account's name; an empty list is success."""

    receiver = "nobody"

    def __init__(self) -> None:
        self.problems: dict[bytes, list[Exception]] = {}
        self.tries: list[bytes] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def deliver(self, told: Notification) -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.tries.append(told.account)
            await self.gate.wait()
            problems = self.problems.get(told.account)
            if problems:
                raise problems.pop(0)
            return "thanks"
        finally:
            self.at_once -= 1


class Post:
    """A sender with an outbox, a channel and a store that takes what is settled, or does not."""

    def __init__(self, seen: Observed, *, clock: Callable[[], float] = lambda: NOW) -> None:
        self.seen = seen
        self.outbox = FakeOutbox()
        self.channel = FakeChannel()
        self.store_works = True
        self.settled: list[str] = []
        self.sender = Sender(
            "mail",
            self.outbox,
            self.settle,
            log=seen.log.logger,
            metrics=SenderMetrics(seen.metrics),
            clock=clock,
        )

    def settle(self, channel: str, notification_id: str, done: Callable[[bool], None]) -> None:
        assert channel == "mail"
        self.settled.append(notification_id)
        if self.store_works:
            self.outbox.rows = [one for one in self.outbox.rows if one.id != notification_id]
        done(self.store_works)

    def add(self, *numbers: int) -> None:
        self.outbox.rows += [told(number) for number in numbers]
        self.sender.wake()

    def results(self) -> dict[str, float]:
        samples = self.seen.samples("notification_deliveries_total")
        return {result: count for (channel, result), count in samples.items() if channel == "mail" and count}

    @asynccontextmanager
    async def at_work(self, *, on: bool = True) -> AsyncIterator[None]:
        if on:
            self.sender.use(self.channel)
        task = asyncio.create_task(self.sender.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not condition():  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.005)


@pytest.fixture
async def posted(seen: Observed, monkeypatch: pytest.MonkeyPatch) -> Post:
    """With pauses that a test can wait for."""
    monkeypatch.setattr(module, "pause_seconds", lambda failures, asked=None: 0.02 * failures)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(module, "SETTLE_AGAIN_SECONDS", 0.02)
    return Post(seen)


async def test_what_waits_is_delivered_in_order_one_at_a_time(posted: Post) -> None:
    """What is there at the start, and what comes later."""
    posted.outbox.rows = [told(1), told(2)]
    async with posted.at_work():
        await posted.until(lambda: not posted.outbox.rows)
        posted.add(3)
        await posted.until(lambda: not posted.outbox.rows)

    assert posted.channel.tries == [b"user1", b"user2", b"user3"]
    assert posted.channel.most_at_once == 1
    assert posted.results() == {"delivered": 3}
    assert posted.seen.log.events == ["notification_delivered"] * 3


async def test_a_failure_is_tried_again(posted: Post) -> None:
    """Said once when it begins, and once when it ends."""
    posted.channel.problems[b"user1"] = [NotDeliveredError("busy"), NotDeliveredError("busy")]
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: not posted.outbox.rows)

    assert posted.results() == {"failed": 2, "delivered": 1}
    assert posted.seen.log.events == [
        "notifications_fail",
        "notifications_delivered_again",
        "notification_delivered",
    ]


async def test_what_was_never_tried_goes_first(posted: Post) -> None:
    """One that its receiver never takes holds up nobody."""
    posted.channel.problems[b"user1"] = [NotDeliveredError("no") for _ in range(10_000)]
    posted.add(1, 2, 3)
    async with posted.at_work():
        await posted.until(lambda: len(posted.outbox.rows) == 1)
        assert posted.channel.tries[:3] == [b"user1", b"user2", b"user3"]
        posted.add(4)
        await posted.until(lambda: len(posted.outbox.rows) == 1)

    assert [one.account for one in posted.outbox.rows] == [b"user1"]
    assert posted.channel.tries.count(b"user4") == 1


async def test_while_a_channel_pauses_nothing_is_tried(posted: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that is down is not asked for every notification; it may say for how long."""
    asked: list[tuple[int, float | None]] = []

    def pause(failures: int, asked_seconds: float | None = None) -> float:
        asked.append((failures, asked_seconds))
        return 3600.0

    monkeypatch.setattr(module, "pause_seconds", pause)
    posted.channel.problems[b"user1"] = [NotDeliveredError("down", 120.0)]
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: posted.results() == {"failed": 1})
        posted.add(2, 3)
        await posted.until(lambda: posted.seen.sample("notifications_waiting", channel="mail") == 3)
        await asyncio.sleep(0.05)
        assert posted.channel.tries == [b"user1"]

    assert asked == [(1, 120.0), (1, 120.0)]


async def test_new_settings_end_a_pause(posted: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was wrong may be mended."""
    monkeypatch.setattr(module, "pause_seconds", lambda failures, asked=None: 3600.0)
    posted.channel.problems[b"user1"] = [NotDeliveredError("wrong password")]
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: posted.results() == {"failed": 1})
        posted.sender.use(posted.channel)
        await posted.until(lambda: not posted.outbox.rows)

    assert posted.channel.tries == [b"user1", b"user1"]


async def test_a_failure_of_the_settings_of_before_does_not_hold_up_the_new_ones(
    posted: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try was under way when they came."""
    monkeypatch.setattr(module, "pause_seconds", lambda failures, asked=None: 3600.0)
    posted.channel.problems[b"user1"] = [NotDeliveredError("no answer")]
    posted.channel.gate.clear()
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: bool(posted.channel.tries))
        mended = FakeChannel()
        posted.sender.use(mended)
        posted.channel.gate.set()
        await posted.until(lambda: not posted.outbox.rows)

    assert (posted.channel.tries, mended.tries) == ([b"user1"], [b"user1"])
    assert posted.results() == {"failed": 1, "delivered": 1}


async def test_what_is_refused_is_given_up_at_once(posted: Post) -> None:
    posted.channel.problems[b"user1"] = [RefusedError("HTTP 410 Gone")]
    posted.add(1, 2)
    async with posted.at_work():
        await posted.until(lambda: not posted.outbox.rows)

    assert posted.channel.tries == [b"user1", b"user2"]
    assert posted.results() == {"given_up": 1, "delivered": 1}
    line = posted.seen.log.lines[0]
    assert (line["event"], line["account"], line["reason"]) == (
        "notification_given_up",
        b"user1",
        "HTTP 410 Gone",
    )


async def test_what_is_a_day_old_is_given_up_untried(posted: Post) -> None:
    """However many wait before it, and though the receiver is away."""
    old = NOON - round(GIVE_UP_SECONDS * 1000) + 30_000
    posted.channel.gate.clear()
    posted.outbox.rows = [told(1), told(2, since_unix_ms=old), told(3, since_unix_ms=old + 60_000)]
    async with posted.at_work():
        await posted.until(lambda: posted.results() == {"given_up": 1})
        await posted.until(lambda: bool(posted.channel.tries))

    assert posted.channel.tries == [b"user1"]
    assert [one.account for one in posted.outbox.rows] == [b"user1", b"user3"]
    assert posted.seen.log.lines[0]["reason"] == "not delivered within 24 h"


async def test_what_was_delivered_is_not_delivered_again_while_the_store_fails(posted: Post) -> None:
    """It is taken from the outbox as soon as that can be written."""
    posted.store_works = False
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: len(posted.settled) >= 3)
        posted.store_works = True
        await posted.until(lambda: not posted.outbox.rows)
        posted.add(2)
        await posted.until(lambda: not posted.outbox.rows)

    assert posted.channel.tries == [b"user1", b"user2"]


async def test_what_an_outage_of_the_store_has_left_is_taken_in_bites(
    posted: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once would hold up the event loop."""
    posted.store_works = False
    posted.add(*range(1, 13))
    async with posted.at_work():
        await posted.until(lambda: len(posted.channel.tries) == 12)
    posted.settled.clear()
    posted.store_works = True
    monkeypatch.setattr(module, "MOST_READ", 5)
    taken = []
    for _ in range(3):
        posted.sender._settle_again()
        taken.append(len(posted.settled))

    assert taken == [5, 10, 12]
    assert not posted.outbox.rows


async def test_an_outbox_that_cannot_be_read_is_read_again(posted: Post) -> None:
    posted.outbox.problems = [StoreError("locked"), StoreError("locked")]
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: not posted.outbox.rows)

    assert posted.seen.log.events == ["outbox_unread", "outbox_unread", "notification_delivered"]


async def test_a_bug_costs_a_try_and_no_more(posted: Post) -> None:
    """In a channel, or in the reading of the outbox."""
    posted.outbox.problems = [ZeroDivisionError()]
    posted.channel.problems[b"user1"] = [KeyError("bug")]
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: not posted.outbox.rows)

    assert posted.results() == {"failed": 1, "delivered": 1}
    assert posted.seen.log.events.count("internal_error") == 2


async def test_a_channel_that_is_off_delivers_nothing(posted: Post) -> None:
    """What waits stays; switched off while it delivers, that is the last one."""
    posted.outbox.rows = [told(1), told(2), told(3)]
    async with posted.at_work(on=False):
        await asyncio.sleep(0.05)
        assert posted.channel.tries == []
        assert posted.seen.sample("notifications_waiting", channel="mail") == 0
        posted.channel.gate.clear()
        posted.sender.use(posted.channel)
        await posted.until(lambda: bool(posted.channel.tries))
        posted.sender.use(None)
        posted.channel.gate.set()
        await posted.until(lambda: len(posted.outbox.rows) == 2)
        await asyncio.sleep(0.05)

    assert posted.channel.tries == [b"user1"]


async def test_the_metrics_say_what_waits_and_since_when(posted: Post) -> None:
    """Both channels are there from the start."""
    assert posted.seen.samples("notifications_waiting") == {("mail",): 0, ("webhook",): 0}
    posted.channel.problems[b"user1"] = [NotDeliveredError("no") for _ in range(10_000)]
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: posted.seen.sample("notifications_waiting", channel="mail") == 1)
        oldest = posted.seen.sample("notifications_oldest_timestamp_seconds", channel="mail")
        assert oldest == NOON / 1000
        posted.channel.problems.clear()
        await posted.until(lambda: posted.seen.sample("notifications_waiting", channel="mail") == 0)

    assert posted.seen.sample("notifications_oldest_timestamp_seconds", channel="mail") == 0


async def test_one_that_is_forgotten_meanwhile_is_not_looked_for_for_ever(posted: Post) -> None:
    """Purged, or lost with a corrupt store."""
    posted.channel.problems[b"user1"] = [NotDeliveredError("no")]
    posted.add(1)
    async with posted.at_work():
        await posted.until(lambda: posted.results() == {"failed": 1})
        posted.outbox.rows.clear()
        await asyncio.sleep(0.1)
        posted.add(2)
        await posted.until(lambda: not posted.outbox.rows)

    assert posted.channel.tries == [b"user1", b"user2"]
