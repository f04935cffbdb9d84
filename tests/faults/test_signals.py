"""SIGHUP at any time and however often: the settings are read again, and nobody waits or ends for it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.effort import FULL, slack
from tests.support.launching import READY, launched, pid_of
from tests.support.load import FAILURE, LIMIT, Load
from tests.support.policy import PolicyClient, encode, request
from tests.support.services import SERVICES, Services, wait_until

SETTINGS = f'threshold = {LIMIT}\non_failure = "defer"\ndebug = 2\n'
STORM_SECONDS = 5 if FULL else 2
STORM = """
import os, signal, sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    for pid in sys.argv[2:]:
        os.kill(int(pid), signal.SIGHUP)
    time.sleep(0.0005)
"""


@pytest.fixture
def configured(tmp_path: Path) -> Services:
    """With a settings file; not started."""
    path = tmp_path / "settings.toml"
    path.write_text(SETTINGS)
    return Services(tmp_path, {"CONFIG": str(path)})


def test_a_storm_of_sighup_holds_nobody_up(configured: Services) -> None:
    """A thousand a second to each service, under load, with a file that changes."""
    path = configured.directory / "settings.toml"
    new = path.with_suffix(".new")
    try:
        configured.start()
        configured.wait_connected()
        with Load(configured.port) as load:
            load.wait_for_answers(200)
            pids = [str(configured.processes[name].pid) for name in SERVICES]
            with subprocess.Popen([sys.executable, "-c", STORM, str(STORM_SECONDS), *pids]) as storm:
                number = 0
                while storm.poll() is None:
                    number += 1
                    new.write_text(f'{SETTINGS}exempt_accounts = "x{number}"\n')
                    new.replace(path)
                    time.sleep(0.1)
            load.wait_for_answers(200)

        assert load.books.slowest < 0.5 + slack()
        assert load.books.failure_actions == 0
        load.books.assert_no_try_lost()
        load.books.assert_balanced(configured)
        assert configured.log("decision").count("event=settings_changed") >= 2
    finally:
        configured.stop()


def test_sighup_ends_no_service_that_is_being_started(configured: Services) -> None:
    """By the launcher, every few milliseconds from the first one on."""
    output = configured.directory / "launcher.log"
    with output.open("wb") as file, launched(configured, stdout=file) as launcher:

        def is_ready() -> bool:
            for pid in filter(None, [pid_of(launcher.pid, name) for name in SERVICES]):
                os.kill(pid, signal.SIGHUP)
            return READY in output.read_bytes()

        wait_until(is_ready, seconds=30, what="the services are ready")

    assert b"SIGHUP" not in output.read_bytes()


@pytest.mark.full
def test_sighup_ends_no_service_that_is_being_stopped(configured: Services) -> None:
    """Whoever waits for an answer gets it."""
    try:
        configured.start()
        configured.wait_connected()
        configured.signal("quota", signal.SIGSTOP)
        with PolicyClient(configured.port) as client:
            client.socket.sendall(encode(request()))
            wait_until(
                lambda: configured.metric("frontend", "mtpolicyd_stream_items_total", direction="sent") == 1,
                what="decision is asked",
            )
            frontend = configured.processes["frontend"]
            frontend.terminate()
            wait_until(lambda: "event=stopping" in configured.log("frontend"), what="it stops")
            time.sleep(0.2)
            frontend.send_signal(signal.SIGHUP)

            assert client.read_action().startswith(FAILURE)
        assert frontend.wait(10) == 0
    finally:
        configured.stop()
