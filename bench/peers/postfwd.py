"""postfwd (Perl, version 2 of its daemon): one rate rule; it knows no countries, its counts are in memory."""

import grp
import os
import pwd
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.debian import package_versions
from bench.interface import StateSize, Tally
from bench.load import Load
from bench.processes import end, free_port, is_listening, spawn, tree, wait, wait_for

PROGRAM = Path("/usr/sbin/postfwd2")
# A process serves one connection, and new ones come too slowly when connections come at once.
PROCESSES = 104


def arguments(directory: Path, *, port: int, threshold: int) -> list[str]:
    """The command line."""
    user = pwd.getpwuid(os.geteuid())
    # rate() counts each request that has a user, and acts on whoever is over the threshold.
    rule = (
        f"id=QUOTA; sasl_username=~.; action=rate(sasl_username/{threshold}/86400/DEFER daily limit reached)"
    )
    return [
        *(str(PROGRAM), f"--pidfile={directory}/postfwd.pid", f"--rule={rule}"),
        *(f"--user={user.pw_name}", f"--group={grp.getgrgid(user.pw_gid).gr_name}"),
        *("--interface=127.0.0.1", f"--port={port}"),
        *("--cache_proto=unix", f"--cache_port={directory}/postfwd.cache"),
        # No look-ups in the DNS, no cached answers, no log.
        *("--nodns", "--cache=0", "--perfmon"),
        *(f"--min_servers={PROCESSES}", f"--max_servers={PROCESSES + 16}"),
        *("--min_spare_servers=4", f"--max_spare_servers={PROCESSES}"),
    ]


class Postfwd:
    """Fulfils bench.interface.Subject."""

    key = "postfwd"
    title = "postfwd2, one rate rule"
    note = (
        "postfwd2: one `rate()` rule by `sasl_username`, counts in memory and lost at a restart, no"
        f" countries, no request cache, {PROCESSES} processes"
    )
    knows_countries = False
    exact_in_parallel = False
    packages = "postfwd"

    def __init__(self) -> None:
        self.port = 0
        self.start_seconds = 0.0
        self._roots: list[int] = []

    def missing(self) -> bool:
        return not PROGRAM.exists()

    def versions(self) -> Mapping[str, str]:
        return package_versions("postfwd", "perl")

    def start(self, directory: Path, *, threshold: int) -> None:
        self.port = free_port()
        log = directory / "postfwd.log"
        starter = spawn(arguments(directory, port=self.port, threshold=threshold), log, cwd=directory)
        wait(starter)  # it becomes a daemon, without which it has no rates
        pid_file = directory / "postfwd.pid"
        if pid_file.exists():
            self._roots = [int(pid_file.read_text())]
        self.start_seconds = wait_for(
            partial(is_listening, self.port), self.title, log, lambda: tree(self._roots)
        )

    def parts(self) -> Mapping[str, Sequence[int]]:
        return {"postfwd2": tree(self._roots)}

    def tally(self, loads: Sequence[Load], *, over_limit: int = 0) -> Tally:
        return Tally(None)

    def stop(self) -> None:
        end(self._roots)
        self._roots = []

    def state_size(self) -> StateSize:
        return StateSize(None, None)


PEERS = (Postfwd(),)
