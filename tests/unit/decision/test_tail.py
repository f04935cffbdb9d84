"""Decisions for those who watch."""

import asyncio

import pytest

from decision.tail import (
    MAX_READERS,
    MAX_TOGETHER,
    MAX_TOGETHER_BYTES,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    Decision,
    Filter,
    Tail,
    TooManyReadersError,
)
from tests.support.mails import decision
from tests.support.observed import Observed


@pytest.fixture
def tail(seen: Observed) -> Tail:
    return Tail(seen.log.logger)


async def read(tail: Tail, reader_filter: Filter, *decisions: Decision) -> list[tuple[int, list[str]]]:
    """What a reader gets of these, as (lost, ids)."""
    reader = tail.open(reader_filter)
    for one in decisions:
        tail.publish(one)
    reader.close()
    return [(lost, [one.decision_id for one in some]) async for lost, some in reader.read()]


async def test_a_reader_gets_every_decision_in_order(tail: Tail) -> None:
    """At most MAX_TOGETHER at a time."""
    count = MAX_TOGETHER + 1
    found = await read(tail, Filter(), *(decision(decision_id=str(number)) for number in range(count)))

    assert [len(ids) for _, ids in found] == [MAX_TOGETHER, 1]
    assert [one for _, ids in found for one in ids] == [str(number) for number in range(count)]
    assert [lost for lost, _ in found] == [0, 0]


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many(tail: Tail) -> None:
    """The count stands before those that are left, and is told once."""
    decisions = [decision(decision_id=str(number)) for number in range(MAX_WAITING + 3)]
    found = await read(tail, Filter(), *decisions)

    assert [lost for lost, _ in found] == [3] + [0] * (len(found) - 1)
    assert found[0][1][0] == "3"
    assert sum(len(ids) for _, ids in found) == MAX_WAITING


async def test_long_names_take_their_room(tail: Tail) -> None:
    """A queue and a message are bounded by bytes, too; one decision always has its place."""
    long = decision(account=b"x" * 60_000)
    found = await read(tail, Filter(), *[long] * 200)
    fits, together = MAX_WAITING_BYTES // long.size, -(-MAX_TOGETHER_BYTES // long.size)

    assert found[0][0] == 200 - fits
    assert [len(ids) for _, ids in found] == [together] * (fits // together) + [fits % together]
    huge = decision(account=b"x" * (MAX_WAITING_BYTES + 1))
    assert [(lost, len(ids)) for lost, ids in await read(tail, Filter(), huge, huge)] == [(1, 1)]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(), ["a", "b", "c"]),
        (Filter(account=b"bob"), ["b"]),
        (Filter(reason="country"), ["b", "c"]),
        (Filter(action="REJECT"), ["b"]),
        (Filter(account=b"bob", action="DUNNO"), []),
    ],
)
async def test_a_filter_keeps_what_matches_all_of_it(tail: Tail, wanted: Filter, ids: list[str]) -> None:
    """Empty fields match all; what does not match takes no room."""
    found = await read(
        tail,
        wanted,
        decision(decision_id="a"),
        decision(decision_id="b", account=b"bob", action="REJECT", reason="country"),
        decision(decision_id="c", reason="country", mode="observe"),
    )

    assert [one for _, some in found for one in some] == ids


async def test_a_reader_waits_for_the_next_decision(tail: Tail) -> None:
    """It gets it as soon as it is made."""
    reading = tail.open(Filter()).read()
    waiting = asyncio.ensure_future(anext(reading))
    await asyncio.sleep(0)
    assert not waiting.done()
    tail.publish(decision(decision_id="a"))

    assert [one.decision_id for one in (await waiting)[1]] == ["a"]


def test_there_is_a_bound_on_readers(tail: Tail) -> None:
    """One more is refused until another one leaves."""
    readers = [tail.open(Filter()) for _ in range(MAX_READERS)]
    with pytest.raises(TooManyReadersError):
        tail.open(Filter())
    tail.leave(readers[0])
    tail.leave(readers[0])

    assert tail.open(Filter()) in tail.readers
    assert len(tail.readers) == MAX_READERS


async def test_the_end_of_the_service_ends_every_reader(tail: Tail) -> None:
    """With what it has."""
    reader = tail.open(Filter())
    tail.publish(decision(decision_id="a"))
    tail.close()

    assert [len(some) async for _, some in reader.read()] == [1]


def test_a_bug_in_watching_is_told_and_goes_no_further(
    tail: Tail, seen: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict has been given."""
    reader = tail.open(Filter())
    monkeypatch.setattr(reader, "offer", lambda _: 1 / 0)
    tail.publish(decision(decision_id="a"))

    assert [(line["event"], line["id"]) for line in seen.log.lines] == [("tail_failed", "a")]
