"""One writer: it commits what has gathered in one transaction, and answers leave after the commit.

A small job that comes while nothing else is to be done is done at once, in the event loop: handing it to a
thread and back costs a request as much as half of its transaction. All else is the thread's: what gathers
while a transaction runs, all jobs while the store is failing, and for half a minute after it was slow or
busy, and the housekeeping. So the event loop waits for a slow store once in half a minute. Nothing waits for
a timer. What waits is bounded: more is turned away.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple, TypeVar

from chassis.logs import Logger
from chassis.metrics import Metrics
from quota.domain import Charge, ChargeResult, Item, Noted
from quota.store.interface import Store, StoreBusyError, StoreError, TooManyChangesError

MAX_ITEMS_PER_TRANSACTION = 2048
# Done in the event loop: some milliseconds at most, and only while all transactions of late were as quick.
MAX_ITEMS_AT_ONCE = 128
QUICK_SECONDS = 0.02
# On a slow disk one transaction in a second waits for it (that which begins the WAL anew), the others do not.
SLOW_FOR_SECONDS = 30.0
# More than one stream may have open (chassis/item_server.py).
MAX_ITEMS_WAITING = 16384
MAX_ACTS_WAITING = 16
ACT_TRIES = 5
OPERATIONS = ("apply", "expire", "act")
BUSY_PAUSE_SECONDS = 0.02
HOUSEKEEPING_SECONDS = 60.0
# An almost full disk takes one transaction and refuses the next: all that is one failure.
QUIET_SECONDS = 1.0
# Forgetting keeps pace with charging, in bites that hold nobody up.
FORGET_AT_LEAST = 200
FORGET_PER_ITEM = 2


class TooManyActsError(Exception):
    """Too much waits to be done."""


class Failure(IntEnum):
    """Why an item was not done; the numbers are gRPC's status codes."""

    EXPIRED = 4
    OVERLOADED = 8
    UNAVAILABLE = 14


R = TypeVar("R")
Result = ChargeResult | Noted | Failure
Done = Callable[[Sequence[Result]], None]


class _Job(NamedTuple):
    items: Sequence[Item]
    done: Done


class _Act(NamedTuple):
    """Something else that is to be done with the store, at a time of the wall clock."""

    do: Callable[[Store, int], Any]
    answer: "asyncio.Future[Any]"


class _Applied(NamedTuple):
    """What became of items."""

    results: Sequence[Result]  # one for each
    seconds: float | None  # that a transaction took, if one was done


class _Chores(NamedTuple):
    """The housekeeping behind what was done at once."""

    items_done: int
    wal_is_large: bool


class Writer:
    """Owns a store, and uses it from one thread at a time: its own, or the event loop's.

    Args:
        at_once: items that a job which is done in the event loop may have; 0: none is.
        clock: the wall clock, in seconds since the epoch.
        checkpoint: lets the store's log begin anew; called when `wal_is_large()`.
        died: called, in the event loop, if a bug has ended the writing.
    """

    def __init__(
        self,
        store: Store,
        *,
        log: Logger,
        metrics: Metrics,
        died: Callable[[str], None],
        at_once: int = MAX_ITEMS_AT_ONCE,
        wal_is_large: Callable[[], bool] = lambda: False,
        checkpoint: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._log = log
        self._died = died
        self._at_once = at_once
        self._wal_is_large = wal_is_large
        self._checkpoint = checkpoint
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | _Act | _Chores | None] = queue.SimpleQueue()
        self._using_store = threading.Lock()
        self._items_waiting = 0  # submitted and not delivered; the event loop's
        self._acts_waiting = 0
        self._chores_wait = False
        self._housekeeping_due = 0.0
        self._works = True
        self._slow_until = 0.0
        self._told_failure = False
        self._failed_at = 0.0
        self._up = metrics.gauge("store_up", "1 if the last transaction was done, 0 if it failed.")
        self._up.set(1)
        self._transactions = metrics.counter("store_transactions_total", "Transactions that were committed.")
        errors = metrics.counter("store_errors_total", "Transactions that failed.", op=OPERATIONS)
        self._errors = {op: errors.labels(op) for op in OPERATIONS}
        seconds = metrics.histogram("store_operation_seconds", "Duration of a transaction.", op=OPERATIONS)
        self._seconds = {op: seconds.labels(op) for op in OPERATIONS}
        self._expired = metrics.counter(
            "items_expired_total", "Charges and refusals that came, or waited, past their deadline."
        )
        self._shed = metrics.counter(
            "items_shed_total", "Charges and refusals that were turned away because too many waited."
        )
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item], done: Done) -> None:
        """Do the items; `done` gets one result for each, in order, in the event loop.

        It may be called before this returns: if the items are done at once, or too many wait already.
        """
        if self._items_waiting and self._items_waiting + len(items) > MAX_ITEMS_WAITING:
            self._shed.inc(len(items))
            done([Failure.OVERLOADED] * len(items))
            return
        job = _Job(items, done)
        nothing_waits = not (self._items_waiting or self._acts_waiting or self._chores_wait)
        self._items_waiting += len(items)
        if not (nothing_waits and self._done_at_once(job)):
            self._jobs.put(job)

    async def do(self, act: Callable[[Store, int], R]) -> R:
        """Do something else with the store, between two transactions; it holds all charges up.

        Args:
            act: gets the store and the wall clock, in Unix milliseconds.

        Raises:
            TooManyActsError: too many wait already.
            and whatever `act` raises.
        """
        if self._acts_waiting >= MAX_ACTS_WAITING:
            raise TooManyActsError
        self._acts_waiting += 1
        answer: asyncio.Future[R] = self._loop.create_future()
        self._jobs.put(_Act(act, answer))
        return await answer

    @property
    def works(self) -> bool:
        """Whether the last transaction was done."""
        return self._works

    async def close(self) -> None:
        """Do what has been submitted, then end the thread and close the store."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._store.close()

    def _done_at_once(self, job: _Job) -> bool:
        """Do a job in the event loop and deliver it, if it is small and the store free, quick and working."""
        if len(job.items) > self._at_once or not self._works or time.monotonic() < self._slow_until:
            return False
        if not self._using_store.acquire(blocking=False):  # the thread keeps house of its own accord
            return False
        try:
            applied = self._apply(job.items, patient=False)
            # Asked while nobody else uses the store, for it may look at the store.
            wal_is_large = self._works and self._wal_is_large()
        except Exception as error:
            self._end(error)
            return True
        finally:
            self._using_store.release()
        if applied is None:
            return False
        self._deliver([job], applied)
        if self._works and (wal_is_large or time.monotonic() >= self._housekeeping_due):
            # What comes before they are done goes behind them, so that they keep pace.
            self._chores_wait = True
            self._jobs.put(_Chores(len(job.items), wal_is_large))
        return True

    def _end(self, error: BaseException) -> None:
        """A bug: who knows what the store would do next. The service ends, and is started anew."""
        self._log.exception("writer_died")
        self._at_once = 0  # nothing more is written
        self._jobs.put(None)
        self._loop.call_soon_threadsafe(self._died, f"the writer died: {error!r}")

    def _run(self) -> None:
        try:
            while self._work():
                pass
        except BaseException as error:
            self._end(error)

    def _work(self) -> bool:
        """Do one round; False when there will be no more."""
        try:
            job = self._jobs.get(timeout=HOUSEKEEPING_SECONDS)
        except queue.Empty:
            job = _Chores(0, False)
        with self._using_store:
            return self._do(job)

    def _do(self, job: _Job | _Act | _Chores | None) -> bool:
        jobs: list[_Job] = []
        count = 0
        while isinstance(job, _Job):
            jobs.append(job)
            count += len(job.items)
            if count >= MAX_ITEMS_PER_TRANSACTION:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        if jobs:
            applied = self._apply([item for job in jobs for item in job.items], patient=True)
            assert applied is not None
            self._loop.call_soon_threadsafe(self._deliver, jobs, applied)
            if self._works:
                self._housekeep(count, self._wal_is_large())
        if isinstance(job, _Act):
            self._act(job)
        elif isinstance(job, _Chores):
            self._housekeep(job.items_done, job.wal_is_large or self._wal_is_large())
            self._chores_wait = False
        return job is not None

    def _act(self, act: _Act) -> None:
        """Done behind all that was submitted before it; a busy store is tried again, a few times."""
        for tries_left in reversed(range(ACT_TRIES)):
            started = time.perf_counter()
            try:
                result = act.do(self._store, round(self._clock() * 1000))
            except StoreBusyError as error:
                self._failed("act", error)
                if tries_left:
                    time.sleep(BUSY_PAUSE_SECONDS)
                    continue
                outcome = partial(act.answer.set_exception, error)
            except TooManyChangesError as error:
                outcome = partial(act.answer.set_exception, error)
            except StoreError as error:
                self._failed("act", error)
                outcome = partial(act.answer.set_exception, error)
            except Exception as error:  # a bug, or a request that cannot be done: its asker hears of it
                outcome = partial(act.answer.set_exception, error)
            else:
                self._seconds["act"].observe(time.perf_counter() - started)
                self._succeeded()
                outcome = partial(act.answer.set_result, result)
            break
        self._loop.call_soon_threadsafe(self._acted, act, outcome)

    def _acted(self, act: _Act, outcome: Callable[[], None]) -> None:
        self._acts_waiting -= 1
        if not act.answer.done():  # its asker may have gone
            outcome()

    def _deliver(self, jobs: Sequence[_Job], applied: _Applied) -> None:
        results = applied.results
        self._items_waiting -= len(results)
        start = 0
        for job in jobs:
            end = start + len(job.items)
            try:
                job.done(results[start:end])
            except Exception:  # a bug in one job, which those behind it do not pay for
                self._log.exception("internal_error")
            start = end
        # What is delivered leaves in the next turn of the loop: this is behind it.
        self._loop.call_soon(self._count, applied)

    def _count(self, applied: _Applied) -> None:
        if applied.seconds is not None:
            self._seconds["apply"].observe(applied.seconds)
            self._transactions.inc()
        self._expired.inc(sum(result is Failure.EXPIRED for result in applied.results))

    def _apply(self, items: Sequence[Item], *, patient: bool) -> _Applied | None:
        """Do the items in one transaction; None if the store is busy and nobody is patient.

        Args:
            patient: a busy store is tried again until nobody waits any more.
        """
        results: list[Result] = [
            Failure.EXPIRED if item.expires_unix_ms or isinstance(item, Charge) else Failure.UNAVAILABLE
            for item in items
        ]
        seconds = None
        while True:
            now_ms = round(self._clock() * 1000)
            live = [index for index, item in enumerate(items) if not _is_expired(item, now_ms)]
            if not live:
                break
            started = time.perf_counter()
            try:
                done = self._store.apply([items[index] for index in live], now_ms)
            except StoreBusyError as error:
                self._failed("apply", error)
                if not patient:
                    self._slow_until = time.monotonic() + SLOW_FOR_SECONDS
                    return None
                if not any(items[index].expires_unix_ms for index in live):
                    # Nobody waits for these refusals: they must not hold up the charges behind them.
                    break
                time.sleep(BUSY_PAUSE_SECONDS)
            except StoreError as error:
                self._failed("apply", error)
                return _Applied([Failure.UNAVAILABLE] * len(items), None)
            else:
                seconds = time.perf_counter() - started
                if seconds >= QUICK_SECONDS and len(live) <= self._at_once:
                    self._slow_until = time.monotonic() + SLOW_FOR_SECONDS
                self._succeeded()
                for index, result in zip(live, done, strict=True):
                    results[index] = result
                break
        return _Applied(results, seconds)

    def _housekeep(self, done: int, wal_is_large: bool) -> None:
        if wal_is_large:
            try:
                self._checkpoint()
            except StoreError as error:
                self._failed("expire", error)
        now = time.monotonic()
        if now < self._housekeeping_due:
            return
        most = max(FORGET_AT_LEAST, FORGET_PER_ITEM * done)
        started = time.perf_counter()
        try:
            forgotten = self._store.expire(round(self._clock() * 1000), most)
        except StoreError as error:
            self._failed("expire", error)
            forgotten = 0
        else:
            self._seconds["expire"].observe(time.perf_counter() - started)
            self._succeeded()
        if forgotten < most:
            self._housekeeping_due = now + HOUSEKEEPING_SECONDS

    def _failed(self, op: str, error: StoreError) -> None:
        self._errors[op].inc()
        self._failed_at = time.monotonic()
        if self._works:
            self._works = False
            self._up.set(0)
        if not self._told_failure:
            self._told_failure = True
            self._log.error("store_failed", op=op, reason=error)

    def _succeeded(self) -> None:
        if not self._works:
            self._works = True
            self._up.set(1)
        if self._told_failure and time.monotonic() - self._failed_at >= QUIET_SECONDS:
            self._told_failure = False
            self._log.warning("store_works_again")


def _is_expired(item: Item, now_ms: int) -> bool:
    if isinstance(item, Charge):
        return item.expires_unix_ms <= now_ms
    return 0 < item.expires_unix_ms <= now_ms
