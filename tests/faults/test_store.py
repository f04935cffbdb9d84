"""The store is locked, its disk full or read-only, its file corrupt: a defined answer, and back by itself."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.disks import fill_up, remount, small_disk, unwritable
from tests.support.effort import FULL, slack
from tests.support.launching import READY, launched, pid_of, read_until, signal_to
from tests.support.load import LIMIT, Load, charged
from tests.support.policy import PolicyClient
from tests.support.services import Services, running, wait_until
from tests.support.stores import fill, spoil

QUOTA_SECONDS = 1.5
LOCKED_SECONDS = 10.0 if FULL else 3.0
DEFERRED = "DEFER 4.3.0 "
AFTERWARDS = "afterwards"  # a user of the test's own
LOCKER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process is writing."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk under the state directory."""
    with small_disk(tmp_path / "state", megabytes=16) as disk:
        yield disk


@contextmanager
def running_for_load(directory: Path) -> Iterator[Services]:
    with running(directory, ON_FAILURE="defer", THRESHOLD=str(LIMIT)) as services:
        yield services


def ask(services: Services, user: str) -> tuple[str, float]:
    """The answer to one mail, and the seconds that it took."""
    started = time.monotonic()
    with PolicyClient(services.port) as client:
        return client.ask(sasl_username=user), time.monotonic() - started


def store_up(services: Services) -> bool:
    return services.metric("quota", "mtpolicyd_store_up") == 1


def assert_told_once(services: Services) -> None:
    """One line when it began and one when it ended, however many charges met it."""
    wait_until(
        lambda: ask(services, AFTERWARDS) and "event=store_works_again" in services.log("quota"),
        what="its end is told",
    )
    assert services.log("quota").count("event=store_failed") == 1
    assert services.log("quota").count("event=store_works_again") == 1
    assert services.metric("quota", "mtpolicyd_store_errors_total", op="apply") > 0


def test_a_lock_costs_a_failure_action_in_time_and_ends_by_itself(tmp_path: Path) -> None:
    """Some other process has the store; the charges that met it are done once, or not at all."""
    with running_for_load(tmp_path) as services:
        with Load(services.port) as load:
            load.wait_for_answers(100)
            with locked(tmp_path / "state" / "quota.sqlite3"):
                began = time.monotonic()
                answer, seconds = ask(services, "meanwhile")
                inbound, inbound_seconds = ask(services, "")
                asked = time.monotonic()
                down = not store_up(services)
                scrape_seconds = time.monotonic() - asked
                time.sleep(max(0.0, LOCKED_SECONDS - (time.monotonic() - began)))
            wait_until(lambda: store_up(services), seconds=1 + slack(), what="the store works again")
            load.wait_for_answers(100)

        assert answer.startswith(DEFERRED)
        assert seconds < QUOTA_SECONDS + 0.1 + slack()
        assert (inbound, inbound_seconds < slack(), down) == ("DUNNO", True, True)
        # A scrape waits for nothing.
        assert scrape_seconds < slack()
        assert_told_once(services)
        load.books.assert_balanced(services, besides=[AFTERWARDS])


def test_a_full_disk_costs_the_failure_action_until_there_is_room(tmp_path: Path, disk: Path) -> None:
    """At once, not after the deadline; nothing that was accepted is lost."""
    answers: dict[str, str] = {}
    took: list[float] = []

    def three_are_deferred() -> bool:
        user = f"meanwhile{len(answers)}"
        answers[user], seconds = ask(services, user)
        took.append(seconds)
        return sum(answer.startswith(DEFERRED) for answer in answers.values()) == 3

    with running_for_load(tmp_path) as services:
        with Load(services.port) as load:
            load.wait_for_answers(100)
            filler = fill_up(disk)
            wait_until(lambda: not store_up(services), what="the disk is full")
            # A checkpoint lets the WAL begin anew: for as long as that is room enough, mail is charged.
            wait_until(three_are_deferred, what="three are deferred")
            inbound = ask(services, "")[0]
            filler.unlink()
            wait_until(lambda: store_up(services), what="there is room again")
            load.wait_for_answers(100)

        assert {answer for answer in answers.values() if not answer.startswith(DEFERRED)} <= {"DUNNO"}
        assert charged(services).keys() & answers.keys() == {u for u in answers if answers[u] == "DUNNO"}
        assert min(took) < QUOTA_SECONDS
        assert inbound == "DUNNO"
        assert "database or disk is full" in services.log("quota")
        assert_told_once(services)
        load.books.assert_balanced(services, besides=[AFTERWARDS, *answers])


def test_a_store_that_refuses_writes_is_used_again_when_it_takes_them(tmp_path: Path) -> None:
    """Under load: as with a full disk, and nothing has to be started again."""
    with running_for_load(tmp_path) as services:
        with Load(services.port) as load:
            load.wait_for_answers(100)
            with unwritable(tmp_path / "state" / "quota.sqlite3-wal"):
                wait_until(lambda: not store_up(services), what="writing fails")
                answers = [ask(services, f"meanwhile{number}") for number in range(3)]
                inbound = ask(services, "")[0]
            wait_until(lambda: store_up(services), what="writing works again")
            load.wait_for_answers(100)

        assert [answer for answer, _ in answers if not answer.startswith(DEFERRED)] == []
        assert min(seconds for _, seconds in answers) < QUOTA_SECONDS
        assert inbound == "DUNNO"
        assert_told_once(services)
        load.books.assert_balanced(services, besides=[AFTERWARDS])


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(("",), marks=pytest.mark.full),
        pytest.param(("-wal",), marks=pytest.mark.full),
        ("", "-wal", "-shm"),
    ],
    ids=["database", "wal", "all"],
)
def test_files_that_are_removed_are_written_anew(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """Under load, by somebody who tidies up; then quota is killed. Nothing that was accepted is lost."""
    path = tmp_path / "state" / "quota.sqlite3"
    with running_for_load(tmp_path) as services:
        with Load(services.port) as load:
            load.wait_for_answers(100)
            for suffix in gone:
                path.with_name(path.name + suffix).unlink()
            wait_until(
                lambda: services.metric("quota", "mtpolicyd_store_rewrites_total", result="done") == 1,
                what="they are written anew",
            )
            load.wait_for_answers(100)
            assert services.log("quota").count("event=store_files_gone") == 1
            services.kill("quota")
            services.start("quota")
            load.wait_for_answers(100)

        load.books.assert_balanced(services)


@pytest.mark.full
def test_checkpoints_that_fail_are_counted(tmp_path: Path) -> None:
    """The WAL takes what is charged; that it only grows is seen before the disk is full."""
    with running_for_load(tmp_path) as services:

        def failed() -> float:
            return services.metric("quota", "mtpolicyd_store_checkpoints_failed_total")

        with Load(services.port) as load:
            load.wait_for_answers(100)
            with unwritable(tmp_path / "state" / "quota.sqlite3"):
                wait_until(lambda: failed() >= 2, what="checkpoints fail")
                load.wait_for_answers(100)
                assert store_up(services)
            wait_until(
                lambda: "event=checkpoints_work_again" in services.log("quota"), what="checkpoints work again"
            )

        assert services.log("quota").count("event=checkpoint_failed") == 1
        assert load.books.failure_actions == 0
        load.books.assert_balanced(services)


def test_a_store_that_nobody_may_write_at_the_start_is_used_when_it_can_be(tmp_path: Path) -> None:
    """quota answers the failure action, says why, and counts as soon as it may."""
    path = tmp_path / "state" / "quota.sqlite3"
    with running_for_load(tmp_path) as services:
        assert ask(services, "somebody")[0] == "DUNNO"
        services.signal("quota", signal.SIGTERM)
        with unwritable(path):
            services.start("quota")
            services.wait_connected()
            meanwhile = ask(services, "somebody")[0]
            assert not store_up(services)
        wait_until(lambda: ask(services, "somebody")[0] == "DUNNO", what="it is used again")

        assert meanwhile.startswith(DEFERRED)
        assert "attempt to write a readonly database" in services.log("quota")
        assert_told_once(services)


@pytest.mark.full
def test_a_read_only_directory_is_said_and_quota_comes_back_by_itself(tmp_path: Path, disk: Path) -> None:
    """quota cannot start there: it says why, the launcher tries on, mail is deferred and then checked."""
    services = Services(tmp_path, {"ON_FAILURE": "defer"})
    with launched(services) as launcher:
        read_until(launcher, READY)
        assert until_answered(services, "DUNNO")
        while not remount(disk, "ro"):
            if pid_of(launcher.pid, "quota"):
                signal_to(launcher.pid, "quota", signal.SIGKILL)
            time.sleep(0.02)
        told = read_until(launcher, b"event=cannot_start").decode()
        told += read_until(launcher, b"Read-only file system").decode()
        meanwhile = until_answered(services, DEFERRED)
        quota_up = services.metric("decision", "mtpolicyd_stream_up", peer="quota")
        assert remount(disk, "rw")

        assert meanwhile
        assert quota_up == 0
        assert f"cannot use the state directory {disk}: Read-only file system" in told
        # The launcher's pauses grow to ten seconds.
        assert until_answered(services, "DUNNO", seconds=30)


def until_answered(services: Services, expected: str, *, seconds: float = 10) -> bool:
    """Ask new mails until one is answered so."""
    deadline = time.monotonic() + seconds
    while not (answered := ask(services, "somebody")[0].startswith(expected)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return answered


@pytest.mark.parametrize(
    "damage", ["garbage", pytest.param("truncated", marks=pytest.mark.full), "not_a_file"]
)
def test_a_start_with_a_corrupt_store(tmp_path: Path, damage: str) -> None:
    """It is moved aside and kept, and the counts begin anew; what is no file at all ends the start."""
    path = tmp_path / "state" / "quota.sqlite3"
    path.parent.mkdir()
    fill(path)
    if damage == "garbage":
        path.write_bytes(b"garbage" * 10_000)
    elif damage == "truncated":
        with path.open("r+b") as file:
            file.truncate(5 * 4096)
    else:
        path.unlink()
        path.mkdir()
        services = Services(tmp_path)
        ended = subprocess.run(
            [sys.executable, "-m", "quota"], env=services.environment, capture_output=True, text=True
        )
        assert ended.returncode == 1
        assert f"cannot open {path}: unable to open database file" in ended.stdout
        return
    before = path.read_bytes()
    with running_for_load(tmp_path) as services:
        answers = [ask(services, f"filled{number}")[0] for number in range(100)]

        assert set(answers) == {"DUNNO"}
        (aside,) = moved_aside(services)
        assert aside.read_bytes() == before
        assert_moved_once(services, aside)


def test_a_store_that_is_spoilt_while_it_is_used(tmp_path: Path) -> None:
    """Under load: no failure action; what is accepted from then on is counted in the new store."""
    path = tmp_path / "state" / "quota.sqlite3"
    path.parent.mkdir()
    accounts = fill(path)
    with running_for_load(tmp_path) as services:
        with Load(services.port) as load:
            load.wait_for_answers(100)
            spoil(path)
            answers = [ask(services, account.decode())[0] for account in accounts[::500]]
            load.wait_for_answers(500)

        assert set(answers) == {"DUNNO"}
        load.books.assert_patient(QUOTA_SECONDS)
        assert load.books.problems == []
        (aside,) = moved_aside(services)
        assert_moved_once(services, aside)
        # What was accepted before is in the file that lies aside. The limit held from then on.
        assert max(charged(services).values()) <= LIMIT
        assert sum(load.books.accepted.values()) + len(answers) >= sum(charged(services).values())


def moved_aside(services: Services) -> list[Path]:
    return sorted((services.directory / "state").glob("quota.sqlite3.corrupt-*Z"))


def assert_moved_once(services: Services, aside: Path) -> None:
    """One line with where it lies, one count; the new store is sound."""
    log = services.log("quota")
    assert log.count("event=store_corrupt") == 1
    assert f"moved_to={aside}" in log
    assert services.metric("quota", "mtpolicyd_store_corrupt_total") == 1
    assert store_up(services)
    with closing(sqlite3.connect(services.directory / "state" / "quota.sqlite3")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
