"""Works its way through the outbox for one channel: one delivery at a time, and again after failures.

A notification is taken from the outbox after the receiver has it. If the process dies between the two, it is
delivered once more, with the same id. What has not been tried goes first, so that one that its receiver
never takes holds up nobody. How often something was tried is not kept: a restart tries at once.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from chassis.logs import Logger
from chassis.metrics import Metrics
from chassis.printable import Name
from quota.notify.backoff import pause_seconds
from quota.notify.interface import CHANNELS, Channel, NotDeliveredError, RefusedError
from quota.notify.notification import Notification
from quota.store.interface import StoreError
from quota.store.outbox_reader import OutboxReader

GIVE_UP_SECONDS = 24 * 3600.0
IDLE_SECONDS = 60.0
# After something of our own has failed: the store, or a bug.
AGAIN_SECONDS = 5.0
SETTLE_AGAIN_SECONDS = 1.0
MOST_READ = 100

# Called with (channel, id) of what is settled, and with what is to hear whether that could be written.
Settle = Callable[[str, str, Callable[[bool], None]], None]


class SenderMetrics:
    """What all senders count, by channel."""

    def __init__(self, metrics: Metrics) -> None:
        self.deliveries = metrics.counter(
            "notification_deliveries_total",
            "Tries to deliver a notification. Given up: refused for ever, or too old.",
            channel=CHANNELS,
            result=["delivered", "failed", "given_up"],
        )
        self.waiting = metrics.gauge(
            "notifications_waiting", "Notifications that wait for a channel that is on.", ("channel",)
        )
        self.oldest = metrics.gauge(
            "notifications_oldest_timestamp_seconds",
            "When the oldest of them was written, 0 if none waits.",
            ("channel",),
        )
        for channel in CHANNELS:
            self.waiting.labels(channel).set(0)
            self.oldest.labels(channel).set(0)


class _Try(NamedTuple):
    failures: int
    due: float  # by the loop's clock


class Sender:
    """One channel. All methods are the event loop's.

    Args:
        name: of CHANNELS.
        clock: the wall clock, in seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        outbox: OutboxReader,
        settle: Settle,
        *,
        log: Logger,
        metrics: SenderMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._outbox = outbox
        self._settle_in_store = settle
        self._log = log
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None
        self._work = asyncio.Event()
        self._failures = 0  # in a row, of the channel
        self._pause_ends = 0.0
        self._tried: dict[str, _Try] = {}
        self._settling: set[str] = set()  # not to be delivered again, though it stands in the outbox
        self._unsettled: list[str] = []  # of these, those that the store could not write
        self._results = {
            result: metrics.deliveries.labels(name, result) for result in ("delivered", "failed", "given_up")
        }
        self._waiting = metrics.waiting.labels(name)
        self._oldest = metrics.oldest.labels(name)

    def use(self, channel: Channel | None) -> None:
        """Deliver by this one from now on; None: the channel is off, and what waits stays where it is."""
        self._channel = channel
        # Whatever was wrong may be mended.
        self._failures, self._pause_ends = 0, 0.0
        self._tried.clear()
        self.wake()

    def wake(self) -> None:
        """There is something to deliver."""
        self._work.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._work.clear()
            try:
                pause = await self._round()
            except StoreError as error:
                self._log.warning("outbox_unread", channel=self.name, reason=error)
                pause = AGAIN_SECONDS
            except Exception:  # a bug, for which nobody else is to pay
                self._log.exception("internal_error", channel=self.name)
                pause = AGAIN_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._work.wait()
            except TimeoutError:
                continue

    async def _round(self) -> float:
        """Deliver what can be delivered now. Returns after how many seconds to look again."""
        self._settle_again()
        channel = self._channel
        if channel is None:
            self._waiting.set(0)
            self._oldest.set(0)
            return IDLE_SECONDS
        await self._give_up_old_ones()
        await self._look_at_backlog()
        pause = self._pause_ends - self._loop.time()
        while pause <= 0:
            found = await self._next()
            if not found:
                pause = self._next_due()
                break
            for told in found:
                await self._deliver(channel, told)
                pause = self._pause_ends - self._loop.time()
                if pause > 0 or self._channel is not channel:
                    break
            await self._look_at_backlog()
            if self._channel is not channel:
                return 0.0
        await self._look_at_backlog()
        return min(pause, SETTLE_AGAIN_SECONDS) if self._unsettled else pause

    async def _next(self) -> list[Notification]:
        """What was never tried; if there is none, the one that has waited longest for its next try."""
        without = {*self._tried, *self._settling}
        found = await asyncio.to_thread(self._outbox.waiting, self.name, without, MOST_READ)
        while not found and self._tried:
            first = min(self._tried, key=lambda id_: self._tried[id_].due)
            if self._tried[first].due > self._loop.time():
                break
            one = await asyncio.to_thread(self._outbox.one, self.name, first)
            if one is not None:
                return [one]
            self._tried.pop(first, None)  # forgotten meanwhile
        return found

    async def _give_up_old_ones(self) -> None:
        """All of them, tried or not: with a receiver that is away some are never reached."""
        before_ms = round((self._clock() - GIVE_UP_SECONDS) * 1000)
        while old := await asyncio.to_thread(
            self._outbox.waiting, self.name, self._settling, MOST_READ, created_before_ms=before_ms
        ):
            for told in old:
                self._give_up(told, f"not delivered within {GIVE_UP_SECONDS / 3600:g} h")

    def _next_due(self) -> float:
        dues = [one.due for one in self._tried.values()]
        return min(max(min(dues) - self._loop.time(), 0.0), IDLE_SECONDS) if dues else IDLE_SECONDS

    async def _deliver(self, channel: Channel, told: Notification) -> None:
        try:
            answer = await channel.deliver(told)
        except RefusedError as error:
            self._give_up(told, str(error))
        except NotDeliveredError as error:
            self._failed(channel, told, str(error), error.retry_after_seconds)
        except Exception as error:
            self._log.exception("internal_error", channel=self.name)
            self._failed(channel, told, type(error).__name__, None)
        else:
            self._results["delivered"].inc()
            if self._failures:
                self._log.warning("notifications_delivered_again", channel=self.name)
            self._failures = 0
            self._log.notice(
                "notification_delivered", channel=self.name, id=told.id, kind=told.kind, answer=answer
            )
            self._settle(told.id)

    def _failed(self, channel: Channel, told: Notification, reason: str, asked_seconds: float | None) -> None:
        self._results["failed"].inc()
        if channel is not self._channel:  # a failure of the settings of before
            return
        self._failures += 1
        before = self._tried.get(told.id)
        failures = 1 if before is None else before.failures + 1
        now = self._loop.time()
        self._pause_ends = now + pause_seconds(self._failures, asked_seconds)
        self._tried[told.id] = _Try(failures, now + pause_seconds(failures, asked_seconds))
        if self._failures == 1:
            self._log.error("notifications_fail", channel=self.name, id=told.id, reason=reason)

    def _give_up(self, told: Notification, reason: str) -> None:
        self._results["given_up"].inc()
        self._log.error(
            "notification_given_up",
            channel=self.name,
            id=told.id,
            kind=told.kind,
            account=Name(told.account),
            reason=reason,
        )
        self._settle(told.id)

    def _settle(self, notification_id: str) -> None:
        self._tried.pop(notification_id, None)
        self._settling.add(notification_id)
        self._settle_in_store(
            self.name, notification_id, lambda done: self._settled(notification_id, done=done)
        )

    def _settled(self, notification_id: str, *, done: bool) -> None:
        if done:
            self._settling.discard(notification_id)
        else:
            self._unsettled.append(notification_id)

    def _settle_again(self) -> None:
        # As many at a time as are read: each may be a transaction in the event loop.
        again, self._unsettled = self._unsettled[:MOST_READ], self._unsettled[MOST_READ:]
        for notification_id in again:
            self._settle(notification_id)

    async def _look_at_backlog(self) -> None:
        backlog = await asyncio.to_thread(self._outbox.backlog, self.name)
        self._waiting.set(backlog.waiting)
        self._oldest.set((backlog.oldest_unix_ms or 0) / 1000)
