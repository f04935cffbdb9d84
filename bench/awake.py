"""Processors that do not halt, as on hardware whose wake-ups are cheap.

A virtual processor that has nothing to do halts, and is woken through the hypervisor: tens of microseconds,
and cold caches. At one connection that is what services of several processes are measured by. A process of
the lowest kind on each processor prevents it, and gives way to everybody else at once (SCHED_IDLE, sched(7)).
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def kept_awake(program: Path) -> Iterator[None]:
    """Until left, have each processor that we may use run the program, which awake.c is, and nothing halt."""
    with ExitStack() as stack:
        for processor in os.sched_getaffinity(0):
            process = stack.enter_context(subprocess.Popen([program]))
            stack.callback(process.kill)
            os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setaffinity(process.pid, {processor})
        yield
