"""The processor that a quiet service keeps to."""

import asyncio
import errno
import os
import subprocess
import threading
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

import pytest

from chassis import processor
from chassis.processor import (
    FREE_SECONDS,
    LATE_SECONDS,
    MAX_FREE_SECONDS,
    MOMENT_SECONDS,
    PROBE_SECONDS,
    Processor,
    keep_to_processor,
    run_anywhere,
)
from chassis.tasks import background
from tests.support.observed import Observed
from tests.support.virtual_time import VirtualTimeLoop, in_virtual_time

ALL = frozenset(os.sched_getaffinity(0))
several = pytest.mark.skipif(len(ALL) < 2, reason="there is one processor")


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The next test runs in this process too."""
    yield
    monkeypatch.undo()
    processor._place_threads(ALL)


@pytest.fixture
def another_thread() -> Iterator[None]:
    """One beside the main one, for as long as the test takes."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


def made(seen: Observed, place: int = 0, allowed: frozenset[int] = ALL) -> Processor:
    return Processor(place, log=seen.log.logger, metrics=seen.metrics, allowed=allowed)


def where_threads_may_run() -> set[frozenset[int]]:
    """One element if all threads of this process may run on the same processors."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            found.add(frozenset(os.sched_getaffinity(int(thread.name))))
    return found


@several
@pytest.mark.usefixtures("another_thread")
@pytest.mark.parametrize(("place", "from_the_end"), [(0, -1), (1, -2)])
def test_all_threads_of_a_quiet_service_stay_on_one_processor(place: int, from_the_end: int) -> None:
    """Two places are two processors, the last ones."""
    seen = Observed()
    made(seen, place).probed(100.0, 0.0)
    assert where_threads_may_run() == {frozenset({sorted(ALL)[from_the_end]})}
    assert seen.sample("on_one_processor") == 1


@several
@pytest.mark.usefixtures("another_thread")
def test_they_run_anywhere_while_the_loop_is_late() -> None:
    """And for a while after it was so last."""
    seen = Observed()
    threads = made(seen)
    for now, late in (
        (100.0, 0.0),
        (101.0, LATE_SECONDS),  # as late as it may be
    ):
        threads.probed(now, late)
        assert seen.sample("on_one_processor") == 1

    threads.probed(102.0, LATE_SECONDS + 0.001)
    assert where_threads_may_run() == {ALL}
    assert seen.sample("on_one_processor") == 0

    threads.probed(110.0, 1.0)
    threads.probed(109.9 + 2 * FREE_SECONDS, 0.0)
    assert where_threads_may_run() == {ALL}

    threads.probed(110.0 + 2 * FREE_SECONDS, 0.0)
    assert len(where_threads_may_run().pop()) == 1


@several
@pytest.mark.parametrize(
    ("kept_for", "frees"),
    [
        (MOMENT_SECONDS, [FREE_SECONDS] * 3),
        (MOMENT_SECONDS - 1, [FREE_SECONDS * factor for factor in (2, 4, 8, 16, 32, 64, 64)]),
    ],
)
def test_beside_a_busy_neighbour_it_is_tried_less_and_less(kept_for: float, frees: list[float]) -> None:
    """Once the threads could stay for a minute it begins anew."""
    assert frees[-1] in (FREE_SECONDS, MAX_FREE_SECONDS)
    seen = Observed()
    threads = made(seen)
    now = 100.0
    for free in frees:
        threads.probed(now, 0.0)
        assert seen.sample("on_one_processor") == 1
        now += kept_for
        threads.probed(now, 1.0)
        threads.probed(now + free - 0.1, 0.0)
        assert seen.sample("on_one_processor") == 0
        now += free


@several
def test_threads_that_could_not_be_let_go_are_let_go_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """There was no descriptor for it."""
    place, descriptors = processor._place_threads, [False]

    def short_of_descriptors(processors: Set[int]) -> None:
        if not descriptors[0]:
            raise OSError(errno.EMFILE, "Too many open files")
        place(processors)

    seen = Observed()
    threads = made(seen)
    threads.probed(100.0, 0.0)
    monkeypatch.setattr(processor, "_place_threads", short_of_descriptors)
    threads.probed(101.0, 1.0)
    assert len(where_threads_may_run().pop()) == 1
    assert seen.sample("on_one_processor") == 1

    descriptors[0] = True
    threads.probed(101.25, 0.0)
    assert where_threads_may_run() == {ALL}
    assert seen.sample("on_one_processor") == 0


@several
def test_a_thread_that_has_just_ended_or_begun_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads come and go while they are placed."""
    placed: list[int] = []
    batches = [["11", "12"], ["12", "13"], ["12", "13"]]

    def place(thread: int, _: object) -> None:
        placed.append(thread)
        if thread == 11:
            raise ProcessLookupError(errno.ESRCH, "No such process")

    with monkeypatch.context() as patched:
        patched.setattr(os, "sched_setaffinity", place)
        patched.setattr(Path, "iterdir", lambda _: iter(map(Path, batches.pop(0))))
        made(Observed()).probed(100.0, 0.0)
    assert sorted(placed) == [11, 12, 13]


def test_on_a_single_processor_there_is_nothing_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of the system."""
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("it was asked"))
    seen = Observed()
    threads = made(seen, place=1, allowed=frozenset({0}))
    for late in (0.0, 1.0, 1.0):
        threads.probed(100.0, late)
    assert seen.sample("on_one_processor") == 0


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
def test_a_system_that_forbids_it_is_asked_once(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service goes on as it is, and the log tells those who look."""
    asked: list[object] = []

    def forbid(*arguments: object) -> None:
        asked.append(arguments)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sched_setaffinity", forbid)
    seen = Observed()
    threads = made(seen, allowed=frozenset({0, 1}))
    threads.probed(100.0, 0.0)
    threads.probed(200.0, 0.0)
    threads.let_go()
    assert len(asked) == 1
    assert seen.sample("on_one_processor") == 0
    assert seen.log.events == ["threads_not_placed"]


@several
@in_virtual_time
async def test_the_loop_is_probed_a_few_times_a_second() -> None:
    """At the end the threads may run anywhere again."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    seen = Observed()
    async with background(keep_to_processor(made(seen)), died=pytest.fail):
        await asyncio.sleep(0)
        assert len(where_threads_may_run().pop()) == 1

        await asyncio.sleep(PROBE_SECONDS * 0.5)
        loop.hang(PROBE_SECONDS)
        await asyncio.sleep(0.01)
        assert where_threads_may_run() == {ALL}

        await asyncio.sleep(2 * FREE_SECONDS + PROBE_SECONDS * 2)
        assert len(where_threads_may_run().pop()) == 1
    assert where_threads_may_run() == {ALL}


@several
def test_a_child_process_may_run_where_the_service_was_started() -> None:
    """A file is checked for minutes perhaps, and not on the service's own processor."""
    seen = Observed()
    made(seen).probed(100.0, 0.0)
    with subprocess.Popen(["sleep", "60"]) as child:
        assert len(os.sched_getaffinity(child.pid)) == 1
        run_anywhere(child.pid)
        assert os.sched_getaffinity(child.pid) == processor._ALLOWED
        child.kill()
    run_anywhere(child.pid)  # it has ended: nothing happens
