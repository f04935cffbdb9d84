"""How many pieces of memory a request holds while it waits, and that none stays behind.

A budget beside those of test_budgets.py, as independent of the clock: what is made for each request costs
time, and what is kept of each costs memory when a service that is asked is away.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio

from chassis.item_client import ItemClient
from decision.decider import Decider, Failure, Verdict
from decision.policy import make_policy
from decision.quota_client import QuotaClient
from decision.settings import Settings
from frontend.asker import DecisionAsker, open_decision
from frontend.policy_wire import PolicyParser, PolicyRequest, Verb
from quota.domain import ChargeResult
from quota.store.sqlite import SqliteStore
from tests.support.charges import NOON, charge
from tests.support.mails import country_data, mail, origins
from tests.support.observed import Observed
from tests.support.policy import encode, request

REQUESTS = 1000
# Pieces of memory (sys.getallocatedblocks) for each: 9.8, 20.8 and 3.0 were measured.
FRONTEND = 12
DECISION = 25
QUOTA = 4
LEFT = 1.0  # the id of an item that came back unsent stays in the queue until the next message


def pieces() -> int:
    gc.collect()
    return sys.getallocatedblocks()


async def end(client: ItemClient[Any, Any] | QuotaClient) -> None:
    """Give back everything that waits."""
    task = asyncio.create_task(client.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def requests() -> list[PolicyRequest]:
    found = []
    for number in range(REQUESTS):
        parser = PolicyParser()
        parser.receive(encode(request(sasl_username=f"user{number}", instance=f"1f2a.{number:x}.0.0")))
        read = parser.next_request()
        assert read is not None
        found.append(read)
    return found


async def test_frontend() -> None:
    """From what the parser has read to what waits for decision."""
    seen = Observed()
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        client = open_decision(channel.stream_stream("none"), log=seen.log.logger, metrics=seen.metrics)
        asker = DecisionAsker(client, on_failure=Verb.DUNNO, log=seen.log.logger, metrics=seen.metrics)
        asked, replies = requests(), [b""] * REQUESTS
        answers: list[Callable[[bytes], None]] = [partial(replies.__setitem__, n) for n in range(REQUESTS)]
        before = pieces()
        for one, answer in zip(asked, answers, strict=True):
            asker.ask(one, answer)
        waiting = pieces()
        await end(client)
        seen.log.lines.clear()
        after = pieces()

    assert set(replies) == {b"action=DUNNO\n\n"}
    assert (waiting - before) / REQUESTS <= FRONTEND
    assert (after - before) / REQUESTS <= LEFT


async def test_decision() -> None:
    """From the event to what waits for quota."""
    seen = Observed()
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        quota = QuotaClient(channel, log=seen.log.logger, metrics=seen.metrics)
        policy = make_policy(Settings(), origins(seen, country_data()))
        decider = Decider(policy, quota, log=seen.log.logger, metrics=seen.metrics)
        events = [mail(login=b"user%d" % n, account=b"user%d" % n) for n in range(REQUESTS)]
        now = round(time.time() * 1000)
        outcomes: list[Verdict | Failure | None] = [None] * REQUESTS
        answers = [partial(outcomes.__setitem__, n) for n in range(REQUESTS)]
        before = pieces()
        for event, answer in zip(events, answers, strict=True):
            decider.decide(event, expires_unix_ms=now + 60_000, now_unix_ms=now, decided=answer)
        waiting = pieces()
        await end(quota)
        seen.log.lines.clear()
        after = pieces()

    assert None not in outcomes
    assert (waiting - before) / REQUESTS <= DECISION
    assert (after - before) / REQUESTS <= LEFT


def test_quota(tmp_path: Path) -> None:
    """What a charge's result is made of, and what the store keeps of it in memory."""
    store = SqliteStore(tmp_path / "quota.sqlite3")
    users = [charge(account=b"user%d" % n, login=b"user%d" % n) for n in range(REQUESTS)]
    store.apply(users, NOON)  # who they are is kept
    again = [one._replace(instance=b"i2") for one in users]
    before = pieces()
    results: Sequence[ChargeResult | Any] = store.apply(again, NOON)
    waiting = pieces()
    del results
    after = pieces()
    store.close()

    assert (waiting - before) / REQUESTS <= QUOTA
    assert (after - before) / REQUESTS <= LEFT
