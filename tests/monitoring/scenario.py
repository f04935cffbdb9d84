"""Stolen accounts, seen by a real Prometheus: Debian's, on loopback, with a scrape each half second."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.rules import rule_files
from tests.support.policy import AMERICAN, PolicyClient
from tests.support.ports import free_port
from tests.support.receivers import web_server
from tests.support.services import SERVICES, Services, running, wait_until

BRAZILIAN = "200.160.2.3"
LIMIT = 10
OVER = "newsletter@example.org"
STOLEN = "eve@example.org"
OVER_REFUSED, US_REFUSED, BR_REFUSED, PASSED, WITHOUT_LOGIN = 5, 8, 3, 60, 20

# Who is refused, and once that 80 % are used.
TOLD = 3


class Prometheus:
    """A server that can be asked."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._base}/-/ready", timeout=1):
                return True
        except OSError:
            return False

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer. Raises AssertionError with Prometheus' own words."""
        url = f"{self._base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def series(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What an expression is now: labels and value."""
        result = self.get("query", query=expression)["result"]
        return [(row["metric"], float(row["value"][1])) for row in result]

    def value(self, expression: str) -> float:
        """Of the only series."""
        ((_, value),) = self.series(expression)
        return value

    def history(
        self, expression: str, seconds: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """What it was, each second: labels, and pairs of time and value."""
        now = time.time()
        result = self.get("query_range", query=expression, start=str(now - seconds), end=str(now), step="1")[
            "result"
        ]
        return [(row["metric"], [(at, float(value)) for at, value in row["values"]]) for row in result]


@dataclass(frozen=True)
class Scenario:
    """Args: quiet: what each expression of `asked` was before the first mail: the values of its series."""

    services: Services
    prometheus: Prometheus
    quiet: Mapping[str, list[float]]


@contextmanager
def server(program: str, directory: Path, ports: Mapping[str, int]) -> Iterator[Prometheus]:
    """A Prometheus of our own that scrapes these ports and has our rules."""
    jobs = [
        {"job_name": f"mtpolicyd-{name}", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for name, port in ports.items()
    ]
    steps = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    directory.mkdir()
    (directory / "prometheus.yml").write_text(
        yaml.safe_dump({"global": steps, "rule_files": rule_files(), "scrape_configs": jobs})
    )
    port = free_port()
    command = [
        program,
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    prometheus = Prometheus(port)
    try:
        wait_until(prometheus.is_ready, seconds=30, what=f"Prometheus is ready ({directory}/log)")
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def played(program: str, directory: Path, asked: Iterable[str] = ()) -> Iterator[Scenario]:
    """The services, two accounts that are refused, some that are not, and a Prometheus that saw it all.

    Args:
        program: the path of `prometheus`.
        asked: PromQL that is asked before somebody sends a mail.
    """
    (directory / "services").mkdir()
    with (
        web_server() as hooks,
        running(directory / "services", THRESHOLD=str(LIMIT), NOTIFY_WEBHOOK_URL=hooks.url) as services,
        server(program, directory / "prometheus", services.metrics_ports) as prometheus,
    ):
        wait_until(
            lambda: (
                prometheus.value("sum(count_over_time(up[1m]) > bool 1)") == len(SERVICES)
                if prometheus.series("up")
                else False
            ),
            seconds=30,
            what="each service is scraped twice",
        )
        quiet = {text: [value for _, value in prometheus.series(text)] for text in asked}
        _send(services)
        wait_until(
            lambda: (
                len(prometheus.series('ALERTS{alertname="MtpolicydStolenAccount", alertstate="firing"}')) == 2
                and len(prometheus.series("mtpolicyd_blocked_sender_used")) == 1
                and prometheus.value('sum(mtpolicyd_notification_deliveries_total{result="delivered"})')
                == TOLD
            ),
            seconds=30,
            what="Prometheus knows both accounts, and that somebody was told",
        )
        yield Scenario(services, prometheus, quiet)


def _send(services: Services) -> None:
    """Within some seconds, so that rates have something to be of."""
    with PolicyClient(services.port) as client:
        answers = []
        for number in range(PASSED):
            answers.append(client.ask(sasl_username=f"user{number % 12}@example.org"))
            if number % 3 == 0:
                client.ask(sasl_username="", client_address=AMERICAN)
            if number % 4 == 0:
                answers.append(client.ask(sasl_username=OVER))
            if number < US_REFUSED:
                answers.append(client.ask(sasl_username=STOLEN, client_address=AMERICAN))
            if number < BR_REFUSED:
                answers.append(client.ask(sasl_username=STOLEN, client_address=BRAZILIAN))
            time.sleep(0.05)
    words = [answer.split()[0] for answer in answers]
    assert words.count("DEFER") == OVER_REFUSED, answers
    assert words.count("REJECT") == US_REFUSED + BR_REFUSED, answers
