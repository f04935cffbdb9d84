"""The skeleton of a service, from its settings to its exit code."""

import asyncio
import gc
import json
import os
import signal
import socket
import urllib.request
from collections.abc import AsyncIterator, Iterator, Set
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from prometheus_client import CollectorRegistry
from pydantic import Field

from chassis import processor, service
from chassis.errors import StartError
from chassis.metrics import Metrics
from chassis.service import Runtime, run_service
from chassis.settings import Address, Endpoint, ServiceSettings
from tests.support.ports import free_port

CapSys = pytest.CaptureFixture[str]


class Settings(ServiceSettings):
    """Nothing but a metrics port, and log lines that a test can read."""

    frontend_metrics: Endpoint = Field(Address("127.0.0.1", 1), description="set by each test")

    @property
    def metrics_endpoint(self) -> Address:
        return self.frontend_metrics


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A free metrics port and a registry of its own for each test."""
    port = free_port()
    monkeypatch.setenv("MTPOLICYD_FRONTEND_METRICS", f"127.0.0.1:{port}")
    monkeypatch.setenv("MTPOLICYD_LOG_FORMAT", "json")
    monkeypatch.setenv("MTPOLICYD_DEBUG", "2")
    monkeypatch.setattr(service, "Metrics", lambda: Metrics(CollectorRegistry()))
    yield port
    gc.unfreeze()


class Part:
    """One of a service's own parts; notes in `steps` when it is opened and closed."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps

    @asynccontextmanager
    async def named(self, name: str, *, closing_seconds: float = 0) -> AsyncIterator[None]:
        self.steps.append(f"{name} opened")
        try:
            yield
        finally:
            await asyncio.sleep(closing_seconds)
            self.steps.append(f"{name} closed")


def soon(number: signal.Signals = signal.SIGTERM) -> None:
    """Send this process a signal as soon as the loop is free."""
    asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)


def exit_code(start: Any) -> object:
    """What `run_service` ends the process with."""
    with pytest.raises(SystemExit) as caught:
        run_service("frontend", Settings, start, place=0)
    return caught.value.code


def events(capsys: CapSys) -> list[str]:
    return [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_parts_in_reverse_order(number: signal.Signals, capsys: CapSys) -> None:
    """The exit code is 0."""
    steps: list[str] = []

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        for name in ("first", "second"):
            await runtime.stack.enter_async_context(Part(steps).named(name))
        soon(number)

    assert exit_code(start) == 0
    assert steps == ["first opened", "second opened", "second closed", "first closed"]
    assert events(capsys) == ["ready", "stopping", "stopped"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor")
def test_while_it_is_quiet_it_keeps_to_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it stops."""
    monkeypatch.setattr(processor, "LATE_SECONDS", 60.0)
    place, started_on = processor._place_threads, os.sched_getaffinity(0)
    kept_to: list[set[int]] = []

    def placed(processors: Set[int]) -> None:
        place(processors)
        kept_to.append(os.sched_getaffinity(0))
        soon()

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        monkeypatch.setattr(processor, "_place_threads", placed)
        asyncio.get_running_loop().call_later(20, os.kill, os.getpid(), signal.SIGTERM)

    assert exit_code(start) == 0
    assert kept_to == [{max(started_on)}, started_on]


def test_a_signal_during_the_start_is_not_lost(capsys: CapSys) -> None:
    """The service stops as soon as it is ready."""

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)

    assert exit_code(start) == 0
    assert events(capsys) == ["ready", "stopping", "stopped"]


def test_lines_carry_the_services_name(capsys: CapSys) -> None:
    """Several services may write to one journal."""

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        soon()

    exit_code(start)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["service"] for line in lines} == {"frontend"}


def test_a_service_runs_in_uvloop_with_its_settings() -> None:
    """And the log has the level of the settings."""
    found: list[object] = []

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        found.extend(
            [isinstance(asyncio.get_running_loop(), uvloop.Loop), settings.debug, int(runtime.log.threshold)]
        )
        soon()

    exit_code(start)
    assert found == [True, 2, 2]


def test_the_metrics_port_opens_first_and_closes_last(environment: int) -> None:
    """A start or a stop that hangs can be seen."""
    answers: list[bytes] = []

    async def ask() -> None:
        def fetch() -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{environment}/healthz", timeout=5) as answer:
                body: bytes = answer.read()
                return body

        answers.append(await asyncio.to_thread(fetch))

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        await ask()
        runtime.stack.push_async_callback(ask)
        soon()

    assert exit_code(start) == 0
    assert answers == [b"ok\n", b"ok\n"]


def test_a_wrong_setting_is_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: CapSys) -> None:
    """Nothing is started."""
    monkeypatch.setenv("MTPOLICYD_DEBUG", "9")
    started: list[Settings] = []

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        started.append(settings)

    assert exit_code(start) == 2
    assert started == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("univention-mtpolicyd: MTPOLICYD_DEBUG='9' is not allowed; ")


@pytest.mark.parametrize("error", [StartError("no room"), PermissionError("no room")])
def test_a_start_that_fails_is_exit_code_1(error: Exception, capsys: CapSys) -> None:
    """One line says why; what was opened is closed."""
    steps: list[str] = []

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        runtime.stack.callback(steps.append, "closed")
        raise error

    assert exit_code(start) == 1
    assert steps == ["closed"]
    (line,) = capsys.readouterr().out.splitlines()
    values = json.loads(line)
    assert (values["level"], values["event"], values["reason"]) == ("error", "cannot_start", "no room")


def test_a_metrics_port_in_use_is_exit_code_1(environment: int, capsys: CapSys) -> None:
    """The service's own parts are not started."""
    started: list[Settings] = []

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        started.append(settings)

    with socket.create_server(("127.0.0.1", environment)):
        assert exit_code(start) == 1

    assert started == []
    assert events(capsys) == ["cannot_start"]


def test_a_part_that_dies_ends_the_service_with_1(capsys: CapSys) -> None:
    """In order, with the first reason; whoever watches the service starts it again."""
    steps: list[str] = []

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        await runtime.stack.enter_async_context(Part(steps).named("first"))
        runtime.fail("the writer is gone")
        runtime.fail("so is the reader")

    assert exit_code(start) == 1
    assert steps == ["first opened", "first closed"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["ready", "stopping", "failed"]
    assert lines[-1]["reason"] == "the writer is gone"


def test_a_stop_that_hangs_ends_with_1(monkeypatch: pytest.MonkeyPatch, capsys: CapSys) -> None:
    """After STOP_SECONDS, with a line."""
    monkeypatch.setattr(service, "STOP_SECONDS", 0.05)
    steps: list[str] = []

    async def start(settings: Settings, runtime: Runtime[Settings]) -> None:
        await runtime.stack.enter_async_context(Part(steps).named("slow", closing_seconds=60))
        soon()

    assert exit_code(start) == 1
    assert steps[0] == "slow opened"
    assert events(capsys) == ["ready", "stopping", "stop_took_too_long"]
