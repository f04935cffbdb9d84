"""What was refused, by reason and country."""

from chassis.blocks import COUNTRIES, Blocks
from tests.support.observed import Observed


def test_every_country_is_there_from_the_start() -> None:
    """At 0, so that the first refusal is an increase."""
    seen = Observed()
    Blocks(seen.metrics, ["country"])

    assert seen.samples("blocks_total") == {("country", country): 0 for country in COUNTRIES}
    assert {"DE", "XK", "unknown"} <= set(COUNTRIES)
    assert len(COUNTRIES) == 251


def test_what_is_no_country_is_unknown() -> None:
    """Odd data makes no series of its own."""
    seen = Observed()
    blocks = Blocks(seen.metrics, ["country", "quota"])
    for country in ("US", "US", "", "ZZ", "Germany"):
        blocks.add("country", country)

    assert seen.sample("blocks_total", reason="country", country="US") == 2
    assert seen.sample("blocks_total", reason="country", country="unknown") == 3
    assert seen.sample("blocks_total", reason="quota", country="US") == 0
