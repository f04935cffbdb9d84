"""The settings of the frontend: where Postfix asks, and what it hears when nobody can be asked."""

import re
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from chassis.settings import (
    Address,
    Allowed,
    Endpoint,
    NeedsRestart,
    Networks,
    Port,
    ServiceSettings,
    Shown,
    split_list,
)
from chassis.sockets import Listeners
from frontend.clients import LOOPBACK

LOCALHOST = "127.0.0.1"


def _parse_socket(value: object) -> object:
    return Address.parse(f"unix:{value}") if value else None


def _check_hosts(value: str) -> str:
    hosts = split_list(value)
    assert isinstance(hosts, tuple)
    hosts = tuple(host.removeprefix("[").removesuffix("]") if ":" in host else host for host in hosts)
    for host in hosts:
        # RFC 1123, 2.1; the colon is for IPv6.
        if not re.fullmatch(r"[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?", host) and not _is_ipv6(host):
            raise ValueError(f"{host!r} is no address or host name")
    return ",".join(hosts)


def reached_at(host: str) -> str:
    """Where Postfix on this host finds a service that listens on `host`, which may be a wildcard."""
    with suppress(ValueError):
        address = ip_address(host)
        if address.is_unspecified:
            return LOCALHOST if address.version == 4 else "::1"
    return host


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True


def _parse_mode(value: object) -> object:
    if not isinstance(value, str):
        return value
    mode = int(value, 8)
    if not 0 <= mode <= 0o777:
        raise ValueError("not between 000 and 777")
    return mode


class Settings(ServiceSettings):
    """See ServiceSettings."""

    host: Annotated[
        str,
        AfterValidator(_check_hosts),
        Allowed("addresses or host names, comma-separated, or empty"),
        NeedsRestart(),
    ] = Field("", description=f"where Postfix reaches the frontend; empty: {LOCALHOST}")
    port: Annotated[Port, NeedsRestart()] = Field(12345, description="TCP port for Postfix")
    socket: Annotated[
        Address | None,
        NoDecode,
        BeforeValidator(_parse_socket),
        Allowed("an absolute path, or empty"),
        NeedsRestart(),
    ] = Field(None, description="a UNIX socket for Postfix, beside the port; empty: none")
    socket_mode: Annotated[
        int,
        BeforeValidator(_parse_mode),
        Allowed("octal digits such as 0660"),
        NeedsRestart(),
        Shown("{:04o}".format),
    ] = Field(0o660, description="access rights of the UNIX socket")
    max_connections: Annotated[int, Field(ge=1, le=100_000), Allowed("a whole number, 1 to 100000")] = Field(
        5000, description="connections from Postfix; one more is closed at once"
    )
    on_failure: Annotated[Literal["dunno", "defer"], Allowed("dunno or defer")] = Field(
        "dunno",
        description="what mail with a login hears while decision or quota cannot be asked: "
        "dunno (it passes, unchecked) or defer",
    )
    allowed_clients: Networks = Field(
        LOOPBACK, description="who may use the policy port; others are closed at once"
    )
    decision_target: Endpoint = Field(
        Address(LOCALHOST, 12346), description="where the frontend reaches decision"
    )
    frontend_metrics: Endpoint = Field(
        Address(LOCALHOST, 9101), description="where the frontend answers /metrics and /healthz"
    )

    @property
    def metrics_endpoint(self) -> Address:
        return self.frontend_metrics

    @property
    def listeners(self) -> Listeners:
        path = self.socket.path if self.socket else ""
        return Listeners(self.hosts, self.port, path, self.socket_mode)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses or names to listen on, at least one."""
        hosts = split_list(self.host)
        assert isinstance(hosts, tuple)
        return hosts or (LOCALHOST,)

    def banner(self) -> list[tuple[str, str]]:
        where = Address(reached_at(self.hosts[0]), self.port)
        return [
            ("Policy port", ", ".join(str(Address(host, self.port)) for host in self.hosts)),
            ("In Postfix", f"check_policy_service {{ inet:{where}, timeout=10s, default_action=DUNNO }}"),
            ("", "before permit_sasl_authenticated in smtpd_recipient_restrictions"),
            ("Metrics of frontend", self.frontend_metrics.url("/metrics")),
        ]
