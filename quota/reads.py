"""Reads of the store for people: in threads beside the event loop, few at a time, and few that wait."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from prometheus_client import Counter

from chassis.metrics import Metrics

MAX_READS_WAITING = 64

R = TypeVar("R")


class TooManyReadsError(Exception):
    """So many wait already."""


def shed_reads(metrics: Metrics) -> Counter:
    """What counts reads that are turned away."""
    return metrics.counter(
        "reads_shed_total", "Reports and questions of admins that were turned away because too many waited."
    )


class Reads:
    """Lives in one event loop.

    Args:
        places: reads at a time.
        shed: counts those that were turned away.
    """

    def __init__(self, places: int, shed: Counter) -> None:
        self._places = asyncio.Semaphore(places)
        self._shed = shed
        self._waiting = 0

    async def do(self, read: Callable[..., R], *values: object) -> R:
        """Read in a thread, when there is a place.

        Raises:
            TooManyReadsError: too many wait already.
            and whatever `read` raises.
        """
        if self._waiting >= MAX_READS_WAITING:
            self._shed.inc()
            raise TooManyReadsError(f"{MAX_READS_WAITING} reads wait already: try again")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        reading = asyncio.ensure_future(asyncio.to_thread(read, *values))
        reading.add_done_callback(self._left)
        # Who gives up has his place until the thread is free: it cannot be stopped.
        return await asyncio.shield(reading)

    def _left(self, reading: "asyncio.Future[Any]") -> None:
        self._places.release()
        if not reading.cancelled():
            reading.exception()  # its asker has heard of it, or has gone
