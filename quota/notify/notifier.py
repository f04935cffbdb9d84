"""Joins the store's outbox with a sender for each channel, by the settings in force."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from chassis.logs import Logger
from chassis.metrics import Metrics
from quota.domain import Settled
from quota.notify.channels import channels_of
from quota.notify.interface import CHANNELS
from quota.notify.notification import KINDS
from quota.notify.sender import Sender, SenderMetrics
from quota.notify.settings import NotifySettings
from quota.store.outbox import Outgoing, Wanted
from quota.store.outbox_reader import OutboxReader
from quota.writer import Failure

# Writer.submit: items, and what is called with their results.
Submit = Callable[[Sequence[Settled], Callable[[Sequence[Any]], None]], None]


class Notifier:
    """Made before the store is opened, since the store is given `outgoing`; `start` makes its senders."""

    def __init__(self, *, log: Logger, metrics: Metrics) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._written = metrics.counter(
            "notifications_total", "Notifications that were written to the outbox.", kind=KINDS
        )
        self._left_out = metrics.counter(
            "notifications_left_out_total", "Notifications that were not: the outbox was full."
        )
        self._sender_metrics = SenderMetrics(metrics)
        self.outgoing = Outgoing(self._tell_written, self._left_out.inc)
        self.senders: tuple[Sender, ...] = ()

    def start(self, outbox: OutboxReader, submit: Submit, settings: NotifySettings) -> None:
        """Make the senders; their `run` is the caller's business."""
        self.senders = tuple(
            Sender(
                name,
                outbox,
                partial(_settle, submit),
                log=self._log,
                metrics=self._sender_metrics,
            )
            for name in CHANNELS
        )
        self.use(settings)

    def use(self, settings: NotifySettings) -> None:
        """Take new settings over."""
        channels = channels_of(settings)
        self.outgoing.wanted = Wanted(tuple(channels), frozenset(settings.notify_kinds))
        for sender in self.senders:
            sender.use(channels.get(sender.name))

    def died(self, reason: str) -> None:
        """A sender has ended, which is a bug: quota goes on without it."""
        self._log.error("notifications_died", reason=reason)

    def _tell_written(self, counts: Mapping[str, int]) -> None:
        """Called from the store's thread."""
        for kind, count in counts.items():
            self._written.labels(kind).inc(count)
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for sender in self.senders:
            sender.wake()


def _settle(submit: Submit, channel: str, notification_id: str, done: Callable[[bool], None]) -> None:
    submit([Settled(channel, notification_id)], lambda results: done(not isinstance(results[0], Failure)))
