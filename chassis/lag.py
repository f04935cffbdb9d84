"""How late the event loop runs its timers: what has it busy, or keeps it from its processor, shows there."""

import asyncio
from collections.abc import AsyncIterator

from chassis.metrics import Metrics

LAG_PROBE_SECONDS = 5.0


async def timers(seconds: float) -> AsyncIterator[tuple[float, float]]:
    """Each time when a timer of so many seconds has run: the loop's time, and how late it is, in seconds."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + seconds
        await asyncio.sleep(seconds)
        now = loop.time()
        yield now, now - due


async def measure_lag(metrics: Metrics) -> None:
    """Measure how late the event loop is until cancelled."""
    lag = metrics.gauge("event_loop_lag_seconds", "How late the event loop ran a timer, at the last probe.")
    async for _, late in timers(LAG_PROBE_SECONDS):
        lag.set(max(0.0, late))
