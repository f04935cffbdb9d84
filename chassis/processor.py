"""While a service is quiet, all its threads stay on one processor.

A message passes through two threads of each service, gRPC's poller and the event loop. The kernel wakes the
one that is to go on where nothing runs: on another processor, which has halted, and which takes longer to
wake than its work takes. On one processor the second thread goes on where the first one ends.

Under load, or beside a busy neighbour, that would only be in the way. Both show in the event loop: it runs
its timers late. Then the threads may run anywhere for a while. What it is worth: docs/BENCHMARKS.md.
"""

import asyncio
import errno
import math
import os
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from chassis.lag import timers
from chassis.logs import Logger
from chassis.metrics import Metrics

PROBE_SECONDS = 0.25
# uvloop's clock counts milliseconds, and up to two of them pass on a machine that does nothing else.
LATE_SECONDS = 0.0025
# For so long threads run anywhere; twice as long each time, if they were on one processor for a moment only.
FREE_SECONDS = 10.0
MAX_FREE_SECONDS = 640.0
MOMENT_SECONDS = 60.0
# What the process was started with (`CPUAffinity=` of a unit, `cpuset` of a container): it keeps to that.
_ALLOWED = frozenset(os.sched_getaffinity(0))


class Processor:
    """Where the threads of this process may run.

    Args:
        place: services of one place share a processor, those of two places have two, if there are two.
            decision and quota have one, frontend another: of all ways the quickest (docs/BENCHMARKS.md).
    """

    def __init__(self, place: int, *, log: Logger, metrics: Metrics, allowed: Set[int] = _ALLOWED) -> None:
        self._allowed = allowed
        # From the end: the first one has most interrupts to see to.
        self._own = {sorted(allowed)[-1 - place % len(allowed)]}
        self._log = log
        self._kept = False
        self._kept_since = 0.0
        self._free_until = 0.0 if len(allowed) > 1 else math.inf
        self._free_for = FREE_SECONDS
        self._gauge = metrics.gauge(
            "on_one_processor",
            "1 while all threads stay on one processor of several, as they do when it is quiet.",
        )

    def probed(self, now: float, late: float) -> None:
        """A timer of the event loop ran. Args: now: in seconds, of any clock; late: seconds."""
        if late > LATE_SECONDS:
            if self._kept:
                was_a_moment = now - self._kept_since < MOMENT_SECONDS
                self._free_for = min(self._free_for * 2, MAX_FREE_SECONDS) if was_a_moment else FREE_SECONDS
            self._free_until = max(self._free_until, now + self._free_for)
        keep = now >= self._free_until
        if keep and not self._kept:
            self._kept_since = now
        if keep is not self._kept:
            self._place(keep)

    def let_go(self) -> None:
        """Let the threads run anywhere."""
        if self._kept:
            self._place(False)

    def _place(self, keep: bool) -> None:
        try:
            _place_threads(self._own if keep else self._allowed)
            self._kept = keep
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EINVAL):
                # Forbidden, or those processors were taken away: where threads run is the system's affair.
                self._log.info("threads_not_placed", reason=error)
                self._kept = False
                self._free_until = math.inf
            else:
                # No descriptor to list the threads with: some may be placed, so letting go is tried again.
                self._kept = True
        self._gauge.set(self._kept)


async def keep_to_processor(processor: Processor) -> None:
    """Probe until cancelled; it begins quietly."""
    processor.probed(asyncio.get_running_loop().time(), 0.0)
    try:
        async for now, late in timers(PROBE_SECONDS):
            processor.probed(now, late)
    finally:
        processor.let_go()


def run_anywhere(pid: int) -> None:
    """Let a child process run where this process might when it was started."""
    with suppress(OSError):
        os.sched_setaffinity(pid, _ALLOWED)


def _place_threads(processors: Set[int]) -> None:
    """Those that there are; a new one begins where its maker is. Raises OSError."""
    placed: set[Path] = set()
    while new := set(Path("/proc/self/task").iterdir()) - placed:
        for thread in new:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), processors)
        placed |= new
