"""Which `check_policy_service` asks our service, and which ones are known never to say OK."""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from admin.doctor.entrances import port_number
from admin.doctor.postconf import Service
from chassis.sockets import Listeners

# Univention's listfilter answers DUNNO, REJECT, WARN or 443, whatever it is asked (univention-mail-postfix).
_NEVER_OK = ("listfilter.py",)


class Inet(NamedTuple):
    """`inet:HOST:PORT`; the host is empty if only a port is named, which means localhost."""

    host: str
    port: int


def parse_inet(endpoint: str) -> Inet | None:
    """None for what is no `inet:`."""
    kind, _, rest = endpoint.partition(":")
    if kind.lower() != "inet":
        return None
    host, _, port = rest.rpartition(":")
    return Inet(host.strip("[]").lower(), port_number(port))


def unix_path(endpoint: str, *, queue_directory: str, chroot: bool) -> Path | None:
    """The socket that smtpd reaches by `unix:PATH`, seen from outside its chroot; None for what is none."""
    kind, _, path = endpoint.partition(":")
    if kind.lower() != "unix":
        return None
    if not path.startswith("/"):
        return Path(queue_directory, path)
    return Path(queue_directory, path.lstrip("/")) if chroot else Path(path)


class OurService:
    """The service as its settings say that it listens."""

    def __init__(self, listeners: Listeners) -> None:
        self._where = listeners

    @property
    def endpoint(self) -> str:
        """How Postfix on this host reaches it."""
        host = self._where.hosts[0]
        with suppress(ValueError):
            address = ip_address(host)
            if address.is_unspecified:
                host = "127.0.0.1" if address.version == 4 else "::1"
        return f"inet:[{host}]:{self._where.port}" if ":" in host else f"inet:{host}:{self._where.port}"

    @property
    def address(self) -> tuple[str, int]:
        inet = parse_inet(self.endpoint)
        assert inet is not None
        return inet.host, inet.port

    def is_at(self, endpoint: str, *, queue_directory: str, chroot: bool) -> bool:
        """Whether Postfix finds it there."""
        inet = parse_inet(endpoint)
        if inet is not None:
            return inet.port == self._where.port and any(
                _reaches(inet.host, host) for host in self._where.hosts
            )
        path = unix_path(endpoint, queue_directory=queue_directory, chroot=chroot)
        if path is None or not self._where.path:
            return False
        # /var/run and /run are one directory.
        return os.path.realpath(path) == os.path.realpath(self._where.path)


def never_permits(endpoint: str, services: Sequence[Service]) -> bool:
    """Whether a policy service that master.cf starts is one that never says OK."""
    kind, _, name = endpoint.partition(":")
    if kind == "unix":
        name = name.removeprefix("private/").removeprefix("public/")
    return any(
        service.name == name
        and service.command == "spawn"
        and any(argument.endswith(_NEVER_OK) for argument in service.arguments)
        for service in services
    )


def _reaches(named: str, listening: str) -> bool:
    if named in ("", "localhost"):
        return listening.lower() == "localhost" or _is_local(listening)
    if named == listening.lower():
        return True
    try:
        bound = ip_address("127.0.0.1" if listening == "localhost" else listening)
    except ValueError:
        return False
    try:
        asked = ip_address(named)
    except ValueError:
        return any(_reaches(address, listening) for address in _addresses(named))
    if asked.version != bound.version:
        return False
    return asked == bound or (bound.is_unspecified and (asked.is_loopback or _is_own(named)))


@cache  # each list of each entrance asks for the same names, and a resolver may take its time
def _addresses(name: str) -> list[str]:
    """Of a host, as the resolver of this one knows it; empty if it knows none."""
    with suppress(OSError, UnicodeError):
        return [str(found[4][0]) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    return []


def _is_local(listening: str) -> bool:
    with suppress(ValueError):
        address = ip_address(listening)
        return address.is_loopback or address.is_unspecified
    return False


def _is_own(address: str) -> bool:
    """Whether an address is one of this host: only then a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return True
    return False
