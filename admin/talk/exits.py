"""The exit codes of all commands that ask or change something, and the one line that says why."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from chassis.settings import EXIT_SETTINGS

EXIT_NO = 1  # the answer is no: nothing is known, nothing was to be done, something is not well
EXIT_WRONG = EXIT_SETTINGS  # wrong input, settings or token: nothing was changed
EXIT_NO_SERVICE = 3  # a service does not answer


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
    """A command of `mtpolicyctl` whose EndErrors end the process as they say."""

    @wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            body(*args, **kwargs)
        except EndError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(error.code) from error

    return run
