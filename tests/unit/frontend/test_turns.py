"""Turns of clients that send ahead."""

from collections import deque
from collections.abc import Callable
from functools import partial

from frontend.turns import PLACES, Turns


class Loop:
    """Calls what is due when the test says so."""

    def __init__(self) -> None:
        self.due: deque[Callable[[], None]] = deque()
        self.turns = Turns(self.due.append)
        self.taken: list[int] = []

    def wait(self, *clients: int) -> None:
        for client in clients:
            self.turns.wait(partial(self.taken.append, client))

    def run(self) -> None:
        while self.due:
            self.due.popleft()()


def test_a_turn_comes_with_the_loop_and_not_at_once() -> None:
    """Whoever asks for one is in the middle of something."""
    loop = Loop()
    loop.wait(1)
    before = list(loop.taken)
    loop.run()

    assert (before, loop.taken) == ([], [1])


def test_there_are_so_many_places_and_the_first_come_are_first() -> None:
    """A place that is left goes to whoever has waited longest."""
    loop = Loop()
    loop.wait(*range(PLACES + 3))
    loop.run()
    at_first = list(loop.taken)
    loop.turns.leave()
    loop.run()
    loop.wait(99)
    loop.turns.leave()
    loop.turns.leave()
    loop.run()

    assert at_first == list(range(PLACES))
    assert loop.taken == list(range(PLACES + 3))
    loop.turns.leave()
    loop.run()
    assert loop.taken[-1] == 99


def test_places_that_nobody_wants_are_kept() -> None:
    """For those who come later."""
    loop = Loop()
    loop.wait(1)
    loop.run()
    loop.turns.leave()
    loop.wait(*range(PLACES))
    loop.run()

    assert len(loop.taken) == PLACES + 1
