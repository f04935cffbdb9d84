"""`mtpolicyctl run`, with small programs in the place of the services."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from chassis import launcher
from chassis.http import metrics_server
from chassis.launcher import Launcher
from chassis.settings import SERVICES, Address, Endpoint, ServiceSettings
from chassis.sockets import Listeners, listening
from tests.support.observed import Observed
from tests.support.ports import free_port

CapSys = pytest.CaptureFixture[str]

# What each stand-in begins with; `note` is how the test hears of it.
HEAD = """
import os, pathlib, signal, sys
here, name = pathlib.Path(__file__).parent, pathlib.Path(__file__).stem
def note(what):
    with (here / "notes").open("a") as notes:
        notes.write(f"{name} {what} {os.getpid()}\\n")
def starts():
    return (here / "notes").read_text().count(f"{name} started")
def stop(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note("started")
"""
RUNS = "while True: signal.pause()"
IGNORES_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN); note('deaf')\n" + RUNS
REFUSES_ITS_SETTINGS = "sys.exit(2)"


def ends_with(code: int, *, times: int) -> str:
    return f"if starts() <= {times}: sys.exit({code})\n{RUNS}"


class Settings(ServiceSettings):
    """A metrics port and a banner."""

    sample_metrics: Endpoint = Field(Address("127.0.0.1", 1), description="where it is healthy")
    sample_banner: str = ""
    sample_port: int = 0

    @property
    def listeners(self) -> Listeners | None:
        return Listeners(("127.0.0.1", "::1"), self.sample_port) if self.sample_port else None

    @property
    def metrics_endpoint(self) -> Address:
        return self.sample_metrics

    def banner(self) -> list[tuple[str, str]]:
        return [("Line of", self.sample_banner), ("", "and its second line")]


class Stage:
    """A directory with stand-ins for the services, and what they have noted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = Address("127.0.0.1", free_port())
        self.frontend_port = 0
        (directory / "notes").touch()
        for name in SERVICES:
            self.write(name, RUNS)

    def write(self, name: str, body: str) -> None:
        """Change what the service does when it is started next."""
        (self.directory / f"{name}.py").write_text(HEAD + body)

    @property
    def notes(self) -> list[tuple[str, int]]:
        """("quota started", pid) and so on, oldest first."""
        lines = (self.directory / "notes").read_text().splitlines()
        return [(line.rpartition(" ")[0], int(line.rpartition(" ")[2])) for line in lines]

    def count(self, what: str) -> int:
        return [note for note, _ in self.notes].count(what)

    def pid(self, name: str) -> int:
        """The newest process of a service."""
        return [pid for note, pid in self.notes if note == f"{name} started"][-1]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - another process can set no event
                await asyncio.sleep(0.005)

    async def first_words(self, capsys: CapSys) -> list[str]:
        """Wait until the launcher says something."""
        lines: list[str] = []

        def heard() -> bool:
            lines.extend(said(capsys))
            return bool(lines)

        await self.until(heard)
        return lines

    async def until_all_run(self) -> None:
        await self.until(lambda: all(self.count(f"{name} started") for name in SERVICES))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[int]"]:
        """The launcher in this process; it is stopped at the end unless it has stopped itself."""
        settings = {name: Settings(sample_metrics=self.address, sample_banner=name) for name in SERVICES}
        port = {"sample_port": self.frontend_port}
        settings["frontend"] = settings["frontend"].model_copy(update=port)
        task = asyncio.create_task(Launcher(settings).run())
        # From its first step on it takes the signals, which would otherwise end the tests.
        await asyncio.sleep(0)
        try:
            yield task
        finally:
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(task, 10)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Small programs in the place of the services, and one metrics port for all of them."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(launcher.Launcher, "_is_ours", lambda self, name, pid: True)
    monkeypatch.setattr(launcher, "START_TRIES", 10**6)
    monkeypatch.setattr(launcher, "RESTART_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(launcher, "RESTART_MOST_SECONDS", 0.1)
    stage = Stage(tmp_path)
    yield stage
    assert [note for note, pid in stage.notes if runs(pid)] == [], "a service has outlived the launcher"


def started() -> asyncio.Event:
    """What a service sets when it is ready."""
    event = asyncio.Event()
    event.set()
    return event


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie: an orphan waits for an init that may be slow."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def said(capsys: CapSys) -> list[str]:
    return capsys.readouterr().out.splitlines()


# Starting


async def test_each_service_is_a_process_named_after_it(stage: Stage) -> None:
    """`python -P -m quota`, in a session of its own: Ctrl-C reaches the launcher alone."""
    async with stage.running():
        await stage.until_all_run()
        commands = {
            name: Path(f"/proc/{stage.pid(name)}/cmdline").read_bytes().split(b"\0")[:-1] for name in SERVICES
        }
        sessions = {name: os.getsid(stage.pid(name)) == stage.pid(name) for name in SERVICES}

    assert commands == {name: [os.fsencode(sys.executable), b"-P", b"-m", name.encode()] for name in SERVICES}
    assert sessions == dict.fromkeys(SERVICES, True)


async def test_once_all_are_healthy_it_says_what_comes_next(stage: Stage, capsys: CapSys) -> None:
    """Once, in columns, from the side of Postfix."""
    async with stage.running():
        await stage.until_all_run()
        assert said(capsys) == []

        async with metrics_server(stage.address, Observed().metrics, started()):
            lines = await stage.first_words(capsys)
    assert lines == [
        "univention-mtpolicyd: ready. Ctrl-C stops it.",
        "  Line of  frontend",
        "           and its second line",
        "  Line of  decision",
        "           and its second line",
        "  Line of  quota",
        "           and its second line",
    ]


async def test_health_may_be_asked_on_a_socket(stage: Stage, capsys: CapSys) -> None:
    """Where the metrics are on one."""
    stage.address = Address("", 0, str(stage.directory / "metrics.sock"))
    async with metrics_server(stage.address, Observed().metrics, started()), stage.running():
        lines = await stage.first_words(capsys)
        await stage.until_all_run()

    assert lines[0] == "univention-mtpolicyd: ready. Ctrl-C stops it."


async def test_who_is_not_ready_is_named(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    """After READY_SECONDS; the services run on."""
    monkeypatch.setattr(launcher, "READY_SECONDS", 0.1)
    async with stage.running() as task:
        await stage.until_all_run()
        lines = await stage.first_words(capsys)
        assert task.done() is False

    assert lines == [
        "univention-mtpolicyd: not ready after 0 s: quota, decision, frontend; see the lines above"
    ]


# Restarting


async def test_a_service_that_ends_is_named_and_started_again(stage: Stage, capsys: CapSys) -> None:
    """Each time later, up to a bound; its neighbours are left alone."""
    stage.write("decision", ends_with(7, times=2))
    async with stage.running():
        await stage.until_all_run()
        await stage.until(lambda: stage.count("decision started") == 3)

    assert said(capsys) == [
        "univention-mtpolicyd: decision ended with exit code 7; it is started again in 0.1 s",
        "univention-mtpolicyd: decision ended with exit code 7; it is started again in 0.1 s",
    ]
    assert (stage.count("quota started"), stage.count("frontend started")) == (1, 1)


async def test_the_pause_before_a_restart_doubles_up_to_a_bound(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    """A service that cannot start shall not keep the host busy."""
    monkeypatch.setattr(launcher, "RESTART_FIRST_SECONDS", 0.1)
    monkeypatch.setattr(launcher, "RESTART_MOST_SECONDS", 0.2)
    stage.write("quota", ends_with(1, times=3))
    async with stage.running():
        await stage.until_all_run()
        await stage.until(lambda: stage.count("quota started") == 4)

    assert [line.rpartition(" in ")[2] for line in said(capsys)] == ["0.1 s", "0.2 s", "0.2 s"]


async def test_a_service_that_ran_well_is_quickly_started_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    """Its earlier restarts are forgotten."""
    monkeypatch.setattr(launcher, "WELL_AFTER_SECONDS", 0)
    monkeypatch.setattr(launcher, "RESTART_FIRST_SECONDS", 0.1)
    monkeypatch.setattr(launcher, "RESTART_MOST_SECONDS", 0.2)
    stage.write("quota", ends_with(1, times=2))
    async with stage.running():
        await stage.until_all_run()
        await stage.until(lambda: stage.count("quota started") == 3)

    assert [line.rpartition(" in ")[2] for line in said(capsys)] == ["0.1 s", "0.1 s"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_service_that_was_killed_is_named_with_the_signal(
    stage: Stage, capsys: CapSys, number: signal.Signals
) -> None:
    """And started again."""
    async with stage.running():
        await stage.until_all_run()
        os.kill(stage.pid("quota"), number)
        await stage.until(lambda: stage.count("quota started") == 2)

    assert said(capsys) == [
        f"univention-mtpolicyd: quota was ended by {number.name}; it is started again in 0.1 s",
    ]


async def test_a_service_that_ends_well_by_itself_is_started_again(stage: Stage, capsys: CapSys) -> None:
    """Somebody has sent it a SIGTERM; without it no mail is checked."""
    async with stage.running():
        await stage.until_all_run()
        os.kill(stage.pid("frontend"), signal.SIGTERM)
        await stage.until(lambda: stage.count("frontend started") == 2)

    assert said(capsys) == [
        "univention-mtpolicyd: frontend ended with exit code 0; it is started again in 0.1 s",
    ]


async def test_ending_well_does_not_lengthen_the_pause(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    """However often an admin restarts a service, the next restart is as quick as the first."""
    monkeypatch.setattr(launcher, "RESTART_MOST_SECONDS", 60)
    stage.write("quota", ends_with(0, times=3))
    async with stage.running():
        await stage.until_all_run()
        await stage.until(lambda: stage.count("quota started") == 4)

    assert [line.rpartition(" in ")[2] for line in said(capsys)] == ["0.1 s", "0.1 s", "0.1 s"]


async def test_a_service_that_cannot_be_started_is_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may be short of processes or memory for a moment."""
    start = asyncio.create_subprocess_exec
    failures = [BlockingIOError(11, "Resource temporarily unavailable")]

    async def start_later(*command: Any, **how: Any) -> Any:
        if command[-1] == "decision" and failures:
            raise failures.pop()
        return await start(*command, **how)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_later)
    async with stage.running():
        await stage.until(lambda: stage.count("quota started") and stage.count("frontend started"))
        await asyncio.sleep(0.3)
        assert stage.count("decision started") == 1


# Held sockets

ANSWERS = """
import socket
from chassis.sockets import inherited
listeners = inherited()
note(f"took {','.join(str(each.fileno()) for each in listeners)}")
while True:
    listeners[0].accept()[0].sendall(str(os.getpid()).encode())
"""
ANSWERS_ONCE = ANSWERS.replace("while True", "for _ in range(1)")


async def test_who_connects_while_a_service_restarts_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    """The launcher has the listening sockets and passes them to each process of the service, from 3 on."""
    monkeypatch.setattr(launcher, "RESTART_FIRST_SECONDS", 0.5)
    monkeypatch.setattr(launcher, "RESTART_MOST_SECONDS", 0.5)
    stage.frontend_port = free_port()
    stage.write("frontend", ANSWERS_ONCE)
    async with stage.running():

        async def ask() -> int:
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.frontend_port)
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return int(answer)

        first = await ask()
        await stage.first_words(capsys)
        stage.write("frontend", ANSWERS)
        second = await ask()
        await stage.until_all_run()

    assert first != second
    assert [pid for note, pid in stage.notes if note == "frontend took 3,4"] == [first, second]
    assert [note for note, _ in stage.notes if "took" in note] == ["frontend took 3,4"] * 2


async def test_the_sockets_are_closed_before_the_services_are_stopped(stage: Stage) -> None:
    """Nobody waits for a service that does not come back."""
    stage.frontend_port = free_port()
    async with stage.running():
        await stage.until_all_run()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", stage.frontend_port)


async def test_a_port_in_use_is_said_before_anything_is_started(stage: Stage, capsys: CapSys) -> None:
    """In one line, with exit code 1."""
    stage.frontend_port = free_port()
    place = f"127.0.0.1, ::1 port {stage.frontend_port}"
    with listening(Listeners(("127.0.0.1",), stage.frontend_port)):
        async with stage.running() as task:
            assert await asyncio.wait_for(task, 10) == 1

    assert stage.notes == []
    assert said(capsys) == [f"univention-mtpolicyd: cannot listen on {place}: Address already in use"]


async def test_sockets_that_the_launcher_was_passed_are_passed_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a systemd .socket unit, say; those of the settings are not opened then."""
    stage.frontend_port = 1  # which could not be opened twice, and is not asked
    stage.write("frontend", ANSWERS)
    with listening(Listeners(("127.0.0.1",), free_port())) as sockets:
        port = sockets[0].getsockname()[1]
        monkeypatch.setattr(launcher, "inherited", lambda: [sockets[0].dup()])
        async with stage.running():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answer = int(await asyncio.wait_for(reader.read(), 10))
            writer.close()

    assert ("frontend took 3", answer) in stage.notes


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_services_one_by_one(stage: Stage, number: signal.Signals) -> None:
    """First whoever asks, last whoever is asked; the exit code is 0."""
    async with stage.running() as task:
        await stage.until_all_run()
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(task, 10) == 0

    assert [note for note, _ in stage.notes if "stopped" in note] == [
        "frontend stopped",
        "decision stopped",
        "quota stopped",
    ]


async def test_a_service_that_waits_for_its_restart_does_not_hold_up_the_stop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    """And it is not started again."""
    monkeypatch.setattr(launcher, "RESTART_FIRST_SECONDS", 60)
    monkeypatch.setattr(launcher, "RESTART_MOST_SECONDS", 60)
    stage.write("decision", ends_with(7, times=1))
    async with stage.running() as task:
        await stage.until_all_run()
        await stage.first_words(capsys)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0

    assert stage.count("decision started") == 1


async def test_a_service_that_does_not_stop_is_killed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: CapSys
) -> None:
    """After STOP_SECONDS, with a line; the others are stopped in order all the same."""
    monkeypatch.setattr(launcher, "STOP_SECONDS", 0.4)
    stage.write("decision", IGNORES_SIGTERM)
    async with stage.running() as task:
        await stage.until_all_run()
        await stage.until(lambda: stage.count("decision deaf"))
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0

    assert said(capsys) == ["univention-mtpolicyd: decision did not stop within 0 s and is killed"]
    assert [note for note, _ in stage.notes if "stopped" in note] == ["frontend stopped", "quota stopped"]


@pytest.mark.parametrize("name", SERVICES)
async def test_a_wrong_setting_of_one_service_stops_all(stage: Stage, capsys: CapSys, name: str) -> None:
    """With exit code 2, and without a restart: it would read the same settings."""
    stage.write(name, REFUSES_ITS_SETTINGS)
    async with stage.running() as task:
        assert await asyncio.wait_for(task, 10) == 2

    assert stage.count(f"{name} started") == 1
    assert said(capsys) == []


async def test_if_the_launcher_is_killed_its_services_end(stage: Stage) -> None:
    """Otherwise they would hold the ports, and nobody would start them again."""
    program = (
        "import asyncio, sys\n"
        f"sys.path.insert(0, {str(Path(launcher.__file__).parents[1])!r})\n"
        "from chassis import launcher\n"
        "from chassis.settings import SERVICES, Address\n"
        "class Settings:\n"
        f"    metrics_endpoint = Address('127.0.0.1', {stage.address.port})\n"
        "    listeners = None\n"
        "asyncio.run(launcher.Launcher(dict.fromkeys(SERVICES, Settings())).run())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await stage.until_all_run()
    process.kill()
    await process.wait()
    await stage.until(lambda: not any(runs(pid) for _, pid in stage.notes))

    assert sorted(note for note, _ in stage.notes if "stopped" in note) == [
        "decision stopped",
        "frontend stopped",
        "quota stopped",
    ]
