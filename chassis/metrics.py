"""Prometheus metrics with closed label sets: every combination is there, at 0, from the start.

Otherwise `rate()` misses the first event and an alert on `== 0` never evaluates
(https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics).
"""

import itertools
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

PREFIX = "mtpolicyd_"
# The slow end is Postfix's own time-out of 100 s, the deadlines (1.5 s, 3 s) lie on bounds.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 3, 10, 100)


class Metrics:
    """Makes the metrics of one service; names get the prefix `mtpolicyd_`."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        info = self.gauge("build_info", "The running version, always 1.", ("version", "python_version"))
        info.labels(version("univention-mtpolicyd"), platform.python_version()).set(1)

    def counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        """A counter; each label comes with all its values."""
        counter = Counter(PREFIX + name, text, tuple(labels), registry=self.registry)
        for values in itertools.product(*labels.values()) if labels else ():
            counter.labels(*values)
        return counter

    def gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        """A gauge; its label values are set by who makes it."""
        return Gauge(PREFIX + name, text, tuple(labels), registry=self.registry)

    def histogram(self, name: str, text: str, **labels: Iterable[str]) -> Histogram:
        """A histogram of seconds; each label comes with all its values."""
        histogram = Histogram(PREFIX + name, text, tuple(labels), buckets=SECONDS, registry=self.registry)
        for values in itertools.product(*labels.values()) if labels else ():
            histogram.labels(*values)
        return histogram


def children(counter: Counter, values: Iterable[str]) -> Mapping[str, Counter]:
    """The children of a counter with one label, looked up once: `labels()` costs more than `inc()`."""
    return {value: counter.labels(value) for value in values}
