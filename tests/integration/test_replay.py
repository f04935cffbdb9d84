"""Requests are recorded by the running services, and `mtpolicyctl replay` decides them by other settings."""

import gzip
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from admin.talk.names import as_bytes
from decision.record_format import read_request
from tests.support.effort import FULL
from tests.support.mmdb import write_mmdb
from tests.support.policy import AMERICAN, GERMAN, PolicyClient, new_instance
from tests.support.programs import require_root
from tests.support.services import Services, running, wait_until

CTL = [sys.executable, "-c", "from chassis.ctl import main; main()"]
KEY = "0123456789abcdef0123456789abcdef"
DAY_MS = 86_400_000
# The most memory that it had, in kB, on standard error. (getrusage(2) tells that of whoever forked, too.)
TELLING_ITS_PEAK = """
import atexit, re, sys
from pathlib import Path
from chassis.ctl import main
peak = lambda: re.search("VmHWM:(.*) kB", Path("/proc/self/status").read_text())[1]
atexit.register(lambda: print(peak(), file=sys.stderr))
main()
"""


def replay(
    environment: Mapping[str, str], *arguments: str | Path
) -> tuple[subprocess.CompletedProcess[str], Any]:
    """The ended command, and the JSON that it printed."""
    ended = subprocess.run(
        [*CTL, "replay", *map(str, arguments), "--json"],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ended, json.loads(ended.stdout) if ended.stdout else None


def send(services: Services) -> dict[str, list[str]]:
    """The actions that a day of mail of five users hears, by login."""
    answers: dict[str, list[str]] = {}
    with PolicyClient(services.port) as client:

        def ask(login: str, **attributes: str) -> None:
            action = client.ask(sasl_username=login, **attributes)
            answers.setdefault(login, []).append(action.split(" (id ")[0])

        for _ in range(8):
            ask("steady")
        for number in range(3):
            mail = new_instance()
            for recipient in range(4):
                ask("many", instance=mail, recipient=f"r{recipient}@example.net")
            ask("many", instance=mail, protocol_state="DATA", recipient="", recipient_count="4")
            ask("many", instance=mail, protocol_state="END-OF-MESSAGE", recipient="", recipient_count="4")
            ask("abroad", client_address=AMERICAN if number else GERMAN)
            ask("exempt", client_address=AMERICAN)
            ask("office", client_address="9.9.9.9")
        ask("na\xefve", client_address=AMERICAN, sender="")
        ask("other", protocol_state="MAIL")
    return answers


def recorded_lines(directory: Path) -> list[bytes]:
    """Of all files, the oldest first."""
    files = sorted(
        directory.glob("requests.jsonl*"),
        key=lambda path: -int(path.suffix[1:] if path.suffix[1:].isdigit() else 0),
    )
    return [line for path in files for line in path.read_bytes().splitlines()]


def wait_recorded(directory: Path, count: int) -> None:
    wait_until(lambda: len(recorded_lines(directory)) >= count, what=f"{count} requests are recorded")


def differences(answered: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, tuple[int, int]]:
    """By login, how many requests are newly refused and newly passed."""
    found = {}
    for login, before in answered.items():
        pairs = list(zip(before, other[login], strict=True))
        refused = sum(one == "DUNNO" != two for one, two in pairs)
        passed = sum(one != "DUNNO" == two for one, two in pairs)
        if refused or passed:
            found[login] = (refused, passed)
    return found


@pytest.mark.parametrize("with_key", [False, True])
def test_the_replay_says_what_the_services_really_answer(tmp_path: Path, with_key: bool) -> None:
    """The same mail sent to services with the new settings hears what the replay has told."""
    records = tmp_path / "records"
    records.mkdir()
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    # Networks cannot be applied to hashed addresses.
    networks: dict[str, Any] = {} if with_key else {"EXEMPT_NETWORKS": "9.9.9.0/24"}
    old: dict[str, Any] = {"THRESHOLD": "1000", "ALLOWEDCOUNTRIES": "DE,US,CH"}
    new: dict[str, Any] = {
        "THRESHOLD": "6",
        "ALLOWEDCOUNTRIES": "DE",
        "EXEMPT_ACCOUNTS": "exempt",
        "COUNT": "recipients",
        **networks,
    }
    recording: dict[str, Any] = {"RECORD_DIRECTORY": str(records)} | (
        {"RECORD_KEY_FILE": str(key)} if with_key else {}
    )
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with running(first, **old, **recording) as services:
        answered = send(services)
        wait_recorded(records, sum(map(len, answered.values())))
        environment = services.environment
    with running(second, **new) as services:
        really = send(services)
    new_file = tmp_path / "new.toml"
    new_file.write_text("".join(f"{name.lower()} = {json.dumps(value)}\n" for name, value in new.items()))
    ended, told = replay(environment, records / "requests.jsonl", "--config", new_file)

    assert ended.returncode == 1, ended.stderr
    assert told["unlike_recorded"] == 0, told["notes"]
    assert told["requests"] == sum(map(len, answered.values()))
    assert {
        as_bytes(account["login"]).decode("latin-1"): (
            sum(account["newly_refused"].values()),
            sum(account["newly_passed"].values()),
        )
        for account in told["differences"]
    } == differences(answered, really)
    assert differences(answered, really).keys() >= {"steady", "many", "abroad", "na\xefve"}
    text = b"\n".join(recorded_lines(records))
    assert (b"8.8.8.8" in text, b"bob@example.net" in text) == (not with_key, not with_key)
    assert b'"login":"steady"' in text
    assert stat.S_IMODE((records / "requests.jsonl").stat().st_mode) == 0o640


def test_settings_that_let_more_pass_are_seen_too(tmp_path: Path) -> None:
    """What was refused and would pass; by the recorded countries, with no database asked."""
    with running(tmp_path, RECORD_DIRECTORY=str(tmp_path), THRESHOLD="5") as services:
        answered = send(services)
        wait_recorded(tmp_path, sum(map(len, answered.values())))
        environment = services.environment
    empty = write_mmdb(tmp_path / "empty.mmdb", "Country", {"192.0.2.0/24": {"country": {"iso_code": "FR"}}})
    new_file = tmp_path / "new.toml"
    new_file.write_text(f"quota_mode = 'off'\nallowedcountries = 'DE'\ndatabases = ['{empty}']\n")
    asked, by_new_data = replay(environment, tmp_path / "requests.jsonl", "--config", new_file)
    believed, by_recorded = replay(
        environment, tmp_path / "requests.jsonl", "--config", new_file, "--recorded-countries"
    )

    assert (asked.returncode, believed.returncode) == (1, 1)
    # The file knows none of these addresses, so nobody is abroad any more.
    assert by_new_data["newly_passed"]["country"] == 2 + 3 + 3 + 1
    assert "country" not in by_recorded["newly_passed"]
    assert by_recorded["newly_passed"]["quota"] == by_new_data["newly_passed"]["quota"] > 0
    assert by_recorded["newly_refused"] == by_new_data["newly_refused"] == {}


def test_the_same_settings_make_no_difference(tmp_path: Path) -> None:
    """Exit code 0, and a table-less text."""
    with running(tmp_path, RECORD_DIRECTORY=str(tmp_path), THRESHOLD="5") as services:
        count = sum(map(len, send(services).values()))
        wait_recorded(tmp_path, count)
        environment = services.environment
    new_file = tmp_path / "new.toml"
    new_file.write_text("threshold = 5\n")
    packed = tmp_path / "old.gz"
    packed.write_bytes(gzip.compress((tmp_path / "requests.jsonl").read_bytes()))
    ended = subprocess.run(
        [*CTL, "replay", str(packed), "--config", str(new_file)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "0 of 7 accounts would hear something else: no answer differs;" in ended.stdout
    assert f"of {count} requests in" in ended.stdout


# Outages of the recording


@contextmanager
def asking(services: Services) -> Iterator[list[str]]:
    """A busy client beside the test; its answers."""
    answers: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        with PolicyClient(services.port) as client:
            while not stop.is_set():
                answers.append(client.ask())

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join(10)


def lost(services: Services) -> float:
    return services.metric("decision", "mtpolicyd_record_lines_lost_total")


def test_a_directory_that_goes_and_comes_costs_no_answer(tmp_path: Path) -> None:
    """What cannot be written is counted; one line says so, one that it works again."""
    records = tmp_path / "records"
    with running(tmp_path, RECORD_DIRECTORY=str(records), THRESHOLD="1000000") as services:
        with asking(services) as answers:
            wait_until(lambda: lost(services) > 0, what="requests are lost")
            records.mkdir()
            wait_until(lambda: recorded_lines(records), what="requests are recorded")
            shutil.rmtree(records)
            before = lost(services)
            wait_until(lambda: lost(services) > before, what="requests are lost again")
            records.mkdir()
            wait_until(lambda: recorded_lines(records), what="requests are recorded again")
        log = services.log("decision")

    assert set(answers) == {"DUNNO"}
    assert log.count("event=recording_failed") == 2
    assert log.count("event=recording_works_again") == 2


def test_a_full_disk_costs_no_answer(tmp_path: Path) -> None:
    """On a tmpfs of 200 kB: whole lines, then lost ones; when there is room again, it goes on."""
    require_root()
    records = tmp_path / "records"
    records.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(records)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        with running(tmp_path, RECORD_DIRECTORY=str(records), THRESHOLD="1000000") as services:
            with asking(services) as answers:
                wait_until(lambda: lost(services) > 0, what="the disk is full", seconds=30)
                full = recorded_lines(records)
                (records / "requests.jsonl").unlink()
                wait_until(lambda: recorded_lines(records), what="requests are recorded again")
            log = services.log("decision")
        assert set(answers) == {"DUNNO"}
        assert len(full) > 300
        assert all(read_request(line) for line in full)
        assert log.count("event=recording_failed") >= 1
        assert log.count("event=recording_works_again") >= 1
    finally:
        subprocess.run(["umount", str(records)], check=True)


def test_without_its_key_nothing_is_recorded(tmp_path: Path) -> None:
    """Missing at the start, removed while running, gone at a reload: never an address in clear."""
    records, key = tmp_path / "records", tmp_path / "key"
    records.mkdir()
    config = tmp_path / "settings.toml"
    config.write_text(f"record_directory = '{records}'\nrecord_key_file = '{key}'\n")
    with running(tmp_path, CONFIG=str(config), THRESHOLD="1000000") as services:
        with PolicyClient(services.port) as client:
            client.ask()
            wait_until(lambda: lost(services) == 1, what="a request is lost")
            assert recorded_lines(records) == []
            assert "event=recording_failed" in services.log("decision")
            key.write_text(KEY)
            client.ask()
            wait_recorded(records, 1)
            key.unlink()
            client.ask()
            wait_recorded(records, 2)
            config.write_text(config.read_text() + "quota_action = 'reject'\n")
            wait_until(lambda: "event=settings_changed" in services.log("decision"), what="it is taken")
            client.ask()
            wait_until(lambda: lost(services) == 2, what="a request is lost again")
        found = [read_request(line) for line in recorded_lines(records)]

    assert len(found) == 2
    assert all(request.hashed for request in found)
    assert found[0].event.client_address == found[1].event.client_address
    assert re.fullmatch(rb"[0-9a-f]{32}", found[0].event.client_address)


def test_files_are_rotated_under_load_and_settings_change_meanwhile(tmp_path: Path) -> None:
    """No answer is lost; no file is larger than the bound, no more files are kept than the setting says."""
    records = tmp_path / "records"
    records.mkdir()
    config = tmp_path / "settings.toml"
    config.write_text(f"record_directory = '{records}'\nrecord_max_bytes = 100000\nrecord_files = 3\n")
    with running(tmp_path, CONFIG=str(config), THRESHOLD="1000000") as services:
        with asking(services) as answers:
            wait_until(lambda: (records / "requests.jsonl.3").exists(), seconds=60, what="three are full")
            sizes = [path.stat().st_size for path in records.iterdir() if path.name != "requests.jsonl"]
            config.write_text(
                f"record_directory = '{records}'\nrecord_max_bytes = 100000\nrecord_files = 1\n"
            )
            wait_until(
                lambda: (
                    sorted(path.name for path in records.iterdir()) == ["requests.jsonl", "requests.jsonl.1"]
                ),
                what="the others are removed",
            )
            config.write_text("")
            wait_until(lambda: services.log("decision").count("settings_changed") == 2, what="it is off")
            time.sleep(0.2)
            size = (records / "requests.jsonl").stat().st_size
            answered = len(answers)
            wait_until(lambda: len(answers) > answered + 100, what="mail goes on")
            assert (records / "requests.jsonl").stat().st_size == size
        services.signal("decision", signal.SIGTERM)
        lines = recorded_lines(records)

    assert set(answers) == {"DUNNO"}
    assert max(sizes) <= 100_000
    assert all(read_request(line) for line in lines)
    assert "Traceback" not in services.log("decision")


def test_what_was_recorded_last_is_there_after_the_end(tmp_path: Path) -> None:
    """SIGTERM loses nothing."""
    with running(tmp_path, RECORD_DIRECTORY=str(tmp_path)) as services:
        with PolicyClient(services.port) as client:
            for _ in range(50):
                client.ask()
        services.signal("decision", signal.SIGTERM)

    assert len(recorded_lines(tmp_path)) == 50


# Size


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """Ten times as many requests take hardly more of it, and not for ever."""
    line = (
        '{{"version":1,"time":{time},"stage":"RCPT","login":"user{user}","client_address":"84.128.{a}.{b}",'
        '"instance":"1f.{time:x}.{number:x}.0","recipient":"r{number}@example.net","recipient_count":0,'
        '"sender":"user{user}@example.org","hashed":false,"kind":"hit","countries":[["builtin","DE"]],'
        '"verb":"DUNNO","rule":"none"}}\n'
    )
    path = tmp_path / "requests.jsonl"
    new_file = tmp_path / "new.toml"
    new_file.write_text("threshold = 100\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MTPOLICYD_")}
    kilobytes, seconds = [], []
    few, many = (10_000, 100_000) if FULL else (3_000, 30_000)
    for count in (few, many):
        with path.open("w") as file:
            for number in range(count):
                # Together they fill a day.
                file.write(
                    line.format(
                        time=1_790_000_000_000 + number * DAY_MS // count,
                        user=number % (many // 200),
                        number=number,
                        a=number >> 8 & 255,
                        b=number & 255,
                    )
                )
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-c", TELLING_ITS_PEAK, "replay", path, "--config", new_file, "--json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        told = json.loads(ended.stdout)
        seconds.append(time.monotonic() - started)
        kilobytes.append(int(ended.stderr))
        assert told["requests"] == count

    assert told["newly_refused"].keys() == {"quota"}
    assert kilobytes[1] - kilobytes[0] < 40_000, kilobytes
    assert seconds[1] < 120 * many / 100_000 + 20, seconds
