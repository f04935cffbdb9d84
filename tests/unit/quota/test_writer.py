"""The writer: its thread, and what is done at once."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain, count
from types import SimpleNamespace

import pytest

from quota import writer as module
from quota.domain import Charge, ChargeResult, Noted, Outcome, Refusal
from quota.store.interface import Store, StoreBusyError, StoreError, TooManyChangesError
from quota.writer import (
    FORGET_AT_LEAST,
    MAX_ACTS_WAITING,
    Failure,
    Result,
    TooManyActsError,
    Writer,
)
from tests.support.charges import NOON, charge, refusal
from tests.support.observed import Observed
from tests.support.stores import WAIT_SECONDS, FakeStore

REFUSAL = refusal()
BUSY = StoreBusyError("database is locked")
BROKEN = StoreError("disk I/O error")


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON / 1000

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy store is tried again at once, and the end of a failure is told at once."""
    monkeypatch.setattr(module, "BUSY_PAUSE_SECONDS", 0.0001)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)


@asynccontextmanager
async def writing(
    store: FakeStore,
    seen: Observed,
    clock: Clock,
    *,
    wal_is_large: Callable[[], bool] = lambda: False,
    checkpoint: Callable[[], None] = lambda: None,
    deaths: Sequence[str] = (),
    at_once: int = 0,
) -> AsyncIterator[Writer]:
    """A writer that is closed at the end, so that everything it does is done then.

    Args:
        at_once: as the writer's; none is, for in the event loop nobody could watch it.
        deaths: words of the reasons why its thread dies.
    """
    reasons: list[str] = []
    writer = Writer(
        store,
        log=seen.log.logger,
        metrics=seen.metrics,
        died=reasons.append,
        at_once=at_once,
        wal_is_large=wal_is_large,
        checkpoint=checkpoint,
        clock=clock,
    )
    try:
        yield writer
    finally:
        await writer.close()
    assert len(reasons) == len(deaths)
    assert all(word in reason for word, reason in zip(deaths, reasons, strict=True))


def submit(writer: Writer, *items: Charge | Refusal) -> "asyncio.Future[Sequence[Result]]":
    """Submit one job; its results come with the future."""
    results: asyncio.Future[Sequence[Result]] = asyncio.get_running_loop().create_future()
    writer.submit(items, results.set_result)
    return results


async def entered(store: FakeStore) -> None:
    """Wait until the writer's thread is inside the store."""
    assert await asyncio.to_thread(store.entered.wait, WAIT_SECONDS)


def numbered(number: int, *, expires_in: float = 60.0) -> Charge:
    """A charge that FakeStore answers with its number."""
    return charge()._replace(recipient_count=number, expires_unix_ms=NOON + round(expires_in * 1000))


def done(number: int) -> ChargeResult:
    return ChargeResult(Outcome.CHARGED, number, ())


async def test_results_come_in_order(seen: Observed, clock: Clock) -> None:
    """One for each item of the job."""
    async with writing(FakeStore(), seen, clock) as writer:
        results = await submit(writer, numbered(1), REFUSAL, numbered(2), numbered(3))

    assert results == [done(1), Noted.RECORDED, done(2), done(3)]
    assert seen.sample("store_transactions_total") == 1
    assert seen.sample("store_operation_seconds_count", op="apply") == 1


async def test_the_store_is_told_the_wall_clock(seen: Observed, clock: Clock) -> None:
    """In milliseconds, by the thread that owns it."""
    store = FakeStore()
    async with writing(store, seen, clock) as writer:
        await submit(writer, numbered(1))

    assert store.applied_at == [NOON]
    assert store.threads == {"writer"}


async def test_results_are_delivered_in_the_event_loop(seen: Observed, clock: Clock) -> None:
    """Whoever asked need not think of threads."""
    loops: list[asyncio.AbstractEventLoop] = []
    async with writing(FakeStore(), seen, clock) as writer:
        writer.submit([numbered(1)], lambda _: loops.append(asyncio.get_running_loop()))
    assert loops == [asyncio.get_running_loop()]


async def test_what_waits_is_gathered_into_one_transaction(seen: Observed, clock: Clock) -> None:
    """While one transaction runs, jobs gather for the next; each job gets its own results."""
    store = FakeStore()
    store.gate.clear()
    async with writing(store, seen, clock) as writer:
        first = submit(writer, numbered(1))
        await entered(store)
        second, third = submit(writer, numbered(2), numbered(3)), submit(writer, REFUSAL)
        fourth = submit(writer, numbered(4))
        store.gate.set()
        assert await first == [done(1)]
        assert await second == [done(2), done(3)]
        assert await third == [Noted.RECORDED]
        assert await fourth == [done(4)]

    assert store.applied == [[numbered(1)], [numbered(2), numbered(3), REFUSAL, numbered(4)]]
    assert seen.sample("store_transactions_total") == 2


async def test_a_transaction_is_bounded(
    monkeypatch: pytest.MonkeyPatch, seen: Observed, clock: Clock
) -> None:
    """No more jobs join it once it has the items that it may have; the others come next."""
    monkeypatch.setattr(module, "MAX_ITEMS_PER_TRANSACTION", 4)
    store = FakeStore()
    store.gate.clear()
    async with writing(store, seen, clock) as writer:
        jobs = [submit(writer, numbered(0))]
        await entered(store)
        jobs += [submit(writer, numbered(2 * n), numbered(2 * n + 1)) for n in range(1, 4)]
        store.gate.set()
        results = [await job for job in jobs]

    assert [len(items) for items in store.applied] == [1, 4, 2]
    assert results == [[done(0)], *([done(2 * n), done(2 * n + 1)] for n in range(1, 4))]


async def test_expired_charges_are_dropped_uncharged(seen: Observed, clock: Clock) -> None:
    """Their neighbours are done; a refusal never expires."""
    store = FakeStore()
    async with writing(store, seen, clock) as writer:
        results = await submit(
            writer,
            numbered(1, expires_in=-1),
            numbered(2),
            numbered(3, expires_in=0),
            REFUSAL,
            numbered(4, expires_in=0.001),
        )

    assert results == [Failure.EXPIRED, done(2), Failure.EXPIRED, Noted.RECORDED, done(4)]
    assert store.applied == [[numbered(2), REFUSAL, numbered(4, expires_in=0.001)]]
    assert seen.sample("items_expired_total") == 2


async def test_a_charge_may_expire_while_it_waits(seen: Observed, clock: Clock) -> None:
    """The clock is read when its transaction begins."""
    store = FakeStore()
    store.gate.clear()
    async with writing(store, seen, clock) as writer:
        first = submit(writer, numbered(1))
        await entered(store)
        second = submit(writer, numbered(2, expires_in=1))
        clock.advance(2)
        store.gate.set()
        assert await first == [done(1)]
        assert await second == [Failure.EXPIRED]
    assert store.applied == [[numbered(1)]]


async def test_the_store_is_not_asked_if_everything_has_expired(seen: Observed, clock: Clock) -> None:
    """There is no empty transaction."""
    store = FakeStore()
    async with writing(store, seen, clock) as writer:
        assert await submit(writer, numbered(1, expires_in=-1)) == [Failure.EXPIRED]
    assert store.applied == []
    assert seen.sample("store_transactions_total") == 0


async def test_a_busy_store_is_tried_again(seen: Observed, clock: Clock) -> None:
    """Until it does the job; the trouble is two log lines, not one for each try."""
    store = FakeStore(BUSY, BUSY, BUSY)
    async with writing(store, seen, clock) as writer:
        results = await submit(writer, numbered(1), REFUSAL)

    assert results == [done(1), Noted.RECORDED]
    assert store.applied == [[numbered(1), REFUSAL]] * 4
    assert seen.sample("store_errors_total", op="apply") == 3
    assert seen.sample("store_transactions_total") == 1
    assert seen.sample("store_up") == 1
    assert seen.log.events == ["store_failed", "store_works_again"]


async def test_a_busy_store_is_left_alone_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, seen: Observed, clock: Clock
) -> None:
    """Between two tries, so that whoever holds it gets on."""
    pauses: list[float] = []
    watched = SimpleNamespace(sleep=pauses.append, perf_counter=time.perf_counter, monotonic=time.monotonic)
    monkeypatch.setattr(module, "time", watched)
    monkeypatch.setattr(module, "BUSY_PAUSE_SECONDS", 0.02)
    async with writing(FakeStore(BUSY, BUSY), seen, clock) as writer:
        assert await submit(writer, numbered(1)) == [done(1)]
    assert pauses == [0.02, 0.02]


async def test_a_busy_store_is_tried_until_the_charges_expire(seen: Observed, clock: Clock) -> None:
    """Each falls out at its own time; what was asked for in vain is EXPIRED, and store_up says 0."""
    store = FakeStore(*[BUSY] * 100)
    store.before_apply = lambda: clock.advance(1)
    async with writing(store, seen, clock) as writer:
        results = await submit(writer, numbered(1, expires_in=3), numbered(2, expires_in=1.5))

    assert results == [Failure.EXPIRED, Failure.EXPIRED]
    assert [len(items) for items in store.applied] == [2, 2, 1]
    assert seen.sample("items_expired_total") == 2
    assert seen.sample("store_up") == 0
    assert seen.log.events == ["store_failed"]


async def test_a_store_that_is_free_again_does_what_has_not_expired(seen: Observed, clock: Clock) -> None:
    """A charge that nobody waits for any more is left out."""
    store = FakeStore(BUSY, BUSY)
    store.before_apply = lambda: clock.advance(1)
    async with writing(store, seen, clock) as writer:
        results = await submit(writer, numbered(1, expires_in=1.5), numbered(2), REFUSAL)

    assert results == [Failure.EXPIRED, done(2), Noted.RECORDED]


async def test_refusals_alone_do_not_hold_up_a_busy_store(seen: Observed, clock: Clock) -> None:
    """They are given up after one try, since charges may be waiting behind them."""
    store = FakeStore(BUSY)
    async with writing(store, seen, clock) as writer:
        first, second = await submit(writer, REFUSAL), await submit(writer, numbered(1))

    assert isinstance(first[0], Failure)
    assert second == [done(1)]
    assert store.applied == [[REFUSAL], [numbered(1)]]


async def test_a_refusal_that_is_given_up_has_not_expired(seen: Observed, clock: Clock) -> None:
    """It has no deadline: the store was busy, and that is what it is told."""
    async with writing(FakeStore(BUSY), seen, clock) as writer:
        assert await submit(writer, REFUSAL) == [Failure.UNAVAILABLE]
    assert seen.sample("items_expired_total") == 0


async def test_a_failing_store_makes_its_batch_unavailable(seen: Observed, clock: Clock) -> None:
    """Every live item of that transaction, once; the next one is tried."""
    store = FakeStore(BROKEN)
    async with writing(store, seen, clock) as writer:
        failed = await submit(writer, numbered(1), REFUSAL)
        assert seen.sample("store_up") == 0
        worked = await submit(writer, numbered(2))

    assert failed == [Failure.UNAVAILABLE, Failure.UNAVAILABLE]
    assert worked == [done(2)]
    assert store.applied == [[numbered(1), REFUSAL], [numbered(2)]]
    assert seen.sample("store_errors_total", op="apply") == 1
    assert seen.sample("store_up") == 1


async def test_a_change_of_state_is_one_line(seen: Observed, clock: Clock) -> None:
    """However many transactions fail or succeed in a row."""
    store = FakeStore(BROKEN, BROKEN, BROKEN)
    async with writing(store, seen, clock) as writer:
        for number in range(6):
            await submit(writer, numbered(number))
        store.problems.append(BROKEN)
        await submit(writer, numbered(9))

    assert seen.log.events == ["store_failed", "store_works_again", "store_failed"]
    first, second, _ = seen.log.lines
    assert (first["level"], first["op"], first["reason"]) == ("error", "apply", BROKEN)
    assert second["level"] == "warning"


async def test_store_up_is_1_from_the_start(seen: Observed, clock: Clock) -> None:
    """And the counters are there."""
    async with writing(FakeStore(), seen, clock):
        assert seen.sample("store_up") == 1
        assert seen.samples("store_errors_total") == {("apply",): 0, ("expire",): 0, ("act",): 0}


async def test_closing_does_what_was_submitted(seen: Observed, clock: Clock) -> None:
    """Every job has its results before the store is closed, and before `close` returns."""
    store = FakeStore()
    store.gate.clear()
    async with writing(store, seen, clock) as writer:
        first = submit(writer, numbered(1))
        await entered(store)
        waiting = [submit(writer, numbered(number)) for number in range(2, 6)]
        closing = asyncio.create_task(writer.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        assert not store.closed
        store.gate.set()
        await closing

        assert store.closed
        assert [job.result() for job in (first, *waiting)] == [[done(number)] for number in range(1, 6)]


async def test_closing_an_idle_writer_does_not_wait(seen: Observed, clock: Clock) -> None:
    """The thread need not wake by itself."""
    store = FakeStore()
    started = time.monotonic()
    async with writing(store, seen, clock):
        pass
    assert store.closed
    assert time.monotonic() - started < 5


async def test_a_bug_in_the_thread_ends_the_service(seen: Observed, clock: Clock) -> None:
    """It is logged, and told once in the event loop."""
    store = FakeStore(RuntimeError("oops"))
    async with writing(store, seen, clock, deaths=["RuntimeError('oops')"]) as writer:
        writer.submit([numbered(1)], lambda _: None)

    assert seen.log.events == ["writer_died"]


async def test_forgetting_keeps_pace_with_charging(seen: Observed, clock: Clock) -> None:
    """After each transaction while there is more: at least 200, and two for each item done."""
    store = FakeStore()
    store.forgotten = lambda most: most
    async with writing(store, seen, clock) as writer:
        await submit(writer, numbered(1))
        await submit(writer, *map(numbered, range(300)))
        await submit(writer, numbered(1))

    assert store.expired == [(NOON, FORGET_AT_LEAST), (NOON, 600), (NOON, FORGET_AT_LEAST)]
    assert seen.sample("store_operation_seconds_count", op="expire") == 3


async def test_a_store_that_fails_now_and_then_is_one_failure(
    seen: Observed, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An almost full disk fills no log; the metric follows each transaction."""
    monkeypatch.setattr(module, "QUIET_SECONDS", 60.0)
    store = FakeStore()
    up = []
    async with writing(store, seen, clock) as writer:
        for number in range(10):
            if number % 2 == 0:
                store.problems.append(BROKEN)
            await submit(writer, numbered(number))
            up.append(seen.sample("store_up"))

    assert up == [0, 1] * 5
    assert seen.log.events == ["store_failed"]


async def test_when_all_is_forgotten_the_writer_rests(seen: Observed, clock: Clock) -> None:
    """The store is asked again only after a while."""
    store = FakeStore()
    store.forgotten = lambda most: most - 1
    async with writing(store, seen, clock) as writer:
        for number in range(5):
            await submit(writer, numbered(number))
    assert len(store.expired) == 1


async def test_a_store_that_fails_is_not_asked_to_forget(seen: Observed, clock: Clock) -> None:
    """Until it works again: otherwise the trouble would seem to be over between two failures."""
    store = FakeStore(BROKEN, BROKEN)
    async with writing(store, seen, clock) as writer:
        await submit(writer, numbered(1))
        await submit(writer, numbered(2))
        assert store.expired == []
        await submit(writer, numbered(3))

    assert len(store.expired) == 1
    assert seen.log.events == ["store_failed", "store_works_again"]


async def test_an_idle_writer_forgets_too(
    monkeypatch: pytest.MonkeyPatch, seen: Observed, clock: Clock
) -> None:
    """At night there are no charges to keep pace with."""
    monkeypatch.setattr(module, "HOUSEKEEPING_SECONDS", 0.002)
    store = FakeStore()
    async with writing(store, seen, clock):
        assert await asyncio.to_thread(store.expired_often.wait, WAIT_SECONDS)

    assert set(store.expired) == {(NOON, FORGET_AT_LEAST)}
    assert store.applied == []


@pytest.mark.parametrize("problem", [BUSY, BROKEN])
async def test_forgetting_that_fails_stops_nothing(seen: Observed, clock: Clock, problem: StoreError) -> None:
    """It is counted and logged like any failure, and charges are done all the same."""
    store = FakeStore()
    store.expire_problems.append(problem)
    async with writing(store, seen, clock) as writer:
        assert await submit(writer, numbered(1)) == [done(1)]
        assert await submit(writer, numbered(2)) == [done(2)]

    assert seen.sample("store_errors_total", op="expire") == 1
    (failed, *_) = seen.log.lines
    assert (failed["event"], failed["op"], failed["reason"]) == ("store_failed", "expire", problem)


async def test_store_up_tells_of_the_last_transaction(
    monkeypatch: pytest.MonkeyPatch, seen: Observed, clock: Clock
) -> None:
    """Forgetting that works again says so; on a quiet night no charge comes to do it."""
    monkeypatch.setattr(module, "HOUSEKEEPING_SECONDS", 0.002)
    store = FakeStore()
    store.expire_problems.append(BROKEN)
    async with writing(store, seen, clock):
        assert await asyncio.to_thread(store.expired_often.wait, WAIT_SECONDS)

    assert seen.sample("store_up") == 1


async def test_a_large_log_is_begun_anew_by_the_writer(seen: Observed, clock: Clock) -> None:
    """Only when it is large, after the answers have left."""
    large = [False, True, False]
    checkpoints: list[int] = []
    store = FakeStore()
    async with writing(
        store,
        seen,
        clock,
        wal_is_large=lambda: large.pop(0),
        checkpoint=lambda: checkpoints.append(len(store.applied)),
    ) as writer:
        for number in range(3):
            await submit(writer, numbered(number))
    assert checkpoints == [2]


async def test_a_checkpoint_that_fails_stops_nothing(seen: Observed, clock: Clock) -> None:
    """Charges are done all the same."""

    def checkpoint() -> None:
        raise BROKEN

    store = FakeStore()
    async with writing(store, seen, clock, wal_is_large=lambda: True, checkpoint=checkpoint) as writer:
        assert await submit(writer, numbered(1)) == [done(1)]
        assert await submit(writer, numbered(2)) == [done(2)]
    assert "store_failed" in seen.log.events


async def test_too_much_waiting_is_turned_away(
    seen: Observed, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and counted; what waited is done, and then there is room again."""
    monkeypatch.setattr(module, "MAX_ITEMS_WAITING", 3)
    store = FakeStore()
    store.gate.clear()
    async with writing(store, seen, clock) as writer:
        first = submit(writer, numbered(1), numbered(2))
        await entered(store)
        turned_away = submit(writer, numbered(3), REFUSAL)
        third = submit(writer, numbered(4))
        assert turned_away.done()
        store.gate.set()
        assert await first == [done(1), done(2)]
        assert await third == [done(4)]
        assert await submit(writer, numbered(5), numbered(6), numbered(7)) == [done(5), done(6), done(7)]

    assert turned_away.result() == [Failure.OVERLOADED] * 2
    assert seen.sample("items_shed_total") == 2
    assert [len(items) for items in store.applied] == [2, 1, 3]


async def test_one_message_is_never_too_much(
    seen: Observed, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not fit later either; gRPC bounds its size."""
    monkeypatch.setattr(module, "MAX_ITEMS_WAITING", 1)
    async with writing(FakeStore(), seen, clock) as writer:
        assert await submit(writer, numbered(1), numbered(2)) == [done(1), done(2)]


def test_failures_are_grpcs_status_codes() -> None:
    """DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED and UNAVAILABLE."""
    assert [int(failure) for failure in Failure] == [4, 8, 14]


# What else is done with the store


async def test_an_act_is_done_behind_what_was_submitted_before(seen: Observed, clock: Clock) -> None:
    """In the thread that writes, at the time of the wall clock; charges behind it see what it did."""
    store = FakeStore()
    order: list[str] = []
    store.before_apply = lambda: order.append("apply")

    def act(given: Store, now_ms: int) -> tuple[bool, int, str]:
        order.append("act")
        return given is store, now_ms, threading.current_thread().name

    async with writing(store, seen, clock) as writer:
        first = submit(writer, numbered(1))
        done_by = asyncio.ensure_future(writer.do(act))
        await asyncio.sleep(0)
        second = submit(writer, numbered(2))
        answer = await done_by
        await asyncio.gather(first, second)

    assert answer == (True, NOON, "writer")
    assert order == ["apply", "act", "apply"]
    assert seen.sample("store_operation_seconds_count", op="act") == 1


async def test_a_busy_store_is_tried_again_for_an_act(seen: Observed, clock: Clock) -> None:
    """A few times, and once it is done the store works; else its asker hears of it, and charges go on."""
    tries = count()

    def busy(store: Store, now_ms: int) -> int:
        if next(tries) < 3:
            raise BUSY
        return 7

    def always_busy(store: Store, now_ms: int) -> int:
        raise BUSY

    async with writing(FakeStore(), seen, clock) as writer:
        assert await writer.do(busy) == 7
        assert (writer.works, seen.sample("store_up")) == (True, 1)
        with pytest.raises(StoreBusyError):
            await writer.do(always_busy)
        assert await submit(writer, numbered(1)) == [done(1)]
    assert seen.sample("store_errors_total", op="act") == 3 + module.ACT_TRIES


@pytest.mark.parametrize(
    ("error", "up"), [(BROKEN, 0), (TooManyChangesError("x"), 1), (ValueError("no time zone"), 1)]
)
async def test_an_act_that_fails_is_told_why(seen: Observed, clock: Clock, error: Exception, up: int) -> None:
    """Only what is wrong with the store makes it one that does not work."""

    def act(store: Store, now_ms: int) -> None:
        raise error

    async with writing(FakeStore(), seen, clock) as writer:
        with pytest.raises(type(error)):
            await writer.do(act)
        assert seen.sample("store_up") == up
        assert writer.works == bool(up)
        assert await submit(writer, numbered(1)) == [done(1)]


async def test_acts_that_wait_are_bounded(seen: Observed, clock: Clock) -> None:
    """One more is told so at once."""
    store = FakeStore()
    store.gate.clear()
    async with writing(store, seen, clock) as writer:
        submit(writer, numbered(1))
        await entered(store)
        waiting = [
            asyncio.ensure_future(writer.do(lambda store, now_ms: now_ms)) for _ in range(MAX_ACTS_WAITING)
        ]
        await asyncio.sleep(0)
        with pytest.raises(TooManyActsError):
            await writer.do(lambda store, now_ms: now_ms)
        store.gate.set()
        assert await asyncio.gather(*waiting) == [NOON] * MAX_ACTS_WAITING
        assert await writer.do(lambda store, now_ms: now_ms) == NOON


# What is done at once


LOOP = threading.main_thread().name


async def rested(writer: Writer) -> None:
    """Wait until the thread has done what it was given, an act behind it too, and has left the store."""
    await writer.do(lambda store, now_ms: None)
    await left(writer)


async def left(writer: Writer) -> None:
    """Wait until the thread has left the store, which is after its results were delivered."""
    await asyncio.to_thread(writer._using_store.acquire)
    writer._using_store.release()


async def test_a_small_job_is_done_at_once(seen: Observed, clock: Clock) -> None:
    """In the event loop, with the same results, counts and log as in the thread."""
    store = FakeStore()
    async with writing(store, seen, clock, at_once=4) as writer:
        job = submit(writer, numbered(1), REFUSAL, numbered(2, expires_in=-1), numbered(3))
        assert job.done()
        assert store.threads == {LOOP}

    assert job.result() == [done(1), Noted.RECORDED, Failure.EXPIRED, done(3)]
    assert store.applied == [[numbered(1), REFUSAL, numbered(3)]]
    assert seen.sample("store_transactions_total") == 1
    assert seen.sample("store_operation_seconds_count", op="apply") == 1
    assert seen.sample("items_expired_total") == 1


async def test_a_larger_job_is_the_threads(seen: Observed, clock: Clock) -> None:
    """It would hold up the event loop."""
    store = FakeStore()
    async with writing(store, seen, clock, at_once=2) as writer:
        assert await submit(writer, *map(numbered, range(3))) == [done(0), done(1), done(2)]
    assert store.threads == {"writer"}


async def test_what_waits_is_not_overtaken(seen: Observed, clock: Clock) -> None:
    """A small job behind a larger one, or behind an act, is the thread's, too."""
    store = FakeStore()
    store.gate.clear()
    async with writing(store, seen, clock, at_once=1) as writer:
        large = submit(writer, numbered(1), numbered(2))
        small = submit(writer, numbered(3))
        acted = asyncio.ensure_future(writer.do(lambda store, now_ms: None))
        await entered(store)
        behind = submit(writer, numbered(4))
        store.gate.set()
        await asyncio.gather(large, small, acted, behind)

    assert [*chain.from_iterable(store.applied)] == [numbered(number) for number in (1, 2, 3, 4)]
    assert store.threads == {"writer"}


async def test_housekeeping_keeps_pace_with_what_is_done_at_once(seen: Observed, clock: Clock) -> None:
    """It is the thread's, and what comes before it is done waits behind it."""
    store = FakeStore()
    store.forgotten = lambda most: most
    async with writing(store, seen, clock, at_once=500) as writer:
        first = submit(writer, *map(numbered, range(300)))
        second = submit(writer, numbered(1))
        assert first.done()
        assert not second.done()
        await rested(writer)
        third = submit(writer, numbered(2))
        assert third.done()
        await rested(writer)

    assert store.expired == [(NOON, 600), (NOON, FORGET_AT_LEAST), (NOON, FORGET_AT_LEAST)]
    assert store.threads == {LOOP, "writer"}


async def test_housekeeping_holds_nobody_up(seen: Observed, clock: Clock) -> None:
    """While the thread is in the store, what comes waits for it without the event loop."""
    store = FakeStore()
    inside, go_on = threading.Event(), threading.Event()

    def forgotten(most: int) -> int:
        inside.set()
        assert go_on.wait(WAIT_SECONDS)
        return 0

    store.forgotten = forgotten
    async with writing(store, seen, clock, at_once=1) as writer:
        assert submit(writer, numbered(1)).done()
        assert await asyncio.to_thread(inside.wait, WAIT_SECONDS)
        second = submit(writer, numbered(2))
        assert not second.done()
        go_on.set()
        assert await second == [done(2)]


async def test_a_large_log_is_begun_anew_behind_what_was_done_at_once(seen: Observed, clock: Clock) -> None:
    """By the thread, when it is large, though nothing else is to be kept in order."""
    large = [False, True, False, False, False, False]
    checkpoints: list[str] = []
    store = FakeStore()
    async with writing(
        store,
        seen,
        clock,
        wal_is_large=lambda: large.pop(0) if large else False,
        checkpoint=lambda: checkpoints.append(threading.current_thread().name),
        at_once=1,
    ) as writer:
        for number in range(3):
            await submit(writer, numbered(number))
            await rested(writer)
    assert checkpoints == ["writer"]


async def test_a_busy_store_is_the_threads(seen: Observed, clock: Clock) -> None:
    """One try in the event loop, then the thread's, also when the store has worked again."""
    store = FakeStore(BUSY, BUSY)
    async with writing(store, seen, clock, at_once=1) as writer:
        job = submit(writer, numbered(1))
        assert not job.done()
        assert await job == [done(1)]
        await rested(writer)
        second = submit(writer, numbered(2))
        assert not second.done()
        await second

    assert seen.log.events[0] == "store_failed"
    assert seen.sample("store_errors_total", op="apply") == 2


async def test_a_failing_store_is_the_threads(seen: Observed, clock: Clock) -> None:
    """What failed is told so; the next is tried where it holds up nobody."""
    store = FakeStore(BROKEN)
    async with writing(store, seen, clock, at_once=1) as writer:
        failed, worked = submit(writer, numbered(1)), submit(writer, numbered(2))
        assert failed.result() == [Failure.UNAVAILABLE]
        assert await worked == [done(2)]

    assert store.threads == {LOOP, "writer"}


async def test_a_store_that_is_slow_now_and_then_is_the_threads(
    monkeypatch: pytest.MonkeyPatch, seen: Observed, clock: Clock
) -> None:
    """As the transaction that begins the WAL anew on a slow disk: the loop waits once in half a minute."""
    now = 0.0
    watched = SimpleNamespace(sleep=time.sleep, perf_counter=lambda: now, monotonic=lambda: now)
    monkeypatch.setattr(module, "time", watched)
    store = FakeStore()
    slow_in: list[str] = []

    def become_slow() -> None:
        nonlocal now
        if len(store.applied) % 3 == 1:
            now += module.QUICK_SECONDS
            slow_in.append(threading.current_thread().name)

    store.before_apply = become_slow
    async with writing(store, seen, clock, at_once=1) as writer:
        for number in range(9):
            await submit(writer, numbered(number))
            await rested(writer)
        now += module.SLOW_FOR_SECONDS
        await submit(writer, numbered(9))

    assert slow_in == [LOOP, "writer", "writer", LOOP]


async def test_a_bug_at_once_ends_the_service(seen: Observed, clock: Clock) -> None:
    """As one in the thread: it is logged, told once, and nothing more is written."""
    store = FakeStore(RuntimeError("oops"))
    async with writing(store, seen, clock, deaths=["RuntimeError('oops')"], at_once=1) as writer:
        bad = submit(writer, numbered(1))
        behind = submit(writer, numbered(2))

    assert not bad.done()
    assert not behind.done()
    assert seen.log.events == ["writer_died"]
    assert len(store.applied) == 1


async def test_nothing_is_written_after_a_bug_in_the_thread(seen: Observed, clock: Clock) -> None:
    """Neither at once: who knows what the store would do next."""
    store = FakeStore()
    store.expire_problems.append(RuntimeError("oops"))
    async with writing(store, seen, clock, deaths=["RuntimeError('oops')"], at_once=1) as writer:
        await submit(writer, numbered(1), numbered(2))
        await asyncio.to_thread(writer._thread.join)
        assert not submit(writer, numbered(3)).done()

    assert len(store.applied) == 1
