"""The skeleton of a service: settings, log, metrics port, its own parts, and an orderly end.

`run_service` is the whole `__main__` of frontend, decision and quota. Each hands in `start`, its
composition root, which enters what it opens on `Runtime.stack`: started in order, stopped in reverse.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

import uvloop

from chassis.config import config_path, start_config
from chassis.errors import EXIT_START, StartError
from chassis.http import metrics_server
from chassis.lag import measure_lag
from chassis.logs import Logger, open_log
from chassis.metrics import Metrics
from chassis.processor import Processor, keep_to_processor
from chassis.reload import Reloader
from chassis.settings import ServiceSettings
from chassis.tasks import background

STOP_SECONDS = 10.0


S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True, slots=True)
class Runtime(Generic[S]):
    """What a service's composition root builds on."""

    log: Logger
    metrics: Metrics
    stack: AsyncExitStack
    fail: Callable[[str], None]  # end the process with an error: a part has died that cannot come back
    reloader: Reloader[S]  # holds the settings in force


def run_service(
    name: str, settings_class: type[S], start: Callable[[S, Runtime[S]], Awaitable[None]], *, place: int
) -> None:
    """Run until SIGTERM or SIGINT. Exit code 0; 2 if a setting is wrong; 1 if it cannot start or go on.

    Args:
        place: see chassis.processor.Processor.
    """
    # Its default would end a service that is not ready for it yet.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Before the first file is written: counts, logins and the copy of the settings are not for everybody.
    os.umask(0o027)
    started = start_config(name, settings_class)
    settings = started.config.settings
    log = open_log(service=name, debug=settings.debug, log_format=settings.log_format)
    metrics = Metrics()
    lost = metrics.counter("log_lines_lost_total", "Log lines that could not be written without waiting.")
    log.on_lost(lost.inc)
    reloader = Reloader(started.config, config_path(), started.last_good, log=log, metrics=metrics)
    if started.refused is not None:
        reloader.refused(started.refused)
        log.error("started_with_last_good_settings", version=started.config.version)
    reloader.tell_doubts()
    reloader.on_change(lambda config: log.set_threshold(config.settings.debug))
    processor = Processor(place, log=log, metrics=metrics)
    sys.exit(uvloop.run(_serve(settings, log, metrics, reloader, processor, start)))


async def _serve(
    settings: S,
    log: Logger,
    metrics: Metrics,
    reloader: Reloader[S],
    processor: Processor,
    start: Callable[[S, Runtime[S]], Awaitable[None]],
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    ready = asyncio.Event()
    failures: list[str] = []

    def fail(reason: str) -> None:
        failures.append(reason)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stack = AsyncExitStack()
    runtime = Runtime(log=log, metrics=metrics, stack=stack, fail=fail, reloader=reloader)
    try:
        # The metrics port opens first and closes last: a start or a stop that hangs can be seen.
        await stack.enter_async_context(metrics_server(settings.metrics_endpoint, runtime.metrics, ready))
        await stack.enter_async_context(background(measure_lag(metrics), died=fail))
        await start(settings, runtime)
        await stack.enter_async_context(reloader.watching())
        await stack.enter_async_context(background(keep_to_processor(processor), died=fail))
    except (StartError, OSError) as error:
        log.error("cannot_start", reason=error)
        await stack.aclose()
        return EXIT_START
    except Exception:
        log.exception("cannot_start")
        await stack.aclose()
        return EXIT_START
    ready.set()
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
