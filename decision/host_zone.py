"""The time zone that midnight is taken from where the settings name none: the host's, which may change."""

import asyncio
from collections.abc import Callable

LOOK_SECONDS = 30.0


async def follow_time_zone(
    *, wanted: Callable[[], str], in_force: Callable[[], str], change: Callable[[], None]
) -> None:
    """Call `change` whenever the zone that is wanted is not the one in force; until cancelled."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if await asyncio.to_thread(wanted) != in_force():
            change()
