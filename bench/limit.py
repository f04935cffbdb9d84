"""The limit: a C server that always says DUNNO."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.build import build
from bench.interface import StateSize, Tally
from bench.load import Load
from bench.processes import end, free_port, is_listening, spawn, tree, wait_for


class Limit:
    """Fulfils bench.interface.Subject."""

    key = "limit"
    title = "the limit (C, always DUNNO)"
    note = (
        "the limit: `bench/dunno.c`, one thread with epoll that reads up to the empty line and answers DUNNO"
    )
    knows_countries = False
    exact_in_parallel = False
    packages = ""

    def __init__(self) -> None:
        self.port = 0
        self.start_seconds = 0.0
        self._roots: list[int] = []

    def missing(self) -> bool:
        return False

    def versions(self) -> Mapping[str, str]:
        return {}

    def start(self, directory: Path, *, threshold: int) -> None:
        self.port = free_port()
        log = directory / "dunno.log"
        self._roots = [spawn([str(build("dunno")), str(self.port)], log)]
        self.start_seconds = wait_for(
            partial(is_listening, self.port), self.title, log, lambda: tree(self._roots)
        )

    def parts(self) -> Mapping[str, Sequence[int]]:
        return {"dunno": tree(self._roots)}

    def tally(self, loads: Sequence[Load], *, over_limit: int = 0) -> Tally:
        return Tally(None)

    def stop(self) -> None:
        end(self._roots)
        self._roots = []

    def state_size(self) -> StateSize:
        return StateSize(None, None)
