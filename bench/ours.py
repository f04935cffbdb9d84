"""Our three services as real processes, with SQLite, both rules, and settings as an admin would have them."""

import os
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench import prefill
from bench.checks import Counts, wrong_counts, wrong_replies
from bench.interface import StateSize, Tally
from bench.load import Load
from bench.processes import end, free_port, spawn, tree, wait_for
from quota.app import DATABASE

SERVICES = ("quota", "decision", "frontend")
# A refusal is recorded beside its answer: quota may hear of it a moment after Postfix.
SETTLE_SECONDS = 5.0


def noon_zone(now: datetime) -> str:
    """A time zone in which it is about noon, so that no midnight falls into a run.

    Args:
        now: in UTC.
    """
    ahead = 12 - now.hour  # hours that the zone is ahead of UTC
    return f"Etc/GMT{-ahead:+d}"  # the sign of these names is POSIX's, the other way round


def environment(directory: Path, *, threshold: int, ports: Mapping[str, int], zone: str) -> dict[str, str]:
    """What the services are started with; settings of the machine do not reach them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MTPOLICYD_")} | {
        "MTPOLICYD_STATEDIR": str(directory),
        "MTPOLICYD_THRESHOLD": str(threshold),
        "MTPOLICYD_TIMEZONE": zone,
        # A request that could not be checked must not look like one that passed.
        "MTPOLICYD_ON_FAILURE": "defer",
        "MTPOLICYD_PORT": str(ports["postfix"]),
        **{
            f"MTPOLICYD_{name}": f"unix:{directory}/{name.partition('_')[0].lower()}.sock"
            for name in ("DECISION_LISTEN", "DECISION_TARGET", "QUOTA_LISTEN", "QUOTA_TARGET")
        },
        **{
            f"MTPOLICYD_{service.upper()}_METRICS": f"127.0.0.1:{ports[f'{service} metrics']}"
            for service in SERVICES
        },
    }


def metric(text: str, name: str, **labels: str) -> int:
    """The sum of the samples of a metric that have these labels, in the text of /metrics."""
    return round(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
    )


class Ours:
    """Fulfils bench.interface.Subject."""

    key = "us"
    title = "univention-mtpolicyd"
    note = (
        "univention-mtpolicyd: frontend, decision and quota as three processes, gRPC over UNIX sockets,"
        " SQLite (WAL, `synchronous=NORMAL`), both rules on, `MTPOLICYD_ON_FAILURE=defer`, else the defaults"
    )
    knows_countries = True
    exact_in_parallel = True
    packages = ""

    def __init__(self) -> None:
        self.port = 0
        self.start_seconds = 0.0
        self.zone = noon_zone(datetime.now(UTC))
        self._directory = Path()
        self._ports: dict[str, int] = {}
        self._pids: dict[str, int] = {}
        self._before: Counts | None = None

    def missing(self) -> bool:
        return False

    def versions(self) -> Mapping[str, str]:
        python = ".".join(map(str, sys.version_info[:3]))
        packages = ("univention-mtpolicyd", "grpcio", "protobuf", "uvloop", "maxminddb")
        return {
            **{name: version(name) for name in packages},
            "Python": python,
            "SQLite": sqlite3.sqlite_version,
        }

    def start(self, directory: Path, *, threshold: int) -> None:
        self._directory = directory
        names = ["postfix", *(f"{service} metrics" for service in SERVICES)]
        self._ports = {name: free_port() for name in names}
        self.port = self._ports["postfix"]
        env = environment(directory, threshold=threshold, ports=self._ports, zone=self.zone)
        started = time.monotonic()
        for service in SERVICES:
            command = [sys.executable, "-P", "-m", service]
            self._pids[service] = spawn(command, self._log(service), env=env, cwd=directory)
        for service in SERVICES:
            wait_for(partial(self._is_ready, service), service, self._log(service), self._alive)
        self.start_seconds = time.monotonic() - started
        wait_for(self._is_connected, "a stream", self._log("frontend"), self._alive)
        self._before = self.counts()

    def parts(self) -> Mapping[str, Sequence[int]]:
        return {service: [pid] for service, pid in reversed(self._pids.items())}

    def tally(self, loads: Sequence[Load], *, over_limit: int = 0) -> Tally:
        assert self._before is not None
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                counts = self.counts().since(self._before)
            except OSError as error:
                ended = [name for name, pid in self._pids.items() if pid not in tree(self._pids.values())]
                return Tally(None, [f"cannot be asked: {error}; ended: {', '.join(ended) or 'none'}"])
            findings = wrong_counts(loads, counts)
            if not findings or time.monotonic() > deadline:
                return Tally(counts.stored, [*wrong_replies(loads, over_limit=over_limit), *findings])
            time.sleep(0.1)

    def stop(self) -> None:
        for service in reversed(SERVICES):
            if service in self._pids:
                end([self._pids.pop(service)])

    def state_size(self) -> StateSize:
        return prefill.state_size(self._directory)

    def counts(self) -> Counts:
        """What the services have counted: their metrics, and the store, read beside quota."""
        frontend, decision, quota = (self._metrics(name) for name in ("frontend", "decision", "quota"))
        items = "mtpolicyd_stream_items_total"
        with closing(sqlite3.connect(self._directory / DATABASE)) as db:
            stored, refused = db.execute("SELECT total(used), total(refused) FROM counter").fetchone()
            (recorded,) = db.execute("SELECT total(count) FROM refusal").fetchone()
        return Counts(
            asked=metric(frontend, items, direction="sent"),
            answered=metric(frontend, items, direction="received"),
            charges_sent=metric(decision, items, direction="sent"),
            charges_back=metric(decision, items, direction="received"),
            units=metric(quota, "mtpolicyd_charge_units_total"),
            stored=int(stored),
            refused=int(refused),
            recorded=int(recorded),
        )

    def _alive(self) -> list[int]:
        """The processes, or none if one of them has ended: then the start has failed."""
        alive = tree(self._pids.values())
        return alive if set(self._pids.values()) <= set(alive) else []

    def _log(self, service: str) -> Path:
        return self._directory / f"{service}.log"

    def _get(self, service: str, path: str) -> str:
        url = f"http://127.0.0.1:{self._ports[f'{service} metrics']}{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def _metrics(self, service: str) -> str:
        return self._get(service, "/metrics")

    def _is_ready(self, service: str) -> bool:
        try:
            return self._get(service, "/readyz").strip() == str(self._pids[service])
        except OSError:
            return False

    def _is_connected(self) -> bool:
        return all(
            metric(self._metrics(name), "mtpolicyd_stream_up") == 1 for name in ("frontend", "decision")
        )
