"""`blocks_total`: what was refused, by reason and country. Each service counts its own reasons.

All countries are there from the start, at 0: `increase()` would miss the first refusal of each. A country is
shown as the data said it, if that is a code of ISO 3166-1 (or XK, Kosovo), else as "unknown".
"""

from collections.abc import Iterable

import pycountry

from chassis.metrics import Metrics

UNKNOWN = "unknown"
COUNTRIES = (*sorted({country.alpha_2 for country in pycountry.countries} | {"XK"}), UNKNOWN)


class Blocks:
    """Args: reasons: the names of the rules that this service counts."""

    def __init__(self, metrics: Metrics, reasons: Iterable[str]) -> None:
        self._known = frozenset(COUNTRIES)
        self._counter = metrics.counter(
            "blocks_total", "Refused requests by reason and country.", reason=reasons, country=COUNTRIES
        )

    def add(self, reason: str, country: str) -> None:
        """One request was refused."""
        self._counter.labels(reason, country if country in self._known else UNKNOWN).inc()
