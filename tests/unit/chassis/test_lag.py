"""How late the event loop is."""

import asyncio

import pytest

from chassis.lag import LAG_PROBE_SECONDS, measure_lag
from chassis.tasks import background
from tests.support.observed import Observed
from tests.support.virtual_time import VirtualTimeLoop, in_virtual_time


@in_virtual_time
async def test_a_loop_that_hangs_is_measured() -> None:
    """How late the last probe came; 0 again when the loop runs freely."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    seen = Observed()
    async with background(measure_lag(seen.metrics), died=pytest.fail):
        await asyncio.sleep(LAG_PROBE_SECONDS - 0.5)
        loop.hang(2)
        await asyncio.sleep(0.1)
        assert seen.sample("event_loop_lag_seconds") == pytest.approx(1.5, abs=0.001)

        await asyncio.sleep(LAG_PROBE_SECONDS)
        assert seen.sample("event_loop_lag_seconds") == pytest.approx(0, abs=0.001)
