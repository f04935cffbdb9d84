"""Medians and ratios."""

import pytest

from bench.figures import figures, ratio
from bench.interface import StateSize
from tests.support.bench import load, sample


def test_medians_of_the_rounds() -> None:
    """By number of connections and by part; the largest reply time and the sums are of all rounds."""
    rounds = [
        sample(
            load(connections=1, rate=rate, p50_us=p50, max_us=p50 * 10),
            load(connections=50, rate=rate * 10, lost=1),
            counted=196,
            pss={"a": memory, "b": 5},
            idle_cpu=idle,
            start_seconds=start,
            size=StateSize(1.0, None),
        )
        for rate, p50, memory, idle, start in [
            (100, 900, 30, 0.01, 3.0),
            (300, 700, 10, None, 1.0),
            (200, 800, 20, None, 2.0),
        ]
    ]

    found = figures(rounds)

    assert found.rate == {1: 200, 50: 2000}
    assert found.p50_us == {1: 800, 50: 5000}
    assert found.p99_us == {1: 9000, 50: 9000}
    assert found.max_us == 20_000
    assert found.pss == {"a": 20, "b": 5}
    assert found.pss_total == 25
    assert found.idle_cpu == 0.01
    assert found.start_seconds == 2.0
    assert found.size == StateSize(1.0, None)
    assert (found.accepted, found.counted, found.failed) == (588, 588, 3)


def test_what_cannot_be_asked_is_unknown() -> None:
    """Not zero."""
    found = figures([sample(counted=98), sample(counted=None)])

    assert found.counted is None
    assert found.idle_cpu is None


@pytest.mark.parametrize(
    ("ours", "others", "best", "expected"),
    [
        (300.0, [100.0, 200.0], max, 1.5),
        (300.0, [100.0, 200.0], min, 3.0),
        (300.0, [None, 200.0], max, 1.5),
        (300.0, [None, 0.0], max, None),
        (300.0, [], max, None),
        (None, [100.0], max, None),
    ],
)
def test_ratio_to_the_best(
    ours: float | None, others: list[float | None], best: object, expected: object
) -> None:
    """Whether high or low is good; nothing where there is nothing to compare."""
    assert ratio(ours, others, best) == expected  # type: ignore[arg-type]
