"""How long to wait after failures."""

import random
from collections.abc import Callable

FIRST_SECONDS = 1.0
MOST_SECONDS = 300.0
# What a receiver asks for is honoured up to here: it must not silence us for a day.
MOST_ASKED_SECONDS = 3600.0
_MOST_DOUBLINGS = 20  # far above the cap, far below what a float holds


def pause_seconds(
    failures: int, asked_seconds: float | None = None, chance: Callable[[], float] = random.random
) -> float:
    """The pause after so many failures in a row, at least 1: twice as long each time, up to a cap.

    Half of it is left to chance, so that those who failed together do not come back together.

    Args:
        asked_seconds: what the receiver asked for, if it did.
        chance: 0 up to 1.
    """
    full = min(FIRST_SECONDS * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), MOST_SECONDS)
    pause = full * (0.5 + chance() / 2)
    return pause if asked_seconds is None else max(pause, min(asked_seconds, MOST_ASKED_SECONDS))
