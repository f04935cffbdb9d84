"""Metrics with closed label sets."""

import platform
from importlib.metadata import version

import pytest
from prometheus_client import REGISTRY, generate_latest

from chassis.metrics import SECONDS, children
from tests.support.observed import Observed


def test_a_counter_without_labels_is_there_from_the_start() -> None:
    """At 0, with the prefix."""
    seen = Observed()
    seen.metrics.counter("things_total", "Things.")

    assert seen.samples("things_total") == {(): 0}


def test_every_combination_of_labels_is_there_from_the_start() -> None:
    """At 0, so that `rate()` sees the first event and an alert on `== 0` evaluates."""
    seen = Observed()
    seen.metrics.counter("things_total", "Things.", action=["defer", "reject"], reason=["country", "quota"])

    assert seen.samples("things_total") == {
        ("defer", "country"): 0,
        ("defer", "quota"): 0,
        ("reject", "country"): 0,
        ("reject", "quota"): 0,
    }


def test_label_values_may_come_from_a_generator() -> None:
    """Each is used for every combination."""
    seen = Observed()
    seen.metrics.counter("things_total", "Things.", a=(letter for letter in "xy"), b=iter("z"))

    assert seen.samples("things_total") == {("x", "z"): 0, ("y", "z"): 0}


def test_a_histogram_has_all_its_label_values_from_the_start() -> None:
    """With a count of 0 each."""
    seen = Observed()
    seen.metrics.histogram("work_seconds", "Work.", op=["apply", "expire"])

    assert seen.samples("work_seconds_count") == {("apply",): 0, ("expire",): 0}


def test_a_histogram_without_labels_is_there_from_the_start() -> None:
    """With a count of 0."""
    seen = Observed()
    seen.metrics.histogram("work_seconds", "Work.")

    assert seen.samples("work_seconds_count") == {(): 0}


@pytest.mark.parametrize("deadline", [1.5, 3.0, 100.0])
def test_the_deadlines_are_bounds_of_histograms(deadline: float) -> None:
    """What took exactly as long as it may is told from what took longer."""
    seen = Observed()
    histogram = seen.metrics.histogram("work_seconds", "Work.")
    histogram.observe(deadline)
    histogram.observe(deadline + 0.001)

    assert seen.sample("work_seconds_bucket", le=str(deadline)) == 1


def test_the_bounds_of_histograms_rise() -> None:
    """Up to the longest that Postfix waits."""
    assert list(SECONDS) == sorted(set(SECONDS))
    assert SECONDS[-1] == 100


def test_a_gauge_may_have_labels() -> None:
    """Its values are set by who makes it."""
    seen = Observed()
    seen.metrics.gauge("up", "Up.", ("peer",)).labels("quota").set(1)
    seen.metrics.gauge("open", "Open.").set(3)

    assert (seen.sample("up", peer="quota"), seen.sample("open")) == (1, 3)


def test_the_running_version_is_a_metric() -> None:
    """With that of Python."""
    seen = Observed()

    assert seen.samples("build_info") == {(version("univention-mtpolicyd"), platform.python_version()): 1}


def test_when_a_metric_was_made_is_no_metric() -> None:
    """Each counter would otherwise come twice."""
    seen = Observed()
    seen.metrics.counter("things_total", "Things.").inc()

    assert b"_created" not in generate_latest(seen.registry)


def test_children_are_found_by_their_value() -> None:
    """And count for their own label."""
    seen = Observed()
    found = children(seen.metrics.counter("things_total", "Things.", kind=["a", "b"]), ["a", "b"])
    found["b"].inc()

    assert seen.samples("things_total") == {("a",): 0, ("b",): 1}


def test_a_registry_of_its_own_leaves_the_common_one_alone() -> None:
    """Two services in one test do not meet."""
    Observed().metrics.counter("nowhere_else_total", "Things.")

    assert REGISTRY.get_sample_value("mtpolicyd_nowhere_else_total") is None
