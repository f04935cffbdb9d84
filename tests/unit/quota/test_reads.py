"""Reads of the store for people."""

import asyncio
import threading

import pytest

from quota import reads as module
from quota.reads import Reads, TooManyReadsError, shed_reads
from tests.support.observed import Observed


async def test_few_read_at_a_time_few_wait_and_the_rest_is_turned_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And counted; afterwards there is room again."""
    monkeypatch.setattr(module, "MAX_READS_WAITING", 3)
    seen = Observed()
    reads = Reads(2, shed_reads(seen.metrics))
    gate = threading.Event()

    def read(number: int) -> int:
        assert gate.wait(10)
        return number

    tasks = [asyncio.create_task(reads.do(read, number)) for number in range(8)]
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [False] * 5 + [True] * 3
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert results[:5] == [0, 1, 2, 3, 4]
    assert all(isinstance(result, TooManyReadsError) for result in results[5:])
    assert seen.sample("reads_shed_total") == 3
    assert await reads.do(lambda: "again") == "again"


async def test_who_gives_up_waiting_leaves_his_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an admin who presses Ctrl-C."""
    monkeypatch.setattr(module, "MAX_READS_WAITING", 1)
    reads = Reads(1, shed_reads(Observed().metrics))
    gate = threading.Event()
    reading = asyncio.create_task(reads.do(gate.wait, 10))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(reads.do(int))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    second = asyncio.create_task(reads.do(int))
    await asyncio.sleep(0)
    gate.set()

    assert await second == 0
    assert await reading


async def test_who_gives_up_reading_keeps_his_place_until_the_thread_is_free() -> None:
    """The thread cannot be stopped: another one would be one too many."""
    reads = Reads(1, shed_reads(Observed().metrics))
    started, gate = threading.Event(), threading.Event()

    def read() -> bool:
        started.set()
        return gate.wait(10)

    first = asyncio.create_task(reads.do(read))
    assert await asyncio.to_thread(started.wait, 10)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = asyncio.create_task(reads.do(int))
    await asyncio.sleep(0.01)
    assert not second.done()
    gate.set()

    assert await second == 0
