"""Figures as Markdown."""

import pytest

from bench.tables import answers_table, milliseconds, number, own_table, subjects_table, table, times
from tests.support.bench import figures_of


def test_a_table() -> None:
    """First column to the left, numbers to the right."""
    assert table(["a", "b"], [["x", "1"], ["y", "2"]]) == [
        "| a | b |",
        "|---|---:|",
        "| x | 1 |",
        "| y | 2 |",
    ]


def test_numbers() -> None:
    """With as many digits as mean something."""
    assert [number(None), number(1234.5), number(1234.5, 1)] == ["-", "1,234", "1,234.5"]
    assert [times(None), times(2)] == ["-", "2.00"]


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(None, "-"), (55, "0.06"), (9_994, "9.99"), (15_040, "15.0"), (1_216_000, "1,216")],
)
def test_milliseconds(microseconds: float | None, text: str) -> None:
    """From microseconds."""
    assert milliseconds(microseconds) == text


def test_the_table_of_subjects() -> None:
    """Us first, then the peers, the limit, what is missing, and our ratios: the best is the fastest peer."""
    header, line, *rows = subjects_table(
        (1, 50),
        ("us", figures_of(9000, connections=(1, 50), p50_us=6000)),
        {
            "slow": figures_of(1000, connections=(1, 50), p50_us=9000),
            "fast": figures_of(3000, connections=(1, 50), p50_us=4000),
        },
        ("limit", figures_of(90_000, connections=(1, 50), p50_us=100)),
        {"absent": "not installed"},
    )

    assert header.startswith(
        "| who answers | 1 conn. /s | 50 conn. /s | p50 ms at 1 | p99 ms at 1 | p50 ms at 50 |"
    )
    assert [row.split(" | ")[0] for row in rows] == [
        "| us",
        "| slow",
        "| fast",
        "| limit",
        "| absent: not installed",
        "| **ours / the best peer's**",
        "| **ours / the limit**",
    ]
    assert rows[0].startswith("| us | 9,000 | 9,000 | 6.00 | 9.00 | 6.00 | 9.00 | 20.0 | 40 | 100 | 110 |")
    assert rows[5].startswith("| **ours / the best peer's** | 3.00 | 3.00 | 1.50 | 1.00 |")
    assert rows[6].startswith("| **ours / the limit** | 0.10 | 0.10 | 60.00 |")
    assert {row.count("|") for row in [header, line, *rows]} == {header.count("|")}


def test_the_table_without_us_has_no_ratios() -> None:
    """And none to peers that are not there."""
    limit = ("limit", figures_of(90_000))

    assert len(subjects_table((50,), None, {}, limit, {})) == 3
    assert len(subjects_table((50,), ("us", figures_of(1)), {}, limit, {})) == 5


def test_the_table_of_answers() -> None:
    """What was counted of what passed, and what was wrong."""
    rows = answers_table({"us": figures_of(1), "peer": figures_of(1, lost=3)}, {"peer": ["a", "b"]})

    assert rows[2:] == ["| us | 98 of 98 | 0 | none |", "| peer | 98 of 98 | 3 | a; b |"]


def test_our_own_table() -> None:
    """Memory by service, start, slowest reply; idle time if it was watched."""
    assert own_table(figures_of(1))[2:] == [
        "| PSS of frontend, MiB | 40.0 |",
        "| start, seconds from spawn to /readyz of all three | 1.00 |",
        "| largest reply time of all runs, ms | 20.0 |",
    ]
