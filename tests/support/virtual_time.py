"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from tests.support.loops import in_loop

P = ParamSpec("P")


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            # Otherwise a test that waits for something that never comes would hang.
            assert timeout is not None, "every task waits, and no timer is set"
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 0; only timers move its clock. Nothing outside the process may be waited for."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def hang(self, seconds: float) -> None:
        """As if the callback that calls this had taken so long."""
        self._virtual.now += seconds


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in a loop of its own with a virtual clock."""
    return in_loop(test, VirtualTimeLoop)


async def settle() -> None:
    """Let every task run as far as it can without the clock."""
    for _ in range(20):
        await asyncio.sleep(0)


def now() -> float:
    """The running loop's clock, without the noise of adding fractions."""
    return round(asyncio.get_running_loop().time(), 6)
