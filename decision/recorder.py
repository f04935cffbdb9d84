"""Records every request of a user with its answer, for `mtpolicyctl replay`; record_format.py has the form.

The event loop hands a request over and goes on; one thread writes what has gathered. What does not fit, or
cannot be written, is lost and counted, and never changes or delays an answer.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from chassis.logs import Logger
from chassis.metrics import Metrics
from decision.origins import Origin
from decision.record_files import RequestFiles, read_key
from decision.record_format import (
    MAX_LINE_BYTES,
    MAX_TEXT_BYTES,
    RecordedRequest,
    text_bytes,
    write_request,
)
from decision.settings import Settings
from decision.verdict import MailEvent

MAX_WAITING = 4096
# Requests gather for so long: a thread that woke for each would hold up the event loop.
GATHER_SECONDS = 0.02
STOP_SECONDS = 2.0


class Target(NamedTuple):
    """Where the settings want requests to be recorded, and how."""

    directory: Path
    max_bytes: int
    files: int
    key_file: Path | None


class _Use(NamedTuple):
    """What the thread is to do from here on; None: record nothing."""

    target: Target | None


Waiting = queue.SimpleQueue[RecordedRequest | _Use | None]


class Recorder:
    """Lives in one event loop; its thread starts when recording is switched on for the first time."""

    def __init__(self, *, log: Logger, metrics: Metrics) -> None:
        self._log = log
        self._lost = metrics.counter("record_lines_lost_total", "Requests that could not be recorded.")
        self._waiting: Waiting = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def use(self, settings: Settings) -> Self | None:
        """Record as these settings say from now on, with the key file as it is now; None: not at all."""
        target = None
        if settings.record_directory is not None:
            target = Target(
                settings.record_directory,
                settings.record_max_bytes,
                settings.record_files,
                settings.record_key_file,
            )
        if self._thread is None and target is not None:
            writer = _Writer(self._waiting, self._lost.inc, self._log)
            self._thread = threading.Thread(target=writer.run, name="recorder", daemon=True)
            self._thread.start()
        if self._thread is not None:
            self._waiting.put(_Use(target))
        return self if target is not None else None

    def record(self, event: MailEvent, origin: Origin, verb: str, rule: str) -> None:
        """Have a request written with its answer, or count it as lost. Never waits."""
        if self._waiting.qsize() >= MAX_WAITING or text_bytes(event) > MAX_TEXT_BYTES:
            self._lost.inc()
            return
        self._waiting.put(RecordedRequest(round(time.time() * 1000), event, origin, False, verb, rule))

    async def close(self) -> None:
        """Write what waits; a disk that hangs holds up the end for two seconds at most."""
        if self._thread is not None:
            self._waiting.put(None)
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)


class _Writer:
    """The thread's side. Args: lost: is told how many requests were not written."""

    def __init__(self, waiting: Waiting, lost: Callable[[float], None], log: Logger) -> None:
        self._waiting = waiting
        self._lost = lost
        self._log = log
        self._target: Target | None = None
        self._files: RequestFiles | None = None
        self._key = b""
        self._works = True

    def run(self) -> None:
        """Until None comes."""
        try:
            while self._round():
                pass
        except Exception:
            self._log.exception("recorder_died", consequence="requests are not recorded")
        finally:
            self._close()

    def _round(self) -> bool:
        item = self._waiting.get()
        gathered: list[RecordedRequest] = []
        if isinstance(item, RecordedRequest):
            time.sleep(GATHER_SECONDS)
        while isinstance(item, RecordedRequest):
            gathered.append(item)
            if len(gathered) >= MAX_WAITING or self._waiting.empty():
                break
            item = self._waiting.get()
        if gathered:
            self._write(gathered)
        if isinstance(item, _Use):
            self._take(item.target)
        return item is not None

    def _take(self, target: Target | None) -> None:
        if target != self._target:
            self._works = True
            self._log.notice("recording_changed", directory=target.directory if target else None)
        self._close()
        self._target = target
        if target is not None:
            # A directory or key that is missing is told at once, not with the first mail.
            self._write(())

    def _write(self, requests: Sequence[RecordedRequest]) -> None:
        try:
            files = self._open()
        except (OSError, ValueError) as error:
            self._failed(error, len(requests))
            return
        for lines, count in _portions(write_request(request, self._key) for request in requests):
            try:
                files.append(lines)
            except OSError as error:
                self._failed(error, count)
            else:
                self._succeeded()

    def _open(self) -> RequestFiles:
        """The files, and with them the key. Raises OSError, ValueError."""
        if self._files is None:
            assert self._target is not None
            directory, max_bytes, keep, key_file = self._target
            files = RequestFiles(directory, max_bytes=max_bytes, keep=keep)
            # The key first: without it nothing must be written that would show an address.
            self._key = read_key(key_file) if key_file else b""
            files.open()
            self._files = files
        return self._files

    def _close(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None

    def _failed(self, error: Exception, lost: int) -> None:
        self._lost(lost)
        if self._works:
            self._works = False
            self._log.error("recording_failed", reason=error, consequence="requests are not recorded")

    def _succeeded(self) -> None:
        if not self._works:
            self._works = True
            self._log.warning("recording_works_again")


def _portions(lines: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Lines joined to what is written at once, each portion with its number of lines."""
    portion = bytearray()
    count = 0
    for line in lines:
        if count and len(portion) + len(line) > MAX_LINE_BYTES:
            yield bytes(portion), count
            portion.clear()
            count = 0
        portion += line
        count += 1
    if count:
        yield bytes(portion), count
