"""What the rounds of a subject come to: medians, and ratios between subjects."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.interface import StateSize
from bench.rounds import Sample


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of the rounds, except where it says otherwise."""

    rate: Mapping[int, float]  # replies a second, by connections
    p50_us: Mapping[int, float]
    p99_us: Mapping[int, float]
    max_us: int  # the largest of all rounds
    pss: Mapping[str, float]  # bytes by part
    size: StateSize  # of the last round
    start_seconds: float
    idle_cpu: float | None  # of the rounds in which it was watched
    accepted: int  # sum of all rounds
    counted: int | None  # sum of all rounds
    failed: int  # requests without a well-formed reply, sum of all rounds

    @property
    def pss_total(self) -> float:
        """Bytes, all processes together."""
        return sum(self.pss.values())


def figures(samples: Sequence[Sample]) -> Figures:
    """Of at least one round, all with the same numbers of connections."""
    connections = list(samples[0].loads)

    def by_connections(value: Callable[[Sample, int], float]) -> dict[int, float]:
        return {number: median(value(sample, number) for sample in samples) for number in connections}

    watched = [sample.idle_cpu for sample in samples if sample.idle_cpu is not None]
    counted = [sample.tally.counted for sample in samples if sample.tally.counted is not None]
    loads = [load for sample in samples for load in sample.loads.values()]
    return Figures(
        rate=by_connections(lambda sample, number: sample.loads[number].rate),
        p50_us=by_connections(lambda sample, number: sample.loads[number].p50_us),
        p99_us=by_connections(lambda sample, number: sample.loads[number].p99_us),
        max_us=max(load.max_us for load in loads),
        pss={part: median(sample.pss.get(part, 0) for sample in samples) for part in samples[0].pss},
        size=samples[-1].size,
        start_seconds=median(sample.start_seconds for sample in samples),
        idle_cpu=median(watched) if watched else None,
        accepted=sum(sample.accepted for sample in samples),
        counted=sum(counted) if len(counted) == len(samples) else None,
        failed=sum(load.failed for load in loads),
    )


def ratio(
    ours: float | None, others: Iterable[float | None], best: Callable[[list[float]], float]
) -> float | None:
    """Ours divided by the best of the others; None where there is nothing to compare."""
    known = [value for value in others if value]
    return ours / best(known) if ours is not None and known else None
