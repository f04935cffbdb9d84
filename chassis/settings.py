"""Settings come from environment variables `MTPOLICYD_*`, are checked once, and never change afterwards.

A service declares a `ServiceSettings` class and names it as an entry point `mtpolicyd.settings`. So each
process can tell a misspelt name from a name of its neighbour without importing that neighbour's code
paths, and `mtpolicyctl` sees every setting there is.
"""

import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, NamedTuple, NoReturn, Self, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "MTPOLICYD_"
# The test suite's own switches are no settings of a service, but may stand in the same environment.
TEST_PREFIX = "MTPOLICYD_TEST_"
EXIT_SETTINGS = 2
# sun_path of sockaddr_un, unix(7), with its final NUL.
MAX_SOCKET_PATH_BYTES = 107


class SettingsError(Exception):
    """At least one setting is wrong; `lines` names each with its value and what is allowed."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Allowed:
    """Says in words what a setting may be; stands in error lines and in the settings table."""

    text: str


@dataclass(frozen=True, slots=True)
class ShownDefault:
    """How the settings table shows a default that its value does not show well."""

    text: str


class Address(NamedTuple):
    """Where a service listens or is reached: `host:port`, or `unix:path` with host empty and port 0."""

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `host:port`, `[v6]:port` or `unix:path`. Raises ValueError."""
        if isinstance(value, cls):
            return value
        text = str(value).strip()
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path.startswith("/"):
                raise ValueError("the path of a socket begins with /")
            if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
                raise ValueError(f"the path of a socket has at most {MAX_SOCKET_PATH_BYTES} bytes")
            return cls("", 0, path)
        host, colon, port = text.rpartition(":")
        if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise ValueError("neither host:port nor unix:path")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError("an IPv6 address stands in brackets: [::1]:12345")
        host = host.removeprefix("[").removesuffix("]") if ":" in host else host
        if not host or host.strip("[]") != host:
            raise ValueError("neither host:port nor unix:path")
        return cls(host, int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def split_list(value: object) -> object:
    """Split comma-separated text; blanks around items and empty items are forgiven."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _parse_networks(value: object) -> object:
    items = split_list(value)
    if not isinstance(items, tuple):
        return items
    # A host address with a mask (192.0.2.1/24) is far more often a slip than a wish, so it is refused.
    return tuple(ip_network(item) if isinstance(item, str) else item for item in items)


Debug = Annotated[int, Field(ge=0, le=4), Allowed("0 error, 1 warning, 2 notice, 3 info, 4 debug")]
Port = Annotated[int, Field(ge=1, le=65535), Allowed("a port number, 1 to 65535")]
# NoDecode: pydantic-settings would read every composite value as JSON.
Endpoint = Annotated[Address, NoDecode, BeforeValidator(Address.parse), Allowed("host:port or unix:/path")]
Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...],
    NoDecode,
    BeforeValidator(_parse_networks),
    Allowed("comma-separated networks such as 192.0.2.0/24, 2001:db8::/32"),
]


class ServiceSettings(BaseSettings):
    """The settings that every service has. One immutable snapshot is taken at the start."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    debug: Debug = Field(1, description="how much is logged; refusals are logged at 1, every decision at 3")
    log_format: Annotated[Literal["keyvalue", "json"], Allowed("keyvalue or json")] = Field(
        "keyvalue", description="form of the log lines"
    )

    def banner(self) -> list[tuple[str, str]]:
        """(label, text) lines that `mtpolicyctl run` prints once everything is up."""
        return []

    @property
    def metrics_endpoint(self) -> Address:
        """Where the service answers /metrics and /healthz."""
        raise NotImplementedError


S = TypeVar("S", bound=ServiceSettings)


class Declaration(NamedTuple):
    """One setting as the documentation shows it."""

    name: str
    default: str
    allowed: str
    description: str


def registered() -> dict[str, type[ServiceSettings]]:
    """Every service's settings class by the service's name."""
    return {point.name: point.load() for point in entry_points(group="mtpolicyd.settings")}


def declarations(classes: Iterable[type[ServiceSettings]]) -> Iterator[Declaration]:
    """Each setting of the classes once, in order of declaration."""
    seen = set()
    for cls in classes:
        for field, info in cls.model_fields.items():
            name = PREFIX + field.upper()
            if name not in seen:
                seen.add(name)
                yield Declaration(name, _shown_default(info), _allowed(cls, field), info.description or "")


def load(cls: type[S], environ: Mapping[str, str] = os.environ) -> S:
    """Read and check the settings of one service.

    Raises:
        SettingsError: a value is not allowed, or a `MTPOLICYD_*` name is not one of any service.
    """
    lines = list(_unknown_names(environ, [cls, *registered().values()]))
    try:
        settings = cls()
    except ValidationError as error:
        for problem in error.errors():
            field = str(problem["loc"][0])
            name = PREFIX + field.upper()
            reason = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else ""
            value = environ.get(name, "")
            line = f"{name}={value!r} is not allowed"
            line += f" ({reason})" if reason else ""
            lines.append(f"{line}; allowed: {_allowed(cls, field)}")
    if lines:
        raise SettingsError(dict.fromkeys(lines))
    return settings


def load_or_exit(cls: type[S]) -> S:
    """`load`, or one line for each wrong setting on standard error and exit code 2."""
    try:
        return load(cls)
    except SettingsError as error:
        exit_with(error)


def exit_with(error: SettingsError) -> NoReturn:
    """End the process as it has to end when a setting is wrong."""
    for line in error.lines:
        print(f"univention-mtpolicyd: {line}", file=sys.stderr)  # noqa: T201 - there is no log yet
    raise SystemExit(EXIT_SETTINGS)


def _shown_default(info: FieldInfo) -> str:
    for item in info.metadata:
        if isinstance(item, ShownDefault):
            return item.text
    default = info.default
    if type(default) in (tuple, frozenset):
        return ",".join(map(str, default))
    return "" if default is None else str(default)


def _allowed(cls: type[ServiceSettings], field: str) -> str:
    return next(item.text for item in cls.model_fields[field].metadata if isinstance(item, Allowed))


def _unknown_names(environ: Mapping[str, str], classes: Iterable[type[ServiceSettings]]) -> Iterator[str]:
    known = {PREFIX + field.upper() for cls in classes for field in cls.model_fields}
    for name in sorted(environ):
        if name.upper().startswith(PREFIX) and name not in known and not name.startswith(TEST_PREFIX):
            # Without the prefix, which makes any two names look alike.
            short = {other.removeprefix(PREFIX) for other in known}
            near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), short, n=1)
            hint = f"did you mean {PREFIX}{near[0]}?" if near else "see `mtpolicyctl settings` for all names"
            yield f"{name}={environ[name]!r} is not a setting; {hint}"
