"""The section on one steady minute."""

from bench.minute import minute_lines
from tests.support.bench import load


def test_the_section() -> None:
    """Measured beside the aims."""
    lines = minute_lines(load(max_us=251_000))

    assert lines[0] == "50 connections for 1 s, 100 replies."
    assert "| p99, ms | 9.00 | below 15 |" in lines
    assert "| largest, ms | 251 | not above 250 |" in lines
