"""policyd-rate-limit (Python), with SQLite: one limit a day; it knows no countries."""

import grp
import json
import os
import pwd
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from bench.debian import package_versions
from bench.interface import StateSize, Tally
from bench.load import Load
from bench.processes import end, free_port, is_listening, spawn, tree, wait_for

PROGRAM = Path("/usr/bin/policyd-rate-limit")


def configuration(directory: Path, *, port: int, threshold: int) -> str:
    """The text of policyd-rate-limit.yaml: JSON is YAML."""
    user = pwd.getpwuid(os.geteuid())
    return json.dumps(
        {
            "debug": False,
            "user": user.pw_name,
            "group": grp.getgrgid(user.pw_gid).gr_name,
            "pidfile": str(directory / "policyd-rate-limit.pid"),
            "sqlite_config": {"database": str(directory / "policyd-rate-limit.sqlite")},
            "backend": 0,
            "SOCKET": ["127.0.0.1", port],
            "limits": [[threshold, 86400]],
            "limits_by_id": {},
            "limit_by_sasl": True,
            "limit_by_sender": False,
            "limit_by_ip": False,
            "limited_networks": [],
            "success_action": "dunno",
            "fail_action": "defer daily limit reached",
            # Otherwise a request that could not be counted would look like one that passed.
            "db_error_action": "defer database error",
            "report": False,
            "delay_to_close": 300,
        },
        indent=1,
    )


def count_rows(directory: Path) -> int:
    """One for each charge."""
    with closing(sqlite3.connect(directory / "policyd-rate-limit.sqlite")) as db:
        (rows,) = db.execute("SELECT count(*) FROM mail_count").fetchone()
    return int(rows)


class PolicydRateLimit:
    """Fulfils bench.interface.Subject."""

    key = "policyd-rate-limit"
    title = "policyd-rate-limit, SQLite"
    note = (
        "policyd-rate-limit: a limit a day by `sasl_username`, a row in SQLite for each charge, no countries"
    )
    knows_countries = False
    exact_in_parallel = True  # one thread
    packages = "policyd-rate-limit"

    def __init__(self) -> None:
        self.port = 0
        self.start_seconds = 0.0
        self._directory = Path()
        self._roots: list[int] = []

    def missing(self) -> bool:
        return not PROGRAM.exists()

    def versions(self) -> Mapping[str, str]:
        return package_versions("policyd-rate-limit")

    def start(self, directory: Path, *, threshold: int) -> None:
        self._directory = directory
        self.port = free_port()
        path = directory / "policyd-rate-limit.yaml"
        path.write_text(configuration(directory, port=self.port, threshold=threshold))
        log = directory / "policyd-rate-limit.log"
        self._roots = [spawn([str(PROGRAM), f"--file={path}"], log, cwd=directory)]
        self.start_seconds = wait_for(
            partial(is_listening, self.port), self.title, log, lambda: tree(self._roots)
        )

    def parts(self) -> Mapping[str, Sequence[int]]:
        return {"policyd-rate-limit": tree(self._roots)}

    def tally(self, loads: Sequence[Load], *, over_limit: int = 0) -> Tally:
        return Tally(count_rows(self._directory))

    def stop(self) -> None:
        end(self._roots)
        self._roots = []

    def state_size(self) -> StateSize:
        size = (self._directory / "policyd-rate-limit.sqlite").stat().st_size
        return StateSize(per_user=None, per_charge=size / count_rows(self._directory))


PEERS = (PolicydRateLimit(),)
