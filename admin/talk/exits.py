"""The exit codes of all commands that ask or change something, and the one line that says why."""

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from chassis.settings import EXIT_SETTINGS

EXIT_NO = 1  # the answer is no: nothing is known, nothing was to be done, something is not well
EXIT_WRONG = EXIT_SETTINGS  # wrong input, settings or token: nothing was changed
EXIT_NO_SERVICE = 3  # a service does not answer
EXIT_NO_ROOM = os.EX_IOERR  # the output could not be written
EXIT_NO_READER = 128 + signal.SIGPIPE  # as a shell tells of any program whose reader has gone

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class EndError(Exception):
    """Ends a command with an exit code and, on standard error, one line."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


def wrong(line: str) -> EndError:
    """What was asked for cannot be; nothing was changed."""
    return EndError(EXIT_WRONG, line)


P = ParamSpec("P")


def command(body: Callable[P, None]) -> Callable[P, None]:
    """A command of `mtpolicyctl` whose EndErrors end the process as they say.

    With `as_json` their line is an object: standard output has results alone, or nothing.
    If whoever reads the output goes before its end, so does the command, without a word; if the disk that it
    is written to is full, with one.
    """

    @wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            body(*args, **kwargs)
            # Not at the process's end, where an error can only be complained of.
            sys.stdout.flush()
        except EndError as error:
            line = str(error)
            if kwargs.get("as_json"):
                line = json.dumps({"error": line, "exit_code": error.code})
            typer.echo(line, err=True)
            raise typer.Exit(error.code) from error
        except BrokenPipeError as error:
            forget_reader()
            raise typer.Exit(EXIT_NO_READER) from error
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            forget_reader()
            typer.echo(f"the output cannot be written: {error.strerror}", err=True)
            raise typer.Exit(EXIT_NO_ROOM) from error

    return run


def forget_reader() -> None:
    """Nothing goes to standard output any more: Python is not to complain once more when it closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
