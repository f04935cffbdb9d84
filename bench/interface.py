"""What is measured: us, a peer, or the limit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from bench.load import Load


class Tally(NamedTuple):
    """What a subject itself says it has counted; `wrong` are findings in words, empty if all is right."""

    counted: int | None  # units charged to all users; None: it cannot be asked
    wrong: Sequence[str] = ()


class StateSize(NamedTuple):
    """Bytes that a subject keeps on disk; None: it keeps nothing of the kind."""

    per_user: float | None  # a day
    per_charge: float | None  # a recipient of a message


class Subject(Protocol):
    """A policy service that can be started again and again, one at a time.

    Calls come in the order start, tally, stop, state_size.
    """

    key: str  # for --only
    title: str  # for the table
    note: str  # how it is set up, for the document; Markdown
    knows_countries: bool
    exact_in_parallel: bool  # it claims to hold the threshold also when mails come at the same time
    packages: str  # of Debian, besides what `make bench` needs itself; empty: none
    port: int  # on 127.0.0.1, while it runs
    start_seconds: float  # from the first process to the first answer, at the last start

    def missing(self) -> bool:
        """Whether its packages are not installed."""

    def versions(self) -> Mapping[str, str]:
        """Name to version of what it consists of."""

    def start(self, directory: Path, *, threshold: int) -> None:
        """Start with whatever state `directory` holds, and return when it answers.

        Args:
            directory: exists; for configuration, state and logs.
            threshold: units that a user may send in one day.

        Raises:
            StartProblem: it does not come up.
        """

    def parts(self) -> Mapping[str, Sequence[int]]:
        """All its processes at this moment, by what they are."""

    def tally(self, loads: Sequence[Load], *, over_limit: int = 0) -> Tally:
        """What it has counted, and whether that is what it has replied to all loads since `start`.

        Args:
            over_limit: so many mails had to be refused by the limit.
        """

    def stop(self) -> None:
        """End all its processes. May be called at any time, also twice."""

    def state_size(self) -> StateSize:
        """What the stopped subject's state takes."""


class StartProblem(Exception):
    """A subject does not start; the message holds the end of its log."""
