"""policyload's arguments and its report."""

import json
from dataclasses import asdict

import pytest

from bench.load import LoadError, Mix, parse_load
from tests.support.bench import load


def test_a_report_is_read() -> None:
    """Every field of it."""
    expected = load()

    assert parse_load(json.dumps(asdict(expected))) == expected


@pytest.mark.parametrize("text", ["", "connect: Connection refused", "{}", "[1]"])
def test_something_else_is_an_error(text: str) -> None:
    """That says what was printed."""
    with pytest.raises(LoadError, match="policyload printed"):
        parse_load(text)


def test_a_report_that_does_not_add_up_is_an_error() -> None:
    """Replies that are of no kind."""
    report = asdict(load()) | {"replies": 99}

    with pytest.raises(LoadError, match="do not add up"):
        parse_load(json.dumps(report))


def test_what_passed_and_what_failed() -> None:
    """From home and from abroad, by any word that lets mail pass."""
    found = load(home={"DUNNO": 5, "DEFER": 1}, abroad={"DUNNO": 2, "OK": 1, "REJECT": 3}, lost=4)

    assert (found.accepted, found.failed) == (8, 4)


@pytest.mark.parametrize(
    ("mix", "arguments"),
    [
        (Mix(50, seconds=5.0), "-p 7 -c 50 -w 1 -U 1000 -P user -f 50 -d 5.0"),
        (Mix(1, count=12, warm_up=0, users=1, abroad_every=0), "-p 7 -c 1 -w 0 -U 1 -P user -f 0 -n 12"),
        (Mix(9, count=0, gentle=True), "-p 7 -c 9 -w 1 -U 1000 -P user -f 50 -n 0 -g"),
        (Mix(2, count=3, in_turn=True, prefix="x"), "-p 7 -c 2 -w 1 -U 1000 -P x -f 50 -n 3 -i"),
    ],
)
def test_a_mix_as_arguments(mix: Mix, arguments: str) -> None:
    """See policyload.c."""
    assert mix.arguments(7) == arguments.split()
