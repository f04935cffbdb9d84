"""Where settings come from: the defaults, one TOML file, the environment; each beats the one before it.

The file is named by MTPOLICYD_CONFIG and has one table of the settings' names in lower case, without the
prefix. It is read as whatever it may be: bounded, never waited for, and refused with one line for each
thing that is wrong. A file that was good is kept in the state directory, for a start with a wrong one.
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import ValidationError

from chassis.files import read_whole
from chassis.settings import (
    PREFIX,
    TEST_PREFIX,
    ServiceSettings,
    SettingsError,
    allowed_text,
    complain,
    doubts,
    exit_with,
    is_concealed,
    nearest_name,
    registered,
)

CONFIG = f"{PREFIX}CONFIG"
MAX_FILE_BYTES = 1024 * 1024
# A wrong file may be another program's: more names than these are counted, not looked up and compared.
MAX_UNKNOWN = 20
MAX_DOUBTS = 20  # of one setting that are told
MAX_SHOWN = 100  # characters of a value or a name in an error line
ENVIRONMENT = "environment"
DEFAULT = "default"

S = TypeVar("S", bound=ServiceSettings)


class ConfigFile(NamedTuple):
    """The text of a file, and the name that error lines and `show-config` give it."""

    name: str
    text: str

    def line_of(self, key: str) -> str:
        """`NAME:LINE`, the line on which a key is set, or the name alone."""
        set_here = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
        for number, line in enumerate(self.text.splitlines(), 1):
            if set_here.match(line):
                return f"{self.name}:{number}"
        return self.name


class Config(NamedTuple, Generic[S]):
    """One immutable snapshot of a service's settings."""

    settings: S
    version: str  # eight hexadecimal digits: the same for the same settings
    sources: Mapping[str, str]  # where each field's value comes from
    doubts: tuple[str, ...] = ()  # what is allowed but was hardly meant


def config_path() -> Path | None:
    """The file that the environment names, if any."""
    value = os.environ.get(CONFIG, "")
    return Path(value) if value else None


def read_file(path: Path) -> ConfigFile:
    """Read a file of at most 1 MiB. Raises SettingsError for one that cannot be read or is no UTF-8 text."""
    try:
        return ConfigFile(str(path), read_whole(path, MAX_FILE_BYTES).decode())
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([f"{path} is no UTF-8 text (byte {error.start})"]) from error
    except ValueError as error:
        raise SettingsError([f"{path} {error}"]) from error


def check(cls: type[S], file: ConfigFile | None = None) -> Config[S]:
    """Check and join file and environment.

    Raises:
        SettingsError: a value is not allowed, or a name is not a setting of any service.
    """
    classes: list[type[ServiceSettings]] = [cls, *registered().values()]
    lines = list(_unknown_variables(classes))
    values = parse(file) if file else {}
    lines += _unknown_keys(file, values, classes) if file else ()
    own = {key: value for key, value in values.items() if key in cls.model_fields}
    try:
        settings = cls(**own)
    except ValidationError as error:
        lines += [_problem(cls, problem, file, own) for problem in error.errors()]
        raise SettingsError(dict.fromkeys(lines)) from None
    if lines:
        raise SettingsError(dict.fromkeys(lines))
    sources = {field: _source(field, file, own) for field in cls.model_fields}
    doubtful = [*_doubtful(cls, file, own), *_doubtful_together(settings, file, own)]
    digest = hashlib.blake2b(repr(sorted(settings.model_dump().items())).encode(), digest_size=4)
    return Config(settings, digest.hexdigest(), sources, tuple(doubtful))


def load(cls: type[S]) -> Config[S]:
    """`check` with the file that the environment names. Raises SettingsError."""
    path = config_path()
    return check(cls, read_file(path) if path else None)


class LastGood:
    """The last good file of a service, in the state directory.

    It is a help, not a promise: where it cannot be written there is none.
    """

    def __init__(self, directory: Path, service: str) -> None:
        self._path = directory / f"settings-{service}.toml"

    def keep(self, file: ConfigFile) -> None:
        """Replace the copy in one step."""
        kept = self.read()
        if kept is not None and kept.text == file.text:
            return
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            new.write_bytes(file.text.encode())  # whatever the locale's encoding is
            new.replace(self._path)

    def read(self) -> ConfigFile | None:
        """The copy, if there is one."""
        with suppress(SettingsError):
            return read_file(self._path)
        return None


class Started(NamedTuple, Generic[S]):
    """What a service starts with; `refused` says why that is not the file that it was given."""

    config: Config[S]
    file: ConfigFile | None  # that they come from
    last_good: LastGood
    refused: SettingsError | None


def in_force(service: str, cls: type[S]) -> Started[S]:
    """The file's settings, or, if that is wrong, those of its last good copy.

    Raises:
        SettingsError: without such a copy, or without a file.
    """
    path = config_path()
    # Where the state is must be known before the file is: the environment's word, or the default.
    last_good = LastGood(_statedir(cls), service)
    try:
        file = read_file(path) if path else None
        return Started(check(cls, file=file), file, last_good, None)
    except SettingsError as error:
        copy = last_good.read() if path else None
        with suppress(SettingsError):
            if copy is not None:
                return Started(check(cls, file=copy), copy, last_good, error)
        raise


def load_or_exit(service: str, cls: type[S]) -> Config[S]:
    """What a service has in force, for a command that asks it or speaks of it.

    What is wrong stands on standard error; without any settings that could be taken the exit code is 2.
    """
    try:
        started = in_force(service, cls)
    except SettingsError as error:
        exit_with(error)
    if started.refused is not None:
        tell_refused(started.refused, [started])
    return started.config


def tell_refused(error: SettingsError, instead: Iterable[Started[Any]]) -> None:
    """Say on standard error what is wrong, and what is taken instead."""
    copies = [started.file.name for started in instead if started.refused and started.file]
    complain([*error.lines, f"instead of it the last good settings are taken: {', '.join(copies)}"])


def start_config(service: str, cls: type[S]) -> Started[S]:
    """`in_force` for a service that starts, which keeps a copy of a good file, or ends with exit code 2."""
    try:
        started = in_force(service, cls)
    except SettingsError as error:
        exit_with(error)
    if started.file is not None and started.refused is None:
        started.last_good.keep(started.file)
    return started


def _statedir(cls: type[ServiceSettings]) -> Path:
    given = os.environ.get(f"{PREFIX}STATEDIR")
    default: Path = cls.model_fields["statedir"].get_default(call_default_factory=True, validated_data={})
    return Path(given) if given else default


def parse(file: ConfigFile) -> dict[str, Any]:
    """The keys and values of a file. Raises SettingsError."""
    try:
        return tomllib.loads(file.text)
    except RecursionError as error:
        raise SettingsError([f"{file.name} is no TOML: nested too deeply"]) from error
    except ValueError as error:  # TOMLDecodeError is one; so is what int() raises for thousands of digits
        raise SettingsError([f"{file.name} is no TOML: {error}"]) from error


def _unknown_variables(classes: Iterable[type[ServiceSettings]]) -> Iterator[str]:
    known = {PREFIX + field.upper() for cls in classes for field in cls.model_fields} | {CONFIG}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name not in known and not name.startswith(TEST_PREFIX):
            # Without its value, which may be a secret: MTPOLICYD_MAXMIND_LICENSE_KEY is no setting either.
            yield f"{name} is not a setting; {_hint(name, known)}"


def _unknown_keys(
    file: ConfigFile, values: Mapping[str, Any], classes: Iterable[type[ServiceSettings]]
) -> Iterator[str]:
    known = {field for cls in classes for field in cls.model_fields}
    unknown = [key for key in values if key not in known]
    for key in unknown[:MAX_UNKNOWN]:
        shown = key if key.isprintable() and len(key) <= MAX_SHOWN else _shown(key)
        yield f"{file.line_of(key)}: {shown} is not a setting; {_hint(key, known)}"
    if len(unknown) > MAX_UNKNOWN:
        yield f"{file.name}: {len(unknown) - MAX_UNKNOWN} more names are not settings"
    for key, value in values.items():
        if key in known and isinstance(value, bool | dict):
            # pydantic would take true for 1.
            allowed = next(allowed_text(cls, key) for cls in classes if key in cls.model_fields)
            yield f"{file.line_of(key)}: {key} = {_shown(value)} is not allowed; allowed: {allowed}"


def _hint(name: str, known: Iterable[str]) -> str:
    near = nearest_name(name, known)
    return f"did you mean {near}?" if near else "see `mtpolicyctl settings` for all names"


def _doubtful(cls: type[ServiceSettings], file: ConfigFile | None, own: Mapping[str, Any]) -> Iterator[str]:
    for field in cls.model_fields:
        variable = PREFIX + field.upper()
        if variable in os.environ:
            value, where = os.environ[variable], variable
        elif file and field in own:
            value, where = own[field], f"{file.line_of(field)}: {field}"
        else:
            continue
        found = list(doubts(cls, field, value))
        yield from (f"{where}: {doubt}" for doubt in found[:MAX_DOUBTS])
        if len(found) > MAX_DOUBTS:
            yield f"{where}: and {len(found) - MAX_DOUBTS} more of this kind"


def _doubtful_together(
    settings: ServiceSettings, file: ConfigFile | None, own: Mapping[str, Any]
) -> Iterator[str]:
    for field, doubt in settings.doubtful():
        source = _source(field, file, own)
        where = PREFIX + field.upper() if source in (ENVIRONMENT, DEFAULT) else f"{source}: {field}"
        yield f"{where}: {doubt}"


def _problem(
    cls: type[ServiceSettings],
    problem: Any,
    file: ConfigFile | None,
    own: Mapping[str, Any],
) -> str:
    field = str(problem["loc"][0])
    variable = PREFIX + field.upper()
    hidden = is_concealed(cls, field)
    if file and variable not in os.environ:
        value = "..." if hidden else _shown(own.get(field))
        line = f"{file.line_of(field)}: {field} = {value} is not allowed"
    else:
        value = "..." if hidden else repr(os.environ.get(variable, ""))
        line = f"{variable}={value} is not allowed"
    reason = f" ({problem['ctx']['error']})" if problem["type"] == "value_error" else ""
    return f"{line}{reason}; allowed: {allowed_text(cls, field)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def _source(field: str, file: ConfigFile | None, own: Mapping[str, Any]) -> str:
    if PREFIX + field.upper() in os.environ:
        return ENVIRONMENT
    return file.line_of(field) if file and field in own else DEFAULT
