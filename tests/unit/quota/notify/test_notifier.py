"""How outbox, senders and settings are joined; tests/integration/test_notifications.py runs it all."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chassis.config import ConfigFile, check
from quota.domain import Settled
from quota.notify.notification import KINDS
from quota.notify.notifier import Notifier
from quota.settings import Settings
from quota.store.outbox import Wanted
from quota.store.outbox_reader import OutboxReader
from quota.store.sqlite import SqliteStore
from quota.writer import Failure
from tests.support.charges import charge, refusal
from tests.support.observed import Observed
from tests.support.receivers import web_server

OFF = check(Settings, ConfigFile("f.toml", "")).settings


def settings(text: str) -> Settings:
    return check(Settings, ConfigFile("f.toml", text)).settings


async def test_settings_say_what_the_store_writes(seen: Observed, tmp_path: Path) -> None:
    """At once, while it runs."""
    notifier = Notifier(log=seen.log.logger, metrics=seen.metrics)
    assert notifier.outgoing.wanted == Wanted()
    notifier.start(OutboxReader(tmp_path / "store"), lambda items, done: None, OFF)
    assert notifier.outgoing.wanted == Wanted((), frozenset(KINDS))
    notifier.use(settings('notify_webhook_url = "http://127.0.0.1/"\nnotify_kinds = "country_refused"'))

    assert notifier.outgoing.wanted == Wanted(("webhook",), frozenset({"country_refused"}))


async def test_what_the_store_writes_is_counted_and_delivered_at_once(seen: Observed, tmp_path: Path) -> None:
    """From another thread, as the writer's is; what is delivered is settled in the store."""
    notifier = Notifier(log=seen.log.logger, metrics=seen.metrics)
    path = tmp_path / "store"
    store = SqliteStore(path, outgoing=notifier.outgoing)
    reader = OutboxReader(path)
    answers: list[Any] = [Failure.OVERLOADED]

    def submit(items: Sequence[Settled], done: Callable[[Sequence[Any]], None]) -> None:
        done([answers.pop()] if answers else store.apply(items, 0))

    with web_server() as server:
        notifier.start(reader, submit, settings(f'notify_webhook_url = "{server.url}"'))
        tasks = [asyncio.create_task(sender.run()) for sender in notifier.senders]
        now_ms = time.time_ns() // 1_000_000
        await asyncio.to_thread(store.apply, [refusal(), charge()], now_ms)
        async with asyncio.timeout(20):
            while reader.backlog("webhook").waiting or not server.requests:  # noqa: ASYNC110 - no event is set
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    store.close()

    assert [request.json["kind"] for request in server.requests] == ["country_refused"]
    assert seen.samples("notifications_total") == {
        ("quota_refused",): 0,
        ("country_refused",): 1,
        ("quota_80_percent",): 0,
    }
    assert seen.sample("notifications_left_out_total") == 0


async def test_a_sender_that_has_died_ends_nothing_else(seen: Observed) -> None:
    Notifier(log=seen.log.logger, metrics=seen.metrics).died("a bug")

    assert seen.log.lines[0]["event"] == "notifications_died"
