"""How settings are declared: names, types, defaults, and words for what is allowed (config.py reads them).

A service declares a `ServiceSettings` class and names it as an entry point `mtpolicyd.settings`. So each
process can tell a misspelt name from a name of its neighbour without importing that neighbour's code
paths, and `mtpolicyctl` sees every setting there is.
"""

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Self

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from chassis.sockets import Listeners

# In the order of starting; stopped in the opposite one.
SERVICES = ("quota", "decision", "frontend")
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

    def url(self, path: str) -> str:
        """Where an admin finds a page of the service that listens here."""
        return f"{path} on {self}" if self.path else f"http://{self}{path}"

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Shown:
    """How a value is written that `str` does not show as one would write it."""

    show: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Doubts:
    """Finds what is allowed but was hardly meant. Args: find: sentences about the value as it is written."""

    find: Callable[[object], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Explained:
    """Says beside a value what it means, e.g. the names of country codes; for `show-config`."""

    explain: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class NeedsRestart:
    """Marks a setting whose change is not taken over by a running service."""


@dataclass(frozen=True, slots=True)
class Concealed:
    """Marks the path of a file that holds a secret: no error line repeats its value.

    Somebody may have written the secret itself there.
    """


def split_list(value: object) -> object:
    """A list of a file, or comma-separated text; blanks around items and empty items are forgiven.

    Raises ValueError for a list with an item that is no text: 1 would be read as the address 0.0.0.1.
    """
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    if not isinstance(value, list):
        return value
    for item in value:
        if isinstance(item, bool | int | float | list | dict):
            raise ValueError(f"{item!r} is no text")
    return tuple(value)


def _parse_networks(value: object) -> object:
    items = split_list(value)
    if not isinstance(items, tuple):
        return items
    return tuple(ip_network(item, strict=False) if isinstance(item, str) else item for item in items)


def _doubtful_networks(value: object) -> Iterator[str]:
    """Host bits below the mask, and networks that lie in others of the list."""
    items = [item for item in split_list(value) if isinstance(item, str)]  # type: ignore[attr-defined]
    networks = [ip_network(item, strict=False) for item in items]
    for item, network in zip(items, networks, strict=True):
        if str(ip_interface(item).ip) != str(network.network_address):
            yield f"{item} is taken as {network}"
        if network.prefixlen == 0:
            yield f"{item} holds every address"
    yield from _overlaps(networks)


def _overlaps(networks: Iterable[IPv4Network | IPv6Network]) -> Iterator[str]:
    """Each network that lies in another one, beside the smallest that holds it.

    collapse_addresses would say that there is an overlap, but not whose. Lists may have tens of thousands of
    items, and a running service checks them: hence not each with each.
    """
    holding: list[IPv4Network | IPv6Network] = []  # each in the one before it
    for network in sorted(
        networks, key=lambda item: (item.version, int(item.network_address), item.prefixlen)
    ):
        while holding and not holds(holding[-1], network):
            holding.pop()
        if holding:
            yield f"{network} is {'listed twice' if network == holding[-1] else f'part of {holding[-1]}'}"
        holding.append(network)


def holds(large: IPv4Network | IPv6Network, small: IPv4Network | IPv6Network) -> bool:
    """Whether the small network lies in the large one, or is it."""
    return large.version == small.version and small.subnet_of(large)  # type: ignore[arg-type]


Debug = Annotated[int, Field(ge=0, le=4), Allowed("0 error, 1 warning, 2 notice, 3 info, 4 debug")]
Port = Annotated[int, Field(ge=1, le=65535), Allowed("a port number, 1 to 65535")]
# NoDecode: pydantic-settings would read every composite value as JSON.
Endpoint = Annotated[
    Address, NoDecode, BeforeValidator(Address.parse), Allowed("host:port or unix:/path"), NeedsRestart()
]
Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...],
    NoDecode,
    BeforeValidator(_parse_networks),
    Allowed("comma-separated networks such as 192.0.2.0/24, 2001:db8::/32"),
    Doubts(_doubtful_networks),
]


SYSTEM_STATE = Path("/var/lib/univention-mtpolicyd")


def _default_statedir() -> Path:
    """systemd's StateDirectory, root's own place, or the user's (XDG base directory specification)."""
    if systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    if os.geteuid() == 0:
        return SYSTEM_STATE
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / SYSTEM_STATE.name


def absolute(path: Path) -> Path:
    """The path. Raises ValueError if it does not begin with /, or cannot be one."""
    if not path.is_absolute():
        raise ValueError("the path does not begin with /")
    if "\0" in str(path):  # in a TOML file it can be written; every call of the system would raise
        raise ValueError("there is a NUL in the path")
    return path


def _parse_path(value: object) -> object:
    if not isinstance(value, str):
        return value
    return absolute(Path(value)) if value else None


OptionalPath = Annotated[Path | None, BeforeValidator(_parse_path), Allowed("an absolute path, or empty")]
SecretFile = Annotated[OptionalPath, Concealed()]


class ServiceSettings(BaseSettings):
    """The settings that every service has; an instance never changes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    debug: Debug = Field(1, description="how much is logged; refusals are logged at 1, every decision at 3")
    log_format: Annotated[Literal["keyvalue", "json"], Allowed("keyvalue or json"), NeedsRestart()] = Field(
        "keyvalue", description="form of the log lines"
    )
    statedir: Annotated[
        Path,
        AfterValidator(absolute),
        Allowed("an absolute path"),
        NeedsRestart(),
        ShownDefault(str(SYSTEM_STATE)),
    ] = Field(
        default_factory=_default_statedir,
        description="where the counts are kept, and the last good settings; made if it is missing; "
        f"without root `~/.local/state/{SYSTEM_STATE.name}`",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment beats what is handed in, which is the file."""
        return env_settings, init_settings

    def banner(self) -> list[tuple[str, str]]:
        """(label, text) lines that `mtpolicyctl run` prints once everything is up."""
        return []

    def doubtful(self) -> Iterable[tuple[str, str]]:
        """(setting, sentence): what is allowed but was hardly meant beside the values of other settings."""
        return ()

    @property
    def metrics_endpoint(self) -> Address:
        """Where the service answers /metrics and /healthz."""
        raise NotImplementedError

    @property
    def listeners(self) -> Listeners | None:
        """Listening sockets that outlive a restart of the service where a launcher holds them."""
        return None


def needs_restart(cls: type[ServiceSettings], field: str) -> bool:
    """Whether a running service cannot take a change over."""
    return any(isinstance(item, NeedsRestart) for item in cls.model_fields[field].metadata)


def is_concealed(cls: type[ServiceSettings], field: str) -> bool:
    """Whether no error line may repeat the value."""
    return any(isinstance(item, Concealed) for item in cls.model_fields[field].metadata)


class Declaration(NamedTuple):
    """One setting as the documentation shows it."""

    name: str
    default: str
    allowed: str
    description: str
    needs_restart: bool

    @property
    def key(self) -> str:
        """Its name in the settings file."""
        return self.name.removeprefix(PREFIX).lower()

    @property
    def toml(self) -> str:
        """Its default in the settings file."""
        return (
            self.default
            if self.default.isdigit() and not self.default.startswith("0")
            else f'"{self.default}"'
        )


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
                yield Declaration(
                    name,
                    _shown_default(cls, field),
                    allowed_text(cls, field),
                    info.description or "",
                    needs_restart(cls, field),
                )


def complain(lines: Iterable[str]) -> None:
    """Say on standard error what is wrong, where there is no log."""
    for line in lines:
        print(f"univention-mtpolicyd: {line}", file=sys.stderr)  # noqa: T201


def exit_with(error: SettingsError) -> NoReturn:
    """End the process as it has to end when a setting is wrong."""
    complain(error.lines)
    raise SystemExit(EXIT_SETTINGS)


def _shown_default(cls: type[ServiceSettings], field: str) -> str:
    info = cls.model_fields[field]
    for item in info.metadata:
        if isinstance(item, ShownDefault):
            return item.text
    return shown_value(cls, field, info.default)


def shown_value(cls: type[ServiceSettings], field: str, value: Any) -> str:
    """A value as it would be written into the environment."""
    for item in cls.model_fields[field].metadata:
        if isinstance(item, Shown):
            return item.show(value)
    if type(value) in (tuple, frozenset):
        items: Iterable[object] = value
        texts = [item.decode(errors="replace") if isinstance(item, bytes) else str(item) for item in items]
        # A set has no order of its own; that of a list may matter.
        return ",".join(sorted(texts) if isinstance(value, frozenset) else texts)
    return "" if value is None else str(value)


def setting_lines(settings: ServiceSettings) -> list[str]:
    """`name = value` of every setting, for an admin who asks a running service; secrets are left out."""
    cls = type(settings)
    shown = {field: shown_value(cls, field, getattr(settings, field)) for field in cls.model_fields}
    return [
        f"{field} = {'...' if value and is_concealed(cls, field) else value}"
        for field, value in shown.items()
    ]


def doubts(cls: type[ServiceSettings], field: str, value: object) -> Iterator[str]:
    """What was hardly meant. Args: value: as the file or the environment has it, and allowed."""
    for item in cls.model_fields[field].metadata:
        if isinstance(item, Doubts):
            yield from item.find(value)


def explanation(cls: type[ServiceSettings], field: str, value: object) -> str:
    """What a value means, in words, or empty."""
    return next(
        (item.explain(value) for item in cls.model_fields[field].metadata if isinstance(item, Explained)), ""
    )


def allowed_text(cls: type[ServiceSettings], field: str) -> str:
    """What a setting may be, in words."""
    return next(item.text for item in cls.model_fields[field].metadata if isinstance(item, Allowed))


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The setting that was probably meant."""
    # Without the prefix, which makes any two names look alike.
    short = {other.removeprefix(PREFIX).lower(): other for other in known}
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX).lower(), short, n=1)
    return short[near[0]] if near else None
