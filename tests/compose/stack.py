"""The stack of docker-compose.yml, started from a copy of the checkout as an admin would start it."""

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.compose.engine import Engine
from tests.support.policy import PolicyClient
from tests.support.protos import ROOT
from tests.support.services import wait_until

# `docker compose` where somebody has it.
COMPOSE = shlex.split(os.environ.get("MTPOLICYD_TEST_COMPOSE", "docker-compose"))
FILES = "docker-compose.yml:tests/compose/stand-ins.yml"
SERVICES = ("quota", "decision", "frontend")
MONITORING = ("prometheus", "alertmanager", "grafana")
HEALTHY_SECONDS = 90.0
Inspected = dict[str, Any]

_subnets = itertools.count(101)
_users = itertools.count(1)


def copy_checkout(target: Path) -> Path:
    """What git knows, or would add: nothing else is in an admin's checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


class Stack:
    """One project.

    Args:
        checkout: the directory with docker-compose.yml.
        program: of which compose.
        variables: of .env.example.
    """

    def __init__(
        self, engine: Engine, checkout: Path, name: str, program: Sequence[str] = COMPOSE, **variables: str
    ) -> None:
        self.engine = engine
        self.checkout = checkout
        self.name = name
        self.program = program
        self.variables = {"COMPOSE_FILE": FILES} | variables

    @property
    def settings_file(self) -> Path:
        return self.checkout / "deploy/settings/settings.toml"

    def compose(self, *arguments: str, variables: Mapping[str, str] = {}) -> str:
        """What compose prints. Raises AssertionError if it fails."""
        done = subprocess.run(
            [*self.program, *arguments],
            cwd=self.checkout,
            env={**self.engine.environment, "COMPOSE_PROJECT_NAME": self.name, **self.variables, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"compose {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        printed: str = done.stdout
        return printed

    def containers(self, service: str = "") -> list[Inspected]:
        """The project's containers, running or not, or those of one service; the first replica first."""
        label = f"label=com.docker.compose.project={self.name}"
        more = ["--filter", f"label=com.docker.compose.service={service}"] if service else []
        ids = self.engine.docker("ps", "--all", "--quiet", "--filter", label, *more).split()
        found: list[Inspected] = json.loads(self.engine.docker("inspect", *ids)) if ids else []
        # A container of `compose run` is none of the service's own.
        own = [one for one in found if labels(one).get("com.docker.compose.oneoff", "False") != "True"]
        return sorted(own, key=lambda one: int(labels(one)["com.docker.compose.container-number"]))

    def container(self, service: str) -> Inspected:
        """The only one of a service."""
        (one,) = self.containers(service)
        return one

    def wait_healthy(self, *services: str) -> None:
        """Until the health checks of all replicas say so."""
        for service in services:
            wait_until(
                lambda service=service: (
                    {one["State"].get("Health", {}).get("Status") for one in self.containers(service)}
                    == {"healthy"}
                ),
                seconds=HEALTHY_SECONDS,
                what=f"{service} is healthy",
            )

    def wait_connected(self) -> None:
        """Until every frontend has a mail checked.

        A mail must be asked about: a container's network may vanish before its last packets, and then a
        stream to it looks well until somebody uses it.
        """
        for port in self.policy_ports():
            wait_until(lambda port=port: _checks(port), seconds=30, what=f"mail is checked at port {port}")

    def metric(self, container: Inspected, port: int, name: str, **labels: str) -> float | None:
        """The sum of a metric's samples that have these labels, as the service tells it now."""
        url = f"http://127.0.0.1:{port}/metrics"
        read = f"from urllib.request import urlopen; print(urlopen({url!r}).read().decode())"
        text = self.engine.docker("exec", container["Id"], "python", "-c", read, check=False)
        values = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(values) if values else None

    def address(self, container: Inspected, network: str) -> str:
        """Of a container in one of the project's networks."""
        found: str = container["NetworkSettings"]["Networks"][f"{self.name}_{network}"]["IPAddress"]
        return found

    def scraped(self, service: str, port: int) -> bool:
        """Whether Prometheus reads every replica that runs now."""
        addresses = [self.address(one, "backend") for one in self.containers(service)]
        return all(
            self.query(f'up{{job="mtpolicyd-{service}", instance="{address}:{port}"}}') == 1
            for address in addresses
        )

    def policy_ports(self) -> list[int]:
        """Where the frontends are reached on this host."""
        ports = [one["NetworkSettings"]["Ports"] for one in self.containers("frontend")]
        return [int(published["12345/tcp"][0]["HostPort"]) for published in ports]

    def crash(self, container: Inspected) -> None:
        """End what runs in it. (`docker kill` would not do: a container that was killed stays down.)"""
        started = container["State"]["StartedAt"]
        os.kill(container["State"]["Pid"], signal.SIGKILL)

        def is_back() -> bool:
            (now,) = json.loads(self.engine.docker("inspect", container["Id"]))
            return bool(now["State"]["Running"] and now["State"]["StartedAt"] != started)

        wait_until(is_back, seconds=30, what=f"{container['Name']} is started again")

    def run(self, service: str, *command: str) -> str:
        """What a command in the only container of a service prints."""
        return self.engine.docker("exec", self.container(service)["Id"], *command)

    def query(self, expression: str) -> float | None:
        """One number of Prometheus, or None where it has none."""
        # One sample a line: `{labels} => value @[time]`.
        text = self.run("prometheus", "promtool", "query", "instant", "http://127.0.0.1:9090", expression)
        return float(text.split("=> ")[1].split()[0]) if "=> " in text else None

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "20", "--remove-orphans")


def _checks(port: int) -> bool:
    """Whether a mail of a user who has sent nothing yet is; it would be deferred if it could not be."""
    with suppress(OSError, EOFError), PolicyClient(port) as client:
        return client.ask(sasl_username=f"user{next(_users)}@example.net") == "DUNNO"
    return False


def labels(container: Inspected) -> dict[str, str]:
    found: dict[str, str] = container["Config"]["Labels"]
    return found


@contextmanager
def created(
    engine: Engine, checkout: Path, name: str, program: Sequence[str] = COMPOSE, **variables: str
) -> Iterator[Stack]:
    """Every container that `docker compose up` would start, none of them started."""
    subnet = f"10.201.{next(_subnets)}.0/24"
    stack = Stack(engine, checkout, name, program, POLICY_SUBNET=subnet, **variables)
    try:
        stack.compose("up", "--no-start")
        yield stack
    finally:
        stack.down()
