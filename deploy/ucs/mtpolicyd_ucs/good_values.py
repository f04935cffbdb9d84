"""Of each variable a value that is allowed: its own, or the one before, which the file still has.

A wrong value holds back nothing but itself: the file that is written is a good one, so the services take over
all else, and the next boot has what is in force now. The memory is the file itself.
"""

import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mtpolicyd_ucs import places
from mtpolicyd_ucs.in_force import SETTING_LINE, ask, in_words_of_ucr
from mtpolicyd_ucs.settings_file import MARK, SETTINGS, Registry, mark_of, text_of, values_of, variable_of
from mtpolicyd_ucs.telling import warn

Values = Mapping[str, str]  # key to TOML value


def settings_file(registry: Registry) -> str:
    """The text of the file; the admin is told which variables do not have their own value in it."""
    wanted = values_of(registry)
    return f"{mark_of(wanted)}\n{_of_good_values(wanted)}"


def is_outdated(registry: Registry) -> bool:
    """Whether the file was made of values that another change has replaced since."""
    lines = places.SETTINGS_FILE.read_text(encoding="utf-8", errors="replace").splitlines()
    marks = [line for line in lines if line.startswith(MARK)]
    return bool(marks) and marks != [mark_of(values_of(registry))]


def _of_good_values(wanted: Values) -> str:
    try:
        wrong = _wrong(wanted)
        before = _values_before() if wrong else {}
        values = _replaced(wanted, wrong, before)
        # An older version may have allowed more.
        values = _without(values, _wrong(values)) if wrong else values
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        # The services look themselves, and refuse the whole of a file that is wrong.
        warn(f"whether the values are allowed cannot be asked now: {error}")
        return text_of(wanted)
    remarks = {}
    for key, line in wrong.items():
        variable = variable_of(key)
        warn(line)
        if key in values:
            warn(f"{variable}: the value before stays in force until this is mended: {values[key]}")
            remarks[key] = f"{variable} is not allowed as it is set now; this is the value before:"
        else:
            warn(f"{variable}: the default is in force until this is mended")
            remarks[key] = f"{variable} is not allowed as it is set now; the default is in force."
    return text_of(values, remarks)


def _wrong(values: Values) -> dict[str, str]:
    """Keys whose values are not allowed, and why.

    Raises:
        OSError, subprocess.SubprocessError: there is nobody to ask.
        ValueError: something else is wrong.
    """
    with TemporaryDirectory() as directory:
        file = Path(directory) / "settings.toml"
        file.write_text(text_of(values))
        done = ask("check-config", str(file))
    if done.returncode == 0:
        return {}
    found = {}
    for line in done.stderr.splitlines():
        match = SETTING_LINE.match(line)
        if match and match["file"] == str(file) and match["key"] in values:
            found[match["key"]] = in_words_of_ucr(line)
    if not found:
        raise ValueError(" ".join(done.stderr.split()) or f"exit code {done.returncode}")
    return found


def _replaced(wanted: Values, wrong: Iterable[str], before: Values) -> Values:
    return {**_without(wanted, wrong), **{key: before[key] for key in wrong if key in before}}


def _without(values: Values, keys: Iterable[str]) -> Values:
    leave_out = set(keys)
    return {key: value for key, value in values.items() if key not in leave_out}


def _values_before() -> Values:
    """Of the file as it is. It is read as what it should be; what somebody else has put there is left out."""
    found: dict[str, object] = {}
    with suppress(OSError, ValueError):  # tomllib's errors and those of UTF-8 are ValueErrors
        found = tomllib.loads(places.SETTINGS_FILE.read_text(encoding="utf-8"))
    return {
        setting.key: setting.write(str(value))
        for setting in SETTINGS
        if isinstance(value := found.get(setting.key), str | int)
    }
