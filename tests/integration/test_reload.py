"""A changed settings file is in force while the services run."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.policy import AMERICAN, PolicyClient
from tests.support.services import SERVICES, Services, wait_until

CTL = [sys.executable, "-c", "from chassis.ctl import main; main()"]


class Configured:
    """Services with a settings file in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "etc" / "settings.toml"
        self.path.parent.mkdir()
        self.write("threshold = 1000")
        self.services = Services(directory, {"CONFIG": str(self.path)})

    def write(self, text: str) -> None:
        """Replace the file in one step, as an editor does."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.rename(self.path)

    def wait_taken(self, service: str = "decision") -> None:
        """Until the file in its present form is in force; it must not take longer than two seconds."""
        before = self.services.log(service).count("event=settings_changed")
        wait_until(
            lambda: self.services.log(service).count("event=settings_changed") > before,
            seconds=2,
            what="the new settings are in force",
        )


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Configured]:
    configured = Configured(tmp_path)
    try:
        configured.services.start()
        configured.services.wait_connected()
        yield configured
    finally:
        configured.services.stop()


def test_a_change_is_in_force_without_a_dropped_connection(configured: Configured) -> None:
    """Every request of a busy connection is answered, with the old settings or with the new ones."""
    answers: list[str] = []
    stop = threading.Event()

    def send() -> None:
        with PolicyClient(configured.services.port) as client:
            while not stop.is_set():
                answers.append(client.ask(client_address=AMERICAN))

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(0.2)
    configured.write('allowedcountries = ["DE", "US"]')
    configured.wait_taken()
    time.sleep(0.2)
    stop.set()
    sender.join(10)
    passed = answers.index("DUNNO")

    assert passed > 10
    assert all(answer.startswith("REJECT 5.7.1") for answer in answers[:passed])
    assert set(answers[passed:]) == {"DUNNO"}


def test_each_answer_names_the_settings_that_it_was_given_by(configured: Configured) -> None:
    """The version in the line of a decision changes with the file."""
    with PolicyClient(configured.services.port) as client:
        client.ask(client_address=AMERICAN)
        configured.write("threshold = 1000\ncountry_mode = 'observe'")
        configured.wait_taken()
        assert client.ask(client_address=AMERICAN) == "DUNNO"
    lines = [line for line in configured.services.log("decision").splitlines() if "event=decision" in line]
    first, second = [line.split("settings=")[1].split()[0] for line in lines]

    assert first != second
    assert f"event=settings_changed version={second}" in configured.services.log("decision")


def test_a_lowered_threshold_counts_what_was_sent(configured: Configured) -> None:
    """The counts stay, the limit is the new one."""
    with PolicyClient(configured.services.port) as client:
        assert [client.ask() for _ in range(3)] == ["DUNNO"] * 3
        configured.write("threshold = 3")
        configured.wait_taken()
        assert client.ask().startswith("DEFER 4.7.1 Daily limit of 3 recipients reached")


def test_a_wrong_file_keeps_the_settings_and_is_told(configured: Configured) -> None:
    """In all services; the metric says so until it is mended; a restart takes the last good file."""
    configured.write("threshold = 0\n")
    services = configured.services
    wait_until(
        lambda: all(
            services.metric(name, "mtpolicyd_config_last_reload_successful") == 0 for name in ("decision",)
        ),
        seconds=2,
        what="the file is refused",
    )
    with PolicyClient(services.port) as client:
        assert client.ask() == "DUNNO"
    services.kill("decision")
    services.start("decision")
    services.wait_connected()
    with PolicyClient(services.port) as client:
        assert client.ask() == "DUNNO"

    assert "event=settings_refused" in services.log("decision")
    assert "event=started_with_last_good_settings" in services.log("decision")
    configured.write("threshold = 5\n")
    configured.wait_taken()
    assert services.metric("decision", "mtpolicyd_config_last_reload_successful") == 1


def test_sighup_reads_at_once_and_ends_nobody(configured: Configured) -> None:
    """All three take it, with a file that has not changed too."""
    for name in SERVICES:
        configured.services.signal(name, signal.SIGHUP)
    configured.write('on_failure = "defer"')
    configured.services.signal("frontend", signal.SIGHUP)
    wait_until(
        lambda: "event=settings_changed" in configured.services.log("frontend"),
        seconds=0.5,
        what="it is taken",
    )

    assert [configured.services.processes[name].poll() for name in SERVICES] == [None] * 3


def test_a_port_needs_a_restart_and_says_so(configured: Configured) -> None:
    """The old one stays open."""
    del configured.services.environment["MTPOLICYD_PORT"]
    configured.services.signal("frontend", signal.SIGTERM)
    configured.write(f"port = {configured.services.port}")
    configured.services.start("frontend")
    configured.services.wait_connected()
    configured.write("port = 1")
    configured.wait_taken("frontend")

    assert "event=settings_need_restart names=port" in configured.services.log("frontend")
    with PolicyClient(configured.services.port) as client:
        assert client.ask() == "DUNNO"


def test_a_file_that_is_replaced_all_the_time_does_no_harm(configured: Configured) -> None:
    """A hundred times a second, good, wrong, gone; the last one counts."""
    for number in range(150):
        configured.write(f"threshold = {number % 3}")
        if number % 10 == 0:
            configured.path.unlink()
        time.sleep(0.01)
    configured.write("threshold = 1")
    with PolicyClient(configured.services.port) as client:
        assert client.ask() == "DUNNO"
        wait_until(
            lambda: (
                configured.services.metric("decision", "mtpolicyd_config_last_reload_successful") == 1
                and client.ask().startswith("DEFER 4.7.1 Daily limit of 1 ")
            ),
            seconds=3,
            what="the last file is in force",
        )


def test_the_admin_checks_a_file_and_sees_what_is_in_force(tmp_path: Path) -> None:
    """check-config looks at the file alone, show-config says where each value comes from."""
    path = tmp_path / "settings.toml"
    path.write_text("threshold = 5\ncountry_mode = 'observ'\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MTPOLICYD_")}
    environment |= {
        "MTPOLICYD_CONFIG": str(path),
        "MTPOLICYD_COUNTRY_MODE": "observe",
        "MTPOLICYD_DEBUG": "2",
    }

    def ctl(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*CTL, *arguments], env=environment, capture_output=True, text=True, timeout=30)

    wrong, shown = ctl("check-config"), ctl("show-config", "--json")
    # The example with every line in force.
    path.write_text(re.sub(r"(?m)^#(?=\w+ = )", "", ctl("settings", "--toml").stdout))
    example = ctl("check-config", str(path))

    assert wrong.returncode == 2
    assert wrong.stderr == (
        f"univention-mtpolicyd: {path}:2: country_mode = 'observ' is not allowed;"
        " allowed: enforce, observe or off\n"
    )
    values = json.loads(shown.stdout)
    assert values["threshold"] == {"value": "5", "source": f"{path}:1", "meaning": ""}
    assert values["country_mode"] == {"value": "observe", "source": "environment", "meaning": ""}
    assert values["port"] == {"value": "12345", "source": "default", "meaning": ""}
    assert (example.returncode, example.stdout) == (0, f"{path} is good\n"), example.stderr
