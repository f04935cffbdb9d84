"""What a running service does with a changed file; the loop and real services are in tests/integration."""

import asyncio
import os
import signal
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from chassis.config import Config, ConfigFile, LastGood, check
from chassis.reload import Reloader, _signature
from chassis.settings import SettingsError
from frontend.settings import Settings
from tests.support.observed import Observed


class Service:
    """A reloader with a file, and what it has told."""

    def __init__(self, directory: Path, text: str) -> None:
        self.path = directory / "settings.toml"
        self.path.write_text(text)
        self.seen = Observed()
        self.last_good = LastGood(directory, "frontend")
        self.taken: list[Config[Settings]] = []
        config = check(Settings, ConfigFile(str(self.path), text))
        self.reloader = Reloader(
            config,
            self.path,
            self.last_good,
            log=self.seen.log.logger,
            metrics=self.seen.metrics,
        )
        self.reloader.on_change(self.taken.append)

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self.reloader.reload()


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path, 'on_failure = "dunno"')


def test_a_good_file_is_in_force(service: Service) -> None:
    """Listeners get one snapshot with its version; the copy is renewed."""
    service.write('on_failure = "defer"')

    (config,) = service.taken
    assert config.settings.on_failure == "defer"
    assert service.reloader.config is config
    assert service.seen.log.events == ["settings_changed"]
    copy = service.last_good.read()
    assert copy is not None
    assert copy.text == 'on_failure = "defer"'


def test_what_was_hardly_meant_is_said_once_it_is_in_force(service: Service) -> None:
    """A network with host bits is taken, and named in the log."""
    service.write('allowed_clients = "192.0.2.1/24"')

    assert service.seen.log.events == ["settings_changed", "settings_doubtful"]


def test_a_wrong_file_changes_nothing(service: Service) -> None:
    """One line for each form of the file, and the metric, until it is good again."""
    before = service.reloader.config
    service.write("on_failure = 1")
    service.reloader.reload()
    assert (service.taken, service.reloader.config) == ([], before)
    assert service.seen.log.events == ["settings_refused"]
    assert service.seen.sample("config_last_reload_successful") == 0

    service.write('on_failure = "dunno"')
    assert service.seen.sample("config_last_reload_successful") == 1
    assert service.taken == []


def test_when_the_settings_in_force_were_read_is_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if they are the same: who asked for a reload sees that it is done. A wrong file moves nothing."""
    told = []
    for number, text in enumerate(("# the same", "on_failure = 1", 'on_failure = "defer"')):
        clock = SimpleNamespace(time=lambda number=number: 1000 + number)
        monkeypatch.setattr("chassis.reload.time", clock)
        service.write(text + "\n")
        told.append(service.seen.sample("config_last_reload_success_timestamp_seconds"))

    assert told == [1000, 1000, 1002]


def test_a_file_that_is_gone_changes_nothing(service: Service) -> None:
    """It may be on its way back."""
    service.path.unlink()
    service.reloader.reload()

    assert service.taken == []
    assert service.seen.sample("config_last_reload_successful") == 0


def test_what_needs_a_restart_keeps_its_value_and_is_named(service: Service) -> None:
    """The rest is taken over."""
    service.write('port = 999\non_failure = "defer"')

    (config,) = service.taken
    assert (config.settings.port, config.settings.on_failure) == (12345, "defer")
    assert service.seen.log.events == ["settings_need_restart", "settings_changed"]


def test_the_same_settings_in_another_form_are_no_change(service: Service) -> None:
    """A comment or another order."""
    service.write('# comment\non_failure = "dunno"\nthreshold = 5')

    assert (service.taken, service.seen.log.events) == ([], [])


async def test_mended_access_rights_are_noticed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file could not be read when it was looked at; chmod(1) changes neither its text nor its mtime."""
    monkeypatch.setattr("chassis.reload.INTERVAL_SECONDS", 0.001)
    taken = asyncio.Event()
    service.reloader.on_change(lambda _: taken.set())

    def forbidden(path: Path) -> ConfigFile:
        raise SettingsError([f"{path} cannot be read: Permission denied"])

    with monkeypatch.context() as patch:
        patch.setattr("chassis.reload.read_file", forbidden)
        service.path.chmod(0)
        service.write('on_failure = "defer"')
    async with service.reloader.watching():
        service.path.chmod(0o640)
        await asyncio.wait_for(taken.wait(), 5)

    assert service.seen.log.events == ["settings_refused", "settings_changed"]


async def test_a_file_is_read_when_it_has_stopped_changing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes in place empties it first, and then writes a piece at a time, for as long as that takes."""
    service = Service(tmp_path, 'on_failure = "defer"')
    monkeypatch.setattr("chassis.reload.INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr("chassis.reload.SETTLE_SECONDS", 0.001)
    taken = asyncio.Event()
    service.reloader.on_change(lambda _: taken.set())

    # Each time that it is looked at again, to see whether it rests, there is more of it.
    looks, pieces = count(1), {2: "debug = 4", 4: 'debug = 3\non_failure = "defer"'}

    def look(path: Path) -> tuple[int, ...] | None:
        piece = pieces.get(next(looks))
        if piece is not None:
            path.write_text(piece)
        return _signature(path)

    monkeypatch.setattr("chassis.reload._signature", look)
    async with service.reloader.watching():
        service.path.write_text("")
        await asyncio.wait_for(taken.wait(), 5)

    assert [(config.settings.on_failure, config.settings.debug) for config in service.taken] == [("defer", 3)]


async def test_many_sighups_are_few_readings(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is one at once; the others share the next, after a pause."""
    monkeypatch.setattr("chassis.reload.PAUSE_SECONDS", 60)
    read = asyncio.Event()
    readings = 0

    def reload() -> None:
        nonlocal readings
        readings += 1
        read.set()

    monkeypatch.setattr(service.reloader, "reload", reload)
    async with service.reloader.watching():
        for _ in range(20):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.wait_for(read.wait(), 5)
            await asyncio.sleep(0)

    assert readings == 1


async def test_a_watch_that_ends_by_a_bug_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would notice otherwise that changes are no longer taken over; SIGHUP still has them read."""
    monkeypatch.setattr("chassis.reload.INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr("chassis.reload.SETTLE_SECONDS", 0.001)
    called, again = asyncio.Event(), asyncio.Event()

    def fail(_: Config[Settings]) -> None:
        if not called.is_set():
            called.set()
            raise ValueError("a bug")
        again.set()

    service.reloader.on_change(fail)
    async with service.reloader.watching():
        service.path.write_text('on_failure = "defer"')
        await asyncio.wait_for(called.wait(), 5)
        await asyncio.sleep(0.01)
        assert service.seen.log.events == ["settings_changed", "settings_no_longer_watched"]
        assert service.seen.sample("config_last_reload_successful") == 0
        service.path.write_text("debug = 3")
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(again.wait(), 5)

    assert service.taken[-1].settings.debug == 3


def test_what_is_wrong_with_the_file_can_be_asked(service: Service) -> None:
    """As long as it is wrong."""
    assert service.reloader.error == ""
    service.write("port = 0\nhots = 1")
    wrong = service.reloader.error
    service.write('on_failure = "defer"')

    assert "port = 0 is not allowed" in wrong
    assert "; " in wrong
    assert service.reloader.error == ""
