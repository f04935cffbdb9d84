"""Pauses after failures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quota.notify.backoff import MOST_ASKED_SECONDS, MOST_SECONDS, pause_seconds


@pytest.mark.parametrize(
    ("failures", "most"), [(1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, 300.0), (100_000, 300.0)]
)
def test_each_pause_is_twice_as_long_up_to_a_cap(failures: int, most: float) -> None:
    """Half of it is left to chance."""
    assert pause_seconds(failures, chance=lambda: 1.0) == most
    assert pause_seconds(failures, chance=lambda: 0.0) == most / 2


@given(st.integers(1, 10**6), st.none() | st.floats(0, 10**9), st.floats(0, 1))
def test_no_pause_is_without_bounds(failures: int, asked: float | None, chance: float) -> None:
    """What a receiver asks for is honoured for an hour at most."""
    pause = pause_seconds(failures, asked, chance=lambda: chance)

    assert 0.5 <= pause <= max(MOST_SECONDS, MOST_ASKED_SECONDS)
    if asked is not None:
        assert pause >= min(asked, MOST_ASKED_SECONDS)
