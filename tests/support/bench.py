"""Makes results of the benchmark for tests: what a test does not say is a usual run."""

from collections.abc import Mapping, Sequence

from bench.figures import Figures, figures
from bench.interface import StateSize, Tally
from bench.load import Load
from bench.rounds import Sample


def load(
    *,
    home: Mapping[str, int] | None = None,
    abroad: Mapping[str, int] | None = None,
    texts: Mapping[str, str] | None = None,
    connections: int = 50,
    rate: float = 1000.0,
    lost: int = 0,
    p50_us: int = 5000,
    max_us: int = 20_000,
) -> Load:
    """98 mails from home passed, 2 from abroad were rejected."""
    home = {"DUNNO": 98} if home is None else home
    abroad = {"REJECT": 2} if abroad is None else abroad
    replies = sum(home.values()) + sum(abroad.values())
    return Load(
        requests=replies + lost,
        replies=replies,
        lost=lost,
        malformed=0,
        unanswered=0,
        connections=connections,
        seconds=1.0,
        rate=rate,
        p50_us=p50_us,
        p90_us=8000,
        p99_us=9000,
        p999_us=9900,
        max_us=max_us,
        home=home,
        abroad=abroad,
        texts={"DUNNO": "DUNNO"} if texts is None else texts,
    )


def sample(
    *loads: Load,
    counted: int | None = 98,
    pss: Mapping[str, int] | None = None,
    idle_cpu: float | None = None,
    start_seconds: float = 1.0,
    size: StateSize | None = None,
) -> Sample:
    """One round of one number of connections."""
    return Sample(
        loads={item.connections: item for item in loads or [load()]},
        pss={"frontend": 40 * 1024**2} if pss is None else pss,
        tally=Tally(counted),
        size=size or StateSize(100.0, 110.0),
        start_seconds=start_seconds,
        idle_cpu=idle_cpu,
    )


def figures_of(rate: float, *, connections: Sequence[int] = (50,), **more: float) -> Figures:
    """Figures with this rate; more: keyword arguments of `load`."""
    return figures([sample(*(load(connections=count, rate=rate, **more) for count in connections))])  # type: ignore[arg-type]
