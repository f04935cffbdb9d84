"""The three services as real processes on loopback, with ports and a state directory of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from prometheus_client.parser import text_string_to_metric_families

from tests.support.ports import free_port

SERVICES = ("quota", "decision", "frontend")
START_SECONDS = 30.0
STOP_SECONDS = 15.0
# To read the machine's certification authorities takes a tenth of a start, and no test trusts any of them.
NO_AUTHORITIES = os.devnull
# The most that one look and one pause count when something is waited for.
STEP_SECONDS = 1.0


# sd_listen_fds(3): the process that is meant has the socket as descriptor 3.
PASS_SOCKET = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3);"
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def wait_until(condition: object, *, seconds: float = 10.0, what: str = "the condition") -> None:
    """Wait for a callable to return something true. Raises AssertionError after `seconds`.

    Time in which the whole machine stood still does not count.
    """
    assert callable(condition)
    left, before = seconds, time.monotonic()
    while not condition():
        now = time.monotonic()
        left -= min(now - before, STEP_SECONDS)
        before = now
        assert left > 0, f"{what} did not come true within {seconds} s"
        time.sleep(0.02)


class Services:
    """Starts, kills and asks the services.

    Args:
        directory: for state and logs.
        settings: MTPOLICYD_* without the prefix, e.g. {"THRESHOLD": "10"}.
        held: hold the listening socket for Postfix and pass it to each frontend, as a systemd .socket does.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str] = {}, *, held: bool = False) -> None:
        self.directory = directory
        self.port = free_port()
        self.metrics_ports = {name: free_port() for name in SERVICES}
        decision, quota = free_port(), free_port()
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MTPOLICYD_")
        } | {
            "SSL_CERT_FILE": NO_AUTHORITIES,
            "MTPOLICYD_PORT": str(self.port),
            "MTPOLICYD_STATEDIR": str(directory / "state"),
            "MTPOLICYD_TIMEZONE": "Europe/Berlin",
            "MTPOLICYD_DECISION_LISTEN": f"127.0.0.1:{decision}",
            "MTPOLICYD_DECISION_TARGET": f"127.0.0.1:{decision}",
            "MTPOLICYD_QUOTA_LISTEN": f"127.0.0.1:{quota}",
            "MTPOLICYD_QUOTA_TARGET": f"127.0.0.1:{quota}",
            **{
                f"MTPOLICYD_{name.upper()}_METRICS": f"127.0.0.1:{port}"
                for name, port in self.metrics_ports.items()
            },
            **{f"MTPOLICYD_{name}": value for name, value in settings.items()},
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.held = socket.create_server(("127.0.0.1", self.port), backlog=1024) if held else None

    def start(self, *names: str) -> None:
        """Start the named services, or all, and wait until they answer."""
        for name in names or SERVICES:
            with self.log_path(name).open("ab") as log:
                self.processes[name] = self._spawn(name, log)
        for name in names or SERVICES:
            wait_until(lambda name=name: self._answers(name), seconds=START_SECONDS, what=f"{name} is up")

    def _spawn(self, name: str, log: BinaryIO) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", name]
        if self.held is None or name != "frontend":
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        held = self.held.fileno()
        return subprocess.Popen(
            [sys.executable, "-c", PASS_SOCKET, str(held), *command],
            env=self.environment,
            stdout=log,
            stderr=log,
            pass_fds=[held],
        )

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal; SIGKILL and SIGTERM wait for the end."""
        process = self.processes[name]
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            process.wait(STOP_SECONDS)

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)

    def stop(self) -> None:
        """End everything that runs, Postfix's side first."""
        for name in reversed(SERVICES):
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise
        if self.held is not None:
            self.held.close()

    def metric(self, service: str, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        url = f"http://127.0.0.1:{self.metrics_ports[service]}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def ready_pid(self, service: str) -> int:
        """The process that is ready. Raises OSError if none is."""
        url = f"http://127.0.0.1:{self.metrics_ports[service]}/readyz"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.read())

    def wait_connected(self) -> None:
        """Wait until the streams between the services stand."""
        wait_until(self._is_connected, seconds=START_SECONDS, what="the streams stand")

    def _is_connected(self) -> bool:
        try:
            return all(self.metric(name, "mtpolicyd_stream_up") == 1 for name in ("frontend", "decision"))
        except OSError:  # one of them is being started
            return False

    def log(self, name: str) -> str:
        """What the service has written."""
        return self.log_path(name).read_text()

    def log_path(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _answers(self, name: str) -> bool:
        process = self.processes[name]
        assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.log(name)}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_ports[name]}/healthz", timeout=1):
                return True
        except OSError:
            return False


@contextmanager
def running(directory: Path, *, held: bool = False, **settings: str) -> Iterator[Services]:
    """All three services, connected; stopped at the end."""
    services = Services(directory, settings, held=held)
    try:
        services.start()
        services.wait_connected()
        yield services
    finally:
        services.stop()
