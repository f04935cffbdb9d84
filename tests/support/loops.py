"""Event loops for single tests."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

import uvloop

P = ParamSpec("P")


def in_loop(
    test: Callable[P, Coroutine[Any, Any, None]], make: Callable[[], asyncio.AbstractEventLoop]
) -> Callable[P, None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(test(*args, **kwargs))

    return run


def in_uvloop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in the loop that the services run in."""
    return in_loop(test, uvloop.new_event_loop)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for it, with much patience for a busy machine."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - others bring it about
            await asyncio.sleep(0.01)
