"""The recording of requests."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from decision import recorder as module
from decision.origins import Kind, Origin
from decision.record_files import RequestFiles
from decision.record_format import MAX_TEXT_BYTES, RecordedRequest, read_request
from decision.recorder import MAX_WAITING, Recorder
from decision.settings import Settings
from decision.verdict import MailEvent
from tests.support.mails import mail
from tests.support.observed import Observed
from tests.support.services import wait_until

LOOPBACK = Origin(Kind.LOOPBACK)


class Recording:
    """A recorder and where it writes."""

    def __init__(self, seen: Observed, directory: Path) -> None:
        self.seen = seen
        self.directory = directory
        self.recorder = Recorder(log=seen.log.logger, metrics=seen.metrics)

    def use(self, **settings: Any) -> bool:
        """Whether it records with these settings."""
        wanted = Settings(**({"record_directory": str(self.directory)} | settings))
        return self.recorder.use(wanted) is not None

    def record(self, event: MailEvent | None = None) -> None:
        self.recorder.record(event or mail(), LOOPBACK, "DUNNO", "none")

    @property
    def requests(self) -> list[RecordedRequest]:
        path = self.directory / "requests.jsonl"
        return [read_request(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    @property
    def lost(self) -> float | None:
        return self.seen.sample("record_lines_lost_total")

    def wait_recorded(self, count: int) -> None:
        wait_until(lambda: len(self.requests) == count, what=f"{count} requests are recorded")

    def wait_lost(self, count: int) -> None:
        wait_until(lambda: self.lost == count, what=f"{count} requests are lost")

    def wait_told(self, event: str) -> None:
        wait_until(lambda: event in self.seen.log.events, what=f"{event} is told")


@pytest.fixture
async def recording(seen: Observed, tmp_path: Path) -> AsyncIterator[Recording]:
    recording = Recording(seen, tmp_path)
    yield recording
    await recording.recorder.close()


async def test_a_request_is_written_with_its_answer(recording: Recording) -> None:
    """At the time of the answer."""
    assert recording.use()
    before = time.time()
    recording.recorder.record(mail(), LOOPBACK, "REJECT", "country")
    recording.wait_recorded(1)
    (request,) = recording.requests

    assert request.event.login == b"Alice"
    assert (request.origin, request.verb, request.rule) == (LOOPBACK, "REJECT", "country")
    assert before - 1 <= request.time_unix_ms / 1000 <= time.time() + 1


async def test_it_is_off_by_default(recording: Recording) -> None:
    """No thread, no file."""
    assert recording.recorder.use(Settings()) is None
    assert list(recording.directory.iterdir()) == []
    assert recording.recorder._thread is None


async def test_what_waits_is_written_at_the_end(recording: Recording) -> None:
    """All of it."""
    recording.use()
    for _ in range(1000):
        recording.record()
    await recording.recorder.close()

    assert len(recording.requests) == 1000
    assert recording.lost == 0


async def test_it_is_switched_over_between_two_requests(recording: Recording) -> None:
    """What came before is written as it was, nothing comes after the end; the log tells of each switch."""
    key = recording.directory / "key"
    key.write_text("k" * 16)
    recording.use()
    recording.record()
    recording.use(record_key_file=str(key))
    recording.record()
    assert not recording.use(record_directory="")
    await recording.recorder.close()

    assert [request.hashed for request in recording.requests] == [False, True]
    assert [(line["event"], line["directory"]) for line in recording.seen.log.lines] == [
        ("recording_changed", directory) for directory in (recording.directory, recording.directory, None)
    ]


@pytest.mark.parametrize("content", [None, "", "short"])
async def test_without_its_key_nothing_is_written(recording: Recording, content: str | None) -> None:
    """And an error says so once; with the key it goes on by itself."""
    key = recording.directory / "key"
    if content is not None:
        key.write_text(content)
    assert recording.use(record_key_file=str(key))
    recording.wait_told("recording_failed")
    recording.record()
    recording.record()
    recording.wait_lost(2)
    assert not (recording.directory / "requests.jsonl").exists()
    key.write_text("k" * 16)
    recording.record()
    recording.wait_recorded(1)
    recording.wait_told("recording_works_again")

    assert recording.requests[0].hashed
    (line,) = [line for line in recording.seen.log.lines if line["event"] == "recording_failed"]
    assert line["level"] == "error"
    assert "key" in str(line["reason"])


async def test_an_outage_is_one_line_however_long(recording: Recording) -> None:
    """Also when the settings are taken over meanwhile; every request is counted."""
    directory = recording.directory / "later"
    recording.use(record_directory=str(directory))
    for number in range(1, 4):
        recording.record()
        recording.wait_lost(number)
        recording.use(record_directory=str(directory))
    directory.mkdir()
    recording.record()
    recording.wait_told("recording_works_again")

    assert recording.seen.log.events.count("recording_failed") == 1


async def test_a_disk_that_hangs_costs_requests_and_nothing_else(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into the queue is lost; the caller, and the end, do not wait."""
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(RequestFiles, "append", lambda *_: time.sleep(1))
    recording.use()
    recording.record()
    started = time.monotonic()
    await asyncio.sleep(0.1)
    for _ in range(MAX_WAITING + 100):
        recording.record()
    await recording.recorder.close()

    assert time.monotonic() - started < 1
    assert recording.lost == 100


async def test_a_request_that_is_too_long_is_lost(recording: Recording) -> None:
    """The others are not."""
    recording.use()
    recording.record(mail(login=b"x" * MAX_TEXT_BYTES))
    recording.record()
    recording.wait_recorded(1)

    assert recording.lost == 1


async def test_a_bug_ends_the_recording_alone(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and whoever records does not notice."""
    monkeypatch.setattr(module, "write_request", lambda *_: 1 / 0)
    recording.use()
    recording.record()
    recording.wait_told("recorder_died")
    recording.record()

    assert recording.requests == []
