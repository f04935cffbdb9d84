"""One steady minute: what the slowest requests wait, with checkpoints and clean-up."""

from collections.abc import Sequence

from bench.load import Load, Mix, run_load
from bench.ours import Ours
from bench.rounds import LOAD_THRESHOLD, Plan, running
from bench.tables import milliseconds, number, table

CONNECTIONS = 50
AIM_P99_MS, AIM_MAX_MS = 15, 250


def measure_minute(plan: Plan, seconds: float) -> tuple[Load, Sequence[str]]:
    """The load, and what was wrong. Raises StartProblem, LoadError."""
    ours = Ours()
    with running(ours, plan.scratch, threshold=LOAD_THRESHOLD):
        load = run_load(plan.program, ours.port, Mix(CONNECTIONS, seconds=seconds))
        return load, ours.tally([load]).wrong


def minute_lines(load: Load) -> list[str]:
    """The document's section."""
    return [
        f"{load.connections} connections for {load.seconds:.0f} s, {load.replies:,} replies.",
        "",
        *table(
            ["", "measured", "aim"],
            [
                ["replies a second", number(load.rate), ""],
                ["p50, ms", milliseconds(load.p50_us), ""],
                ["p99, ms", milliseconds(load.p99_us), f"below {AIM_P99_MS}"],
                ["p99.9, ms", milliseconds(load.p999_us), ""],
                ["largest, ms", milliseconds(load.max_us), f"not above {AIM_MAX_MS}"],
            ],
        ),
    ]
