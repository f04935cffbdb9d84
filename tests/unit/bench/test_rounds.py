"""A round of one subject, with a fake policyload."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bench.interface import StartProblem, StateSize, Tally
from bench.load import Load
from bench.rounds import LOAD_THRESHOLD, Plan, idle_cpu_of, measure, prove, running

# Prints a report with the rate `connections` times 100; one user gets `limit` replies that pass.
POLICYLOAD = """#!{python}
import json, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
connections, one_user = int(options["-c"]), options["-U"] == "1"
home = dict(DUNNO={limit}, DEFER=int(options["-n"]) - {limit}) if one_user else dict(DUNNO=2)
abroad = dict() if one_user else dict({abroad}=2)
replies = sum(home.values()) + sum(abroad.values())
print(json.dumps(dict(requests=replies, replies=replies, lost=0, malformed=0, unanswered=0,
    connections=connections, seconds=1.0, rate=connections * 100, p50_us=1, p90_us=1, p99_us=1, p999_us=1,
    max_us=1, home=home, abroad=abroad, texts=dict())), flush=True)
sys.stdin.read()
"""


class FakeSubject:
    """Remembers what is done with it."""

    key = title = note = "fake"
    packages = ""
    port = 1
    start_seconds = 0.5

    def __init__(self, *, knows_countries: bool = True, exact_in_parallel: bool = True) -> None:
        self.knows_countries = knows_countries
        self.exact_in_parallel = exact_in_parallel
        self.done: list[str] = []
        self.over_limit: int | None = None
        self.problem: Exception | None = None

    def missing(self) -> bool:
        return False

    def versions(self) -> Mapping[str, str]:
        return {}

    def start(self, directory: Path, *, threshold: int) -> None:
        self.done.append(f"start {threshold} {directory.is_dir()}")
        if self.problem is not None:
            raise self.problem

    def parts(self) -> Mapping[str, Sequence[int]]:
        return {"one": []}

    def tally(self, loads: Sequence[Load], *, over_limit: int = 0) -> Tally:
        self.over_limit = over_limit
        self.done.append("tally")
        return Tally(sum(load.accepted for load in loads))

    def stop(self) -> None:
        self.done.append("stop")

    def state_size(self) -> StateSize:
        self.done.append("size")
        return StateSize(1.0, 2.0)


def plan(directory: Path, *, limit: int = 1000, abroad: str = "REJECT") -> Plan:
    """With a fake policyload, for 1 and 50 connections."""
    program = directory / "policyload"
    program.write_text(POLICYLOAD.format(python=sys.executable, limit=limit, abroad=abroad))
    program.chmod(0o755)
    return Plan(program, directory, connections=(1, 50), seconds=0.1)


def test_a_round(tmp_path: Path) -> None:
    """Loads of each number of connections on one start; sizes are taken when it has stopped."""
    subject = FakeSubject()

    sample = measure(subject, plan(tmp_path))

    assert {number: load.rate for number, load in sample.loads.items()} == {1: 100, 50: 5000}
    assert subject.done == [f"start {LOAD_THRESHOLD} True", "tally", "stop", "size", "stop"]
    assert (sample.accepted, sample.tally.counted) == (4, 4)
    assert (sample.start_seconds, sample.idle_cpu) == (0.5, None)


def test_what_does_not_start_is_stopped(tmp_path: Path) -> None:
    """A part of it may run."""
    subject = FakeSubject()
    subject.problem = StartProblem("no")

    with pytest.raises(StartProblem), running(subject, tmp_path, threshold=1):
        pytest.fail("it runs")

    assert subject.done == ["start 1 True", "stop"]
    assert list(tmp_path.iterdir()) == []


def test_the_proof_of_the_limit(tmp_path: Path) -> None:
    """In parallel for whoever claims to hold it there, one by one for the others."""
    parallel, sequential = FakeSubject(), FakeSubject(exact_in_parallel=False)

    assert prove(parallel, plan(tmp_path, limit=1000)) == []
    assert parallel.over_limit == 100
    assert prove(sequential, plan(tmp_path, limit=10)) == []
    assert sequential.over_limit == 2


def test_one_mail_too_many_is_a_finding(tmp_path: Path) -> None:
    """However many were asked at the same time."""
    assert prove(FakeSubject(), plan(tmp_path, limit=1001)) == [
        "1001 of 1100 mails of one user passed, the limit is 1000; 0 failed"
    ]


def test_abroad_that_passes_is_a_finding_where_countries_are_known(tmp_path: Path) -> None:
    """Where they are not, it is as it must be."""
    assert prove(FakeSubject(), plan(tmp_path, abroad="DUNNO")) == [
        "abroad was answered {'DUNNO': 2}, home {'DUNNO': 2}"
    ]
    assert prove(FakeSubject(knows_countries=False), plan(tmp_path, abroad="DUNNO")) == []


def test_idle_processes_are_watched_for_as_long_as_asked() -> None:
    """None use no time."""
    slept: list[float] = []

    assert idle_cpu_of(FakeSubject(), 7.0, slept.append) == 0.0
    assert slept == [7.0]
