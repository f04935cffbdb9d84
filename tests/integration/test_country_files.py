"""Country data that change while decision runs, as real processes see it."""

import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mmdb import country_file
from tests.support.observed import children, private_mappings
from tests.support.policy import GERMAN, PolicyClient
from tests.support.services import Services, wait_until

BUILT_IN = Path(__file__).parents[2] / "decision/data/geo-whois-asn-country.mmdb"
# A look every two seconds, and a process that reads the file, on a busy machine.
SECONDS = 20


def put(path: Path, country: str) -> None:
    """Have the file place the client that all requests come from; other well-known addresses stay."""
    new = path.with_suffix(".new")
    country_file(new, {"84.128.0.0/10": country, "8.8.8.0/24": "US", "17.0.0.0/8": "US"})
    new.replace(path)


class Located:
    """Services with one country file, which says DE."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "GeoIP" / "Test-Country.mmdb"
        self.path.parent.mkdir()
        put(self.path, "DE")
        self.services = Services(directory, {"GEOIP_DIRECTORY": str(self.path.parent), "DEBUG": "2"})

    @property
    def decision(self) -> int:
        return self.services.processes["decision"].pid

    def metric(self, name: str, **labels: str) -> float:
        return self.services.metric("decision", f"mtpolicyd_geoip_{name}", **labels)

    def events(self, event: str) -> list[str]:
        return [line for line in self.services.log("decision").splitlines() if f"event={event}" in line]


@pytest.fixture
def located(tmp_path: Path) -> Iterator[Located]:
    located = Located(tmp_path)
    try:
        yield located
    finally:
        located.services.stop()


@pytest.fixture
def running(located: Located) -> Located:
    located.services.start()
    located.services.wait_connected()
    return located


def test_a_replaced_file_is_in_force_without_a_dropped_connection(running: Located) -> None:
    """Every request of a busy connection is answered, by the old file or by the new one."""
    answers: list[str] = []
    stop = threading.Event()

    def send() -> None:
        with PolicyClient(running.services.port) as client:
            while not stop.is_set():
                answers.append(client.ask(client_address=GERMAN, sasl_username=f"user{len(answers)}"))
                time.sleep(0.002)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_until(lambda: answers, what="an answer")
        put(running.path, "US")
        wait_until(lambda: answers[-1] != "DUNNO", seconds=SECONDS, what="the new file is in force")
        time.sleep(0.2)
    finally:
        stop.set()
        sender.join(10)
    first = next(number for number, answer in enumerate(answers) if answer != "DUNNO")

    assert first > 10
    assert all(
        answer.startswith("REJECT 5.7.1 Sending mail from country US is not allowed")
        for answer in answers[first:]
    )
    assert len(running.events("country_data_in_use")) == 2
    assert private_mappings(running.decision) == 1
    assert children(running.decision) == []


def test_a_half_written_file_changes_no_answer_and_is_told(running: Located) -> None:
    """Until it is whole."""
    put(running.path.with_name("whole"), "US")
    content = running.path.with_name("whole").read_bytes()
    running.path.write_bytes(content[: len(content) // 2])
    with PolicyClient(running.services.port) as client:
        wait_until(lambda: running.metric("db_refused_total") == 1, seconds=SECONDS, what="it is refused")
        assert client.ask() == "DUNNO"
        (line,) = running.events("country_data_refused")
        assert str(running.path) in line
        assert running.metric("db_usable") == 1

        running.path.write_bytes(content)
        wait_until(
            lambda: client.ask().startswith("REJECT"), seconds=SECONDS, what="the whole file is in force"
        )
    assert running.metric("db_refused_total") == 1
    assert running.metric("db_loaded_timestamp_seconds", source="Test-Country") > time.time() - 60


def test_a_stop_does_not_wait_for_a_check(running: Located) -> None:
    """The process that reads the file ends with the service."""
    shutil.copy(BUILT_IN, running.path)  # takes seconds to be read
    wait_until(lambda: children(running.decision), seconds=SECONDS, what="the file is being checked")
    (checking,) = children(running.decision)
    started = time.monotonic()
    running.services.signal("decision", signal.SIGTERM)

    assert time.monotonic() - started < 5
    assert running.services.processes["decision"].returncode == 0
    assert not Path(f"/proc/{checking}").exists()
    assert running.events("country_data_refused") == []


def test_a_file_that_crashes_its_reader_does_not_keep_decision_from_starting(located: Located) -> None:
    """maxminddb 3.2 takes a key that is no text for an address in memory; each start would end by it."""
    content = located.path.read_bytes()
    located.path.write_bytes(content.replace(b"\x48iso_code", b"\x08iso_code"))
    located.services.start()
    located.services.wait_connected()
    with PolicyClient(located.services.port) as client:
        assert client.ask() == "DUNNO"

    assert "reading it crashed" in located.events("country_data_refused")[0]
    assert located.metric("db_build_timestamp_seconds", source="builtin") > 0
