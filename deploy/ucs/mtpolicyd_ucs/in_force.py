"""What `mtpolicyctl` says of the settings file: what is wrong in it, and what is in force."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mtpolicyd_ucs import places
from mtpolicyd_ucs.settings_file import variable_of

SECONDS = 30
SERVICES = ("quota", "decision", "frontend")
_WARNING = "warning: "


class InForce(NamedTuple):
    """Settings by their names in the file, as text; None if there are none: nothing good, now or before."""

    settings: Mapping[str, str] | None
    wrong: tuple[str, ...]  # what is wrong in the file, in the words of UCR
    doubtful: tuple[str, ...]  # what is allowed but was hardly meant


def in_force() -> InForce:
    """Ask. Raises OSError or subprocess.SubprocessError if there is nobody to ask."""
    done = _ask("show-config", "--json")
    lines = [line.removeprefix("univention-mtpolicyd: ") for line in done.stderr.splitlines()]
    settings = None
    if done.returncode == 0:
        settings = {key: str(row["value"]) for key, row in json.loads(done.stdout).items()}
    return InForce(
        settings,
        tuple(_in_words_of_ucr(line) for line in lines if not line.startswith(_WARNING)),
        tuple(_in_words_of_ucr(line.removeprefix(_WARNING)) for line in lines if line.startswith(_WARNING)),
    )


def make_last_good() -> None:
    """Give the services something to start with: the file without its wrong lines, as its last good copies.

    For a first start with a variable that was wrong before. A copy that there is stays.
    """
    wrong = {
        match[1]
        for line in _ask("check-config", str(places.SETTINGS_FILE)).stderr.splitlines()
        if (match := re.search(r":\d+: (\w+) ", line))
    }
    lines = places.SETTINGS_FILE.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if line.partition(" = ")[0] not in wrong)
    for service in SERVICES:
        _make(places.STATE / f"settings-{service}.toml", text)


def _make(path: Path, text: str) -> None:
    # The directory belongs to the services: nothing that lies there already is written to, or followed.
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        with suppress(LookupError):  # a test has no such user
            shutil.chown(path, places.USER, places.USER)


def _ask(*arguments: str) -> subprocess.CompletedProcess[str]:
    # No variable of the admin's shell may stand before the file.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MTPOLICYD_")}
    return subprocess.run(
        [str(places.MTPOLICYCTL), *arguments],
        env={**environment, "MTPOLICYD_CONFIG": str(places.SETTINGS_FILE)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _in_words_of_ucr(line: str) -> str:
    """`FILE:7: port = '99999' is not allowed` names a variable instead."""
    match = re.match(rf"{re.escape(str(places.SETTINGS_FILE))}:\d+: (\w+)(.*)", line)
    variable = variable_of(match[1]) if match else None
    return f"{variable}{match[2]}" if match and variable else line
