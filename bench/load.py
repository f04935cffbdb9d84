"""One run of policyload: its arguments, and what it reports."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# 2 % of the mail comes from abroad: a refusal that is expected, in every run.
ABROAD_EVERY = 50
USERS = 1000
ACCEPTED = frozenset({"DUNNO", "OK", "PERMIT"})


class LoadError(Exception):
    """policyload could not run, or reported something else than it should."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What is sent; see policyload.c for each option. One of `count` and `seconds` is given."""

    connections: int
    count: int | None = None
    seconds: float | None = None
    warm_up: int = 1
    gentle: bool = False
    users: int = USERS
    in_turn: bool = False
    prefix: str = "user"
    abroad_every: int = ABROAD_EVERY

    def arguments(self, port: int) -> list[str]:
        """For policyload."""
        arguments = ["-p", str(port), "-c", str(self.connections), "-w", str(self.warm_up)]
        arguments += ["-U", str(self.users), "-P", self.prefix, "-f", str(self.abroad_every)]
        if self.count is not None:
            arguments += ["-n", str(self.count)]
        if self.seconds is not None:
            arguments += ["-d", str(self.seconds)]
        return arguments + ["-i"] * self.in_turn + ["-g"] * self.gentle


@dataclass(frozen=True, slots=True)
class Load:
    """What policyload reports; replies by the action's first word in capitals, warm-up included."""

    requests: int
    replies: int
    lost: int
    malformed: int
    unanswered: int
    connections: int
    seconds: float
    rate: float  # replies a second
    p50_us: int
    p90_us: int
    p99_us: int
    p999_us: int
    max_us: int
    home: Mapping[str, int]
    abroad: Mapping[str, int]
    texts: Mapping[str, str]  # the first action of each word

    @property
    def failed(self) -> int:
        """Requests without a well-formed reply."""
        return self.lost + self.malformed + self.unanswered

    @property
    def accepted(self) -> int:
        """Requests that the service let pass, from home and abroad."""
        return sum(counts.get(verb, 0) for counts in (self.home, self.abroad) for verb in ACCEPTED)


def parse_load(text: str) -> Load:
    """The report in policyload's output. Raises LoadError."""
    try:
        load = Load(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise LoadError(f"policyload printed {text!r}: {error}") from error
    if sum(load.home.values()) + sum(load.abroad.values()) != load.replies:
        raise LoadError(f"policyload's counts do not add up: {text!r}")
    return load


@contextmanager
def held_load(program: Path, port: int, mix: Mix) -> Iterator[Load]:
    """Run a load; its connections stay open until left. Raises LoadError."""
    command = [str(program), *mix.arguments(port), "-H"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise LoadError(f"{' '.join(command)}: {process.stderr.read().strip()}")
            yield parse_load(line)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdin.close()


def run_load(program: Path, port: int, mix: Mix) -> Load:
    """Run a load. Raises LoadError."""
    with held_load(program, port, mix) as load:
        return load
