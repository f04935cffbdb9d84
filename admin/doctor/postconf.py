"""Postfix's configuration, as postconf(1) prints it: it is Postfix that reads, joins and expands its files.

postconf -n    NAME = VALUE              what main.cf sets, unexpanded
postconf -M    NAME TYPE ... COMMAND     the services of master.cf, one a line
postconf -P    NAME/TYPE/PARAMETER = VALUE   their -o overrides, the last of several
postconf -x    NAME = VALUE              values in force, `$name` expanded; -o as a service overrides
"""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from admin.doctor.lists import split_braced
from admin.doctor.wording import Told

SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])
SECONDS = 30.0
MAX_BYTES = 64 * 1024 * 1024


class PostfixMissing(Told):
    """There is no Postfix, or its configuration cannot be read."""


class Service(NamedTuple):
    """One line of master.cf.

    Attributes:
        chroot: the column, `y`, `n` or `-`.
        overrides: what its -o options set, unexpanded.
        doubtful: an -o option that postconf itself does not understand, empty if there is none.
        twice: master.cf has it more than once; postconf mixes their options.
    """

    name: str
    type: str
    chroot: str
    command: str
    arguments: tuple[str, ...]
    overrides: Mapping[str, str]
    doubtful: str = ""
    twice: bool = False

    @property
    def key(self) -> str:
        """As postconf -P names it."""
        return f"{self.name}/{self.type}"


def program(name: str) -> str:
    """Path of one of Postfix's commands. Raises PostfixMissing."""
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        raise PostfixMissing("no_program", name)
    return path


def run(command: Sequence[str]) -> tuple[int, bytes, str]:
    """Exit code, standard output, and the last line of standard error, of a command that only reads.

    Raises:
        PostfixMissing: it does not end, or prints too much.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, no shell
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostfixMissing("not_run", command[0], str(error)) from error
    if len(done.stdout) > MAX_BYTES:
        raise PostfixMissing("prints_too_much", command[0], str(MAX_BYTES))
    errors = done.stderr.decode("utf-8", "replace").splitlines()
    fatal = [line for line in errors if "fatal:" in line] or errors[-1:]
    return done.returncode, done.stdout, fatal[0] if fatal else ""


class Postconf:
    """Asks postconf. Args: directory: of main.cf; None: Postfix's own."""

    def __init__(self, directory: Path | None = None) -> None:
        self._command = [program("postconf"), *(("-c", str(directory)) if directory else ())]

    def main(self) -> dict[str, str]:
        """What main.cf sets. Raises PostfixMissing."""
        return _pairs(self._lines("-n"))

    def services(self) -> list[Service]:
        """The services of master.cf, in its order. Raises PostfixMissing."""
        overrides: dict[str, dict[str, str]] = {}
        for name, value in _pairs(self._lines("-P")).items():
            service, _, parameter = name.rpartition("/")
            overrides.setdefault(service, {})[parameter] = value
        found = [read_service(line, overrides) for line in self._lines("-M") if line.strip()]
        # master(8) uses the last one.
        last = {service.key: service for service in found}
        count = Counter(service.key for service in found)
        return [service._replace(twice=count[key] > 1) for key, service in last.items()]

    def values(self, names: Iterable[str], overrides: Mapping[str, str] | None = None) -> dict[str, str]:
        """Values in force, expanded; what Postfix does not know is left out. Raises PostfixMissing."""
        options = [f"-o{name}={value}" for name, value in (overrides or {}).items()]
        return _pairs(self._lines("-x", *options, *names))

    def _lines(self, *arguments: str) -> list[str]:
        code, output, error = run([*self._command, *arguments])
        if code != 0:
            raise PostfixMissing("configuration_unread", error)
        return output.decode("utf-8", "surrogateescape").splitlines()


def read_service(line: str, overrides: Mapping[str, Mapping[str, str]]) -> Service:
    """One line of `postconf -M`.

    Args:
        overrides: of each `NAME/TYPE`, from `postconf -P`.
    """
    name, kind, _, _, chroot, _, _, command, *rest = line.split(maxsplit=8)
    arguments = tuple(split_braced(rest[0], " \t")) if rest else ()
    doubtful = ""
    for option, value in pairwise(arguments):
        # postconf cuts `-oname=value` in pieces: what is overridden then is not what it prints.
        if option == "-o" and "=" not in value:
            doubtful = doubtful or value
    return Service(name, kind, chroot, command, arguments, overrides.get(f"{name}/{kind}", {}), doubtful)


def _pairs(lines: Iterable[str]) -> dict[str, str]:
    split = (line.partition(" =") for line in lines)
    return {name.strip(): value.strip() for name, found, value in split if found}
