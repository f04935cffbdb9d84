"""What `mtpolicyctl` says of the settings file: what is wrong in it, and what is in force."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from mtpolicyd_ucs import places
from mtpolicyd_ucs.settings_file import variable_of

SECONDS = 30
# How mtpolicyctl names a setting of a file.
SETTING_LINE = re.compile(r"(?:univention-mtpolicyd: )?(?P<file>/[^:]*):\d+: (?P<key>\w+)(?P<rest>.*)")
_WARNING = "warning: "


class InForce(NamedTuple):
    """Settings by their names in the file, as text; None if there are none: nothing good, now or before."""

    settings: Mapping[str, str] | None
    wrong: tuple[str, ...]  # what is wrong in the file, in the words of UCR
    doubtful: tuple[str, ...]  # what is allowed but was hardly meant


def in_force() -> InForce:
    """Ask. Raises OSError or subprocess.SubprocessError if there is nobody to ask."""
    done = ask("show-config", "--json")
    lines = [line.removeprefix("univention-mtpolicyd: ") for line in done.stderr.splitlines()]
    settings = None
    if done.returncode == 0:
        settings = {key: str(row["value"]) for key, row in json.loads(done.stdout).items()}
    return InForce(
        settings,
        tuple(in_words_of_ucr(line) for line in lines if not line.startswith(_WARNING)),
        tuple(in_words_of_ucr(line.removeprefix(_WARNING)) for line in lines if line.startswith(_WARNING)),
    )


def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Call mtpolicyctl. Raises OSError or subprocess.SubprocessError."""
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


def in_words_of_ucr(line: str) -> str:
    """`FILE:7: port = '99999' is not allowed` names a variable instead."""
    match = SETTING_LINE.match(line)
    variable = variable_of(match["key"]) if match else None
    return f"{variable}{match['rest']}" if match and variable else line
