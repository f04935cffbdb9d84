"""A coroutine that runs beside the others for as long as its service does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def background(
    coroutine: Coroutine[None, None, None], *, died: Callable[[str], None]
) -> AsyncIterator[None]:
    """Run it until left, then cancel it. Args: died is told if it ends by itself, which is a bug."""

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            died(f"{task.get_coro()!r} ended: {task.exception()!r}")

    task = asyncio.create_task(coroutine)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
