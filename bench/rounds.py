"""Rounds: each subject in turn is started with an empty state, loaded, checked, weighed and stopped."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.interface import StateSize, Subject, Tally
from bench.load import Load, Mix, held_load, run_load
from bench.processes import cpu_seconds, pss

# Far above what a user sends here: the limit is checked on each mail, and never reached.
LOAD_THRESHOLD = 1_000_000
# What the limit is proved with: (threshold, mails, connections).
PARALLEL_PROOF = (1000, 1100, 50)
SEQUENTIAL_PROOF = (10, 12, 1)
ABROAD_PROOF = Mix(connections=1, count=4, warm_up=0, prefix="abroad", abroad_every=2)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done in each round."""

    program: Path  # policyload
    scratch: Path  # where the directories of the subjects are made
    connections: Sequence[int] = (1, 10, 50, 100)
    seconds: float = 5.0  # for each number of connections


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one subject."""

    loads: Mapping[int, Load]  # by connections
    pss: Mapping[str, int]  # bytes by part, after the last load, with its connections still open
    tally: Tally
    size: StateSize
    start_seconds: float
    idle_cpu: float | None  # processor seconds a second without any connection, of all processes together

    @property
    def accepted(self) -> int:
        """Mails that passed."""
        return sum(load.accepted for load in self.loads.values())


@contextmanager
def running(subject: Subject, scratch: Path, *, threshold: int) -> Iterator[Path]:
    """The subject with an empty state; stopped at the end. Raises StartProblem."""
    with tempfile.TemporaryDirectory(prefix=f"{subject.key}-", dir=scratch) as name:
        try:
            subject.start(Path(name), threshold=threshold)
            yield Path(name)
        finally:
            subject.stop()


def pss_of_parts(subject: Subject) -> dict[str, int]:
    """PSS in bytes by part."""
    return {part: pss(pids) for part, pids in subject.parts().items()}


def measure(subject: Subject, plan: Plan, *, idle_seconds: float = 0.0) -> Sample:
    """One round. Args: idle_seconds: how long it is watched while nobody asks; 0: not."""
    with running(subject, plan.scratch, threshold=LOAD_THRESHOLD):
        loads = {}
        for connections in plan.connections:
            mix = Mix(connections, seconds=plan.seconds)
            with held_load(plan.program, subject.port, mix) as load:
                loads[connections] = load
                memory = pss_of_parts(subject)
        idle_cpu = idle_cpu_of(subject, idle_seconds) if idle_seconds else None
        tally = subject.tally(list(loads.values()))
        subject.stop()
        return Sample(loads, memory, tally, subject.state_size(), subject.start_seconds, idle_cpu)


def idle_cpu_of(subject: Subject, seconds: float, sleep: Callable[[float], None] = time.sleep) -> float:
    """Processor seconds a second, of all processes together."""
    pids = [pid for part in subject.parts().values() for pid in part]
    before = cpu_seconds(pids)
    sleep(seconds)
    return (cpu_seconds(pids) - before) / seconds


def prove(subject: Subject, plan: Plan) -> list[str]:
    """What is wrong when a user goes over the limit and mail comes from abroad; empty: it is set up right."""
    threshold, count, connections = PARALLEL_PROOF if subject.exact_in_parallel else SEQUENTIAL_PROOF
    with running(subject, plan.scratch, threshold=threshold):
        one_user = Mix(connections, count=count, warm_up=0, users=1, abroad_every=0)
        limited = run_load(plan.program, subject.port, one_user)
        abroad = run_load(plan.program, subject.port, ABROAD_PROOF)
        tally = subject.tally([limited, abroad], over_limit=count - threshold)
    findings = list(tally.wrong)
    if limited.accepted != threshold or limited.failed:
        findings.append(
            f"{limited.accepted} of {count} mails of one user passed, the limit is {threshold};"
            f" {limited.failed} failed"
        )
    if subject.knows_countries and (set(abroad.abroad) != {"REJECT"} or abroad.accepted != 2):
        findings.append(f"abroad was answered {dict(abroad.abroad)}, home {dict(abroad.home)}")
    return findings
