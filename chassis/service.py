"""The skeleton of a service: settings, log, metrics port, its own parts, and an orderly end.

`run_service` is the whole `__main__` of frontend, decision and quota. Each hands in `start`, its
composition root, which enters what it opens on `Runtime.stack`: started in order, stopped in reverse.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import uvloop

from chassis.errors import StartError
from chassis.http import metrics_server
from chassis.logs import Logger, open_log
from chassis.metrics import Metrics
from chassis.settings import ServiceSettings, load_or_exit

EXIT_START = 1
STOP_SECONDS = 10.0

S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a service's composition root builds on."""

    log: Logger
    metrics: Metrics
    stack: AsyncExitStack
    fail: Callable[[str], None]  # end the process with an error: a part has died that cannot come back


def run_service(name: str, settings_class: type[S], start: Callable[[S, Runtime], Awaitable[None]]) -> None:
    """Run until SIGTERM or SIGINT. Exit code 0; 2 if a setting is wrong; 1 if it cannot start or go on."""
    settings = load_or_exit(settings_class)
    log = open_log(service=name, debug=settings.debug, log_format=settings.log_format)
    sys.exit(uvloop.run(_serve(settings, log, start)))


async def _serve(settings: S, log: Logger, start: Callable[[S, Runtime], Awaitable[None]]) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    failures: list[str] = []

    def fail(reason: str) -> None:
        failures.append(reason)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stack = AsyncExitStack()
    runtime = Runtime(log=log, metrics=Metrics(), stack=stack, fail=fail)
    try:
        # The metrics port opens first and closes last: a start or a stop that hangs can be seen.
        await stack.enter_async_context(metrics_server(settings.metrics_endpoint, runtime.metrics))
        await start(settings, runtime)
    except (StartError, OSError) as error:
        log.error("cannot_start", reason=error)
        await stack.aclose()
        return EXIT_START
    # What start-up made lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    log.notice("ready")
    await stop.wait()
    log.notice("stopping")
    try:
        await asyncio.wait_for(stack.aclose(), STOP_SECONDS)
    except TimeoutError:
        log.error("stop_took_too_long", seconds=STOP_SECONDS)
        return EXIT_START
    if failures:
        log.error("failed", reason=failures[0])
        return EXIT_START
    log.notice("stopped")
    return 0
