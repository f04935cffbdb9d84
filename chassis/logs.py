"""One line for each event, `key=value` or JSON, on standard output, safe against injected bytes.

Whatever a client sent is shown as printable ASCII: other bytes become escapes, and a long value is cut.
The levels are those of `MTPOLICYD_DEBUG`.
"""

import os
import select
import stat
import sys
import traceback
import weakref
from collections.abc import Callable, MutableMapping
from enum import IntEnum
from pathlib import Path
from typing import Any, TextIO

import structlog

from chassis.printable import printable

TRACE_FRAMES = 5


class Level(IntEnum):
    """What `MTPOLICYD_DEBUG` counts."""

    ERROR = 0
    WARNING = 1
    NOTICE = 2
    INFO = 3
    DEBUG = 4


class Logger(structlog.BoundLoggerBase):
    """A structlog logger with syslog's level `notice`, which the standard library lacks.

    The values of an event may be str, bytes, numbers or None.
    """

    def __init__(self, *args: Any, threshold: Level = Level.DEBUG, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.threshold = threshold

    def error(self, event: str, **values: object) -> None:
        self._log(Level.ERROR, event, values)

    def warning(self, event: str, **values: object) -> None:
        self._log(Level.WARNING, event, values)

    def notice(self, event: str, **values: object) -> None:
        self._log(Level.NOTICE, event, values)

    def info(self, event: str, **values: object) -> None:
        self._log(Level.INFO, event, values)

    def debug(self, event: str, **values: object) -> None:
        self._log(Level.DEBUG, event, values)

    def exception(self, event: str, **values: object) -> None:
        """An error with the trace of the exception that is being handled, in one line."""
        self._log(Level.ERROR, event, values | {"exc_info": True})

    def set_threshold(self, debug: int) -> None:
        """Write lines up to this level from now on. Args: debug: 0 to 4."""
        self.threshold = Level(debug)

    def on_lost(self, count: Callable[[], None]) -> None:
        """Have `count` called for each line that could not be written."""
        if isinstance(self._logger, LineSink):
            self._logger.on_lost = count

    def enabled(self, level: Level) -> bool:
        """Whether a line of this level would be written, for callers on a hot path."""
        return level <= self.threshold

    def _log(self, level: Level, event: str, values: dict[str, object]) -> None:
        if level <= self.threshold:
            self._proxy_to_logger("msg", event, level=level.name.lower(), **values)


class LineSink:
    """Writes lines to a stream without ever waiting for it and without ever raising.

    A pipe that nobody reads, a stopped terminal, a full disk or a reader that is gone cost lines, which are
    counted, and never an answer.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.on_lost: Callable[[], None] = lambda: None
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):  # a stream that is no file
            self._descriptor = None
        self._poll = select.poll()
        if self._descriptor is not None:
            if (own := _opened_again(self._descriptor)) is not None:
                weakref.finalize(self, os.close, own)
                self._descriptor = own
            self._poll.register(self._descriptor, select.POLLOUT)

    def msg(self, line: str) -> None:
        """Write one line, or count it as lost."""
        try:
            if self._descriptor is None:
                self._stream.write(f"{line}\n")
                return
            # A pipe that polls as writable takes PIPE_BUF bytes at once, whole (pipe(7)).
            data = line.encode("ascii", "backslashreplace")[: select.PIPE_BUF - 1] + b"\n"
            (ready,) = self._poll.poll(0) or [(0, 0)]
            if ready[1] & select.POLLOUT and os.write(self._descriptor, data) == len(data):
                return
        except (OSError, ValueError):
            pass
        self.on_lost()


def _opened_again(descriptor: int) -> int | None:
    """A pipe or a terminal, opened once more, for this process alone and never to wait; None if it cannot be.

    A terminal polls as writable while it takes a single byte, and waits for its reader with the rest. The
    other processes that write to a pipe may fill it behind the poll. To set O_NONBLOCK on the descriptor
    itself would set it for those too.
    """
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            return os.open(
                f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            )
    except OSError:
        # It may be another user's, or the pipe's reader is gone.
        pass
    return None


def open_log(*, service: str, debug: int, log_format: str, stream: TextIO | None = None) -> Logger:
    """Make the process's logger.

    Args:
        debug: 0 to 4.
        log_format: `keyvalue` or `json`.
        stream: default: standard output.
    """
    render: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.processors.LogfmtRenderer(key_order=["time", "level", "service", "event"])
    )
    return Logger(
        LineSink(stream or sys.stdout),
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            describe_exception,
            printable_values,
            render,
        ],
        context={"service": service},
        threshold=Level(debug),
    )


def describe_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put what was raised, and the innermost frames, in the place of `exc_info`: a line holds no trace."""
    if event.pop("exc_info", False):
        error = sys.exc_info()[1]
        event["exception"] = f"{type(error).__name__}: {error}"
        frames = traceback.extract_tb(error.__traceback__ if error else None)[-TRACE_FRAMES:]
        event["trace"] = " > ".join(f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in frames)
    return event


def printable_values(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make every value of an event safe to write; numbers stay numbers."""
    for key, value in event.items():
        if not isinstance(value, int | float | None):
            event[key] = printable(value)
    return event
