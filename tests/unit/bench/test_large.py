"""The section on a big state."""

from bench.large import LargeResult, Size, large_lines

MIB = 1024**2


def test_a_quarter_of_the_day_is_remembered() -> None:
    """Six hours."""
    assert Size(charges=10_000_000).remembered == 2_500_000


def test_the_section() -> None:
    """Medians, ratios to the empty store, and memory by service."""
    services = {"frontend": 50 * MIB, "quota": 60 * MIB}
    result = LargeResult(
        size=Size(1000, 4000),
        database_bytes=300 * MIB,
        empty_rates=[1000.0, 900.0, 1100.0],
        full_rates=[950.0, 940.0, 960.0],
        everybody_rates=[800.0, 790.0, 810.0],
        empty_start=1.0,
        full_start=1.1,
        pss_started=services,
        pss_after_all_users=services,
        pss_per_1000_connections={"frontend": 2.5 * MIB, "quota": 0.0},
        largest_us=123_456,
        wrong=[],
    )

    text = "\n".join(large_lines(result))

    assert "1,000 users, 4,000 charges of today, 1,000 messages remembered (six hours): 300 MiB" in text
    assert "| full, 1,000 users send | 950 | 0.95 | 950, 940, 960 |" in text
    assert "| full, all 1,000 users send, at random | 800 | 0.80 | 800, 790, 810 |" in text
    assert "| start, seconds from spawn to /readyz of all three | 1.00 | 1.10 | 1.10 |" in text
    assert "| PSS, MiB | frontend | quota |" in text
    assert "| more for each 1,000 idle connections | 2.5 | 0.0 |" in text
    assert "Largest reply time of all these runs: 123 ms." in text
