"""The run with a big state: a million users, ten million charges of a day, six hours of messages."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import prefill
from bench.load import USERS, Load, Mix, held_load, run_load
from bench.ours import Ours
from bench.rounds import LOAD_THRESHOLD, Plan, pss_of_parts, running
from bench.tables import MIB, number, table, times
from quota.app import DATABASE

CONNECTIONS = 50
# Each has asked once, one after the other, so that many requests at a time are not weighed. The difference
# of two numbers leaves out what the first connections cost once.
IDLE_CONNECTIONS = (1000, 2000)
REMEMBERED_SHARE = 4  # six hours of a day


@dataclass(frozen=True, slots=True)
class Size:
    """How big the state is."""

    users: int = 1_000_000
    charges: int = 10_000_000

    @property
    def remembered(self) -> int:
        """Messages of six hours."""
        return self.charges // REMEMBERED_SHARE


@dataclass(frozen=True, slots=True)
class LargeResult:
    """What the run has measured; one rate for each round, memory in bytes by service."""

    size: Size
    database_bytes: int
    empty_rates: Sequence[float]  # USERS send
    full_rates: Sequence[float]  # the same
    everybody_rates: Sequence[float]  # on the full store, all its users send
    empty_start: float  # seconds
    full_start: float
    pss_started: Mapping[str, int]  # on the full store
    pss_after_all_users: Mapping[str, int]
    pss_per_1000_connections: Mapping[str, float]
    largest_us: int
    wrong: Sequence[str]


def measure_large(plan: Plan, size: Size, rounds: int, say: Callable[[str], None]) -> LargeResult:
    """Fill a store, then compare it with an empty one in turn. Raises StartProblem, LoadError."""
    ours = Ours()
    full = plan.scratch / "full"
    full.mkdir()
    prefill.fill(
        full,
        users=size.users,
        charges=size.charges,
        remembered=size.remembered,
        zone=ours.zone,
        now_unix=time.time(),
        say=say,
    )
    database_bytes = (full / DATABASE).stat().st_size
    few = Mix(CONNECTIONS, seconds=plan.seconds)
    many = Mix(CONNECTIONS, seconds=plan.seconds, users=size.users)
    rates: list[tuple[float, float, float]] = []
    starts: list[tuple[float, float]] = []
    loads: list[Load] = []
    wrong: list[str] = []
    for _ in range(rounds):
        with running(ours, plan.scratch, threshold=LOAD_THRESHOLD):
            empty = run_load(plan.program, ours.port, few)
            empty_start = ours.start_seconds
            wrong += ours.tally([empty]).wrong
        with _running_on(ours, full):
            taken = [run_load(plan.program, ours.port, mix) for mix in (few, many)]
            wrong += ours.tally(taken).wrong
        loads += [empty, *taken]
        rates.append((empty.rate, taken[0].rate, taken[1].rate))
        starts.append((empty_start, ours.start_seconds))
        say("empty {:,.0f}/s, full {:,.0f}/s, full and everybody {:,.0f}/s".format(*rates[-1]))
    with _running_on(ours, full):
        started = pss_of_parts(ours)
        say(f"one mail of each of {size.users:,} users ...")
        each = Mix(CONNECTIONS, count=size.users, warm_up=0, users=size.users, in_turn=True)
        last = [run_load(plan.program, ours.port, each)]
        after = pss_of_parts(ours)
        idle = []
        for connections in IDLE_CONNECTIONS:
            mix = Mix(connections, count=0, gentle=True, users=size.users)
            with held_load(plan.program, ours.port, mix) as load:
                last.append(load)
                idle.append(pss_of_parts(ours))
        wrong += ours.tally(last).wrong
    more = (IDLE_CONNECTIONS[1] - IDLE_CONNECTIONS[0]) / 1000
    return LargeResult(
        size=size,
        database_bytes=database_bytes,
        empty_rates=[rate for rate, _, _ in rates],
        full_rates=[rate for _, rate, _ in rates],
        everybody_rates=[rate for _, _, rate in rates],
        empty_start=median(start for start, _ in starts),
        full_start=median(start for _, start in starts),
        pss_started=started,
        pss_after_all_users=after,
        pss_per_1000_connections={part: (idle[1][part] - idle[0][part]) / more for part in started},
        largest_us=max(load.max_us for load in loads + last),
        wrong=wrong,
    )


@contextmanager
def _running_on(ours: Ours, directory: Path) -> Iterator[None]:
    """The services with a state that stays."""
    try:
        ours.start(directory, threshold=LOAD_THRESHOLD)
        yield
    finally:
        ours.stop()


def large_lines(result: LargeResult) -> list[str]:
    """The document's section."""
    size = result.size
    empty = median(result.empty_rates)
    rates = [
        (f"empty, {USERS:,} users send", result.empty_rates),
        (f"full, {USERS:,} users send", result.full_rates),
        (f"full, all {size.users:,} users send, at random", result.everybody_rates),
    ]
    stored = (
        f"{size.users:,} users, {size.charges:,} charges of today, {size.remembered:,} messages remembered"
        f" (six hours): {number(result.database_bytes / MIB)} MiB on disk. {CONNECTIONS} connections."
    )
    return [
        stored,
        "",
        *table(
            ["store", "replies a second", "ratio to empty", "each round"],
            [
                [kind, number(median(taken)), times(median(taken) / empty), ", ".join(map(number, taken))]
                for kind, taken in rates
            ],
        ),
        "",
        *table(
            ["", "empty store", "full store", "ratio"],
            [
                [
                    "start, seconds from spawn to /readyz of all three",
                    number(result.empty_start, 2),
                    number(result.full_start, 2),
                    times(result.full_start / result.empty_start),
                ],
            ],
        ),
        "",
        *table(
            ["PSS, MiB", *result.pss_started],
            [
                ["started on the full store", *_mib(result.pss_started)],
                [f"after one mail of each of {size.users:,} users", *_mib(result.pss_after_all_users)],
                ["more for each 1,000 idle connections", *_mib(result.pss_per_1000_connections)],
            ],
        ),
        "",
        f"Largest reply time of all these runs: {result.largest_us / 1000:,.0f} ms.",
    ]


def _mib(sizes: Mapping[str, float]) -> list[str]:
    return [number(size / MIB, 1) for size in sizes.values()]
