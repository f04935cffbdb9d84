"""Turns of clients that send requests ahead of their replies, which Postfix does not.

Without a bound a thousand of them would always have a thousand requests out, and whoever waits for his reply
would wait behind those. So they share a few places.
"""

from collections import deque
from collections.abc import Callable

PLACES = 32


class Turns:
    """Gives places in the order of asking. Args: soon: calls in the next turn of the event loop."""

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        self._soon = soon
        self._waiting: deque[Callable[[], None]] = deque()
        self._free = PLACES

    def wait(self, turn: Callable[[], None]) -> None:
        """Call `turn` when there is a place; it is taken until `leave`."""
        self._waiting.append(turn)
        self._give()

    def leave(self) -> None:
        """Give a place back."""
        self._free += 1
        self._give()

    def _give(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            self._soon(self._waiting.popleft())
