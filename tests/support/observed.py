"""What a part under test tells the outside: its log lines and its metrics."""

from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from chassis.logs import Logger
from chassis.metrics import PREFIX, Metrics


class RecordedLog:
    """A logger of all levels; `lines` holds the values of each event."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.logger = Logger(None, processors=[self._record], context={})

    def _record(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        self.lines.append(dict(event))
        raise structlog.DropEvent

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


class Observed:
    """A log and a registry of its own for one test."""

    def __init__(self) -> None:
        self.log = RecordedLog()
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of one sample, None if it is not exported; the name without its prefix."""
        return self.registry.get_sample_value(PREFIX + name, labels)

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        """All samples of a metric by their label values."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == PREFIX + name
        }


def open_descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def private_mappings(pid: int | str = "self") -> int:
    """How many files without a name a process has mapped, such as copies of country data."""
    return sum(
        line.endswith(" (deleted)") and " r--" in line
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
    )


def children(pid: int | str = "self") -> list[int]:
    """The processes that one has started and not waited for, zombies too."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found += map(int, (task / "children").read_text().split())
    return found
