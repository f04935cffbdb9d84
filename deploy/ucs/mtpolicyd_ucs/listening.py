"""The policy port as systemd holds it: `mtpolicyd/host` and `mtpolicyd/port` in a drop-in of the .socket."""

import errno
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple

LOCALHOST = "127.0.0.1"


class Listening(NamedTuple):
    """Addresses, without names, and a port."""

    addresses: tuple[str, ...]
    port: int

    @property
    def beyond_loopback(self) -> bool:
        """Whether other machines reach it."""
        return not all(ip_address(address).is_loopback for address in self.addresses)

    @property
    def reached_at(self) -> str:
        """`HOST:PORT`, where Postfix on this host finds it."""
        first = ip_address(self.addresses[0])
        if first.is_unspecified:
            first = ip_address(LOCALHOST if first.version == 4 else "::1")
        return f"{first}:{self.port}" if first.version == 4 else f"[{first}]:{self.port}"

    def taken(self) -> str | None:
        """`HOST:PORT` of these at which somebody listens already, this service included."""
        for address in self.addresses:
            if _failing(address, self.port) == errno.EADDRINUSE:
                return Listening((address,), self.port).reached_at
        return None

    def absent(self) -> list[str]:
        """Those that this host does not have now; systemd listens there all the same: FreeBind."""
        failing = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        return [
            address
            for address in self.addresses
            if not ip_address(address).is_loopback and _failing(address, 0) in failing
        ]

    def drop_in(self) -> str:
        """The text of the drop-in. The empty line takes away what the unit itself says, systemd.socket(5)."""
        lines = ["# Follows mtpolicyd/host and mtpolicyd/port.", "[Socket]", "ListenStream="]
        for address in self.addresses:
            shown = f"[{address}]" if ":" in address else address
            lines.append(f"ListenStream={shown}:{self.port}")
        return "\n".join([*lines, ""])


def _failing(address: str, port: int) -> int | None:
    """Why nobody can listen there, an errno."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind((address, port))
            trial.listen()
    except OSError as error:
        return error.errno
    return None


def listening(settings: Mapping[str, str]) -> Listening:
    """Where the settings say. systemd knows no names: they are looked up here.

    Raises:
        OSError: a name has no address.
    """
    hosts = [host.strip() for host in settings["host"].split(",") if host.strip()] or [LOCALHOST]
    port = int(settings["port"])
    try:
        found = [
            str(address[0])
            for host in hosts
            for _, _, _, _, address in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        ]
    except UnicodeError as error:  # what can be no name at all
        raise OSError(f"{settings['host']} is no host name: {error}") from error
    return Listening(tuple(dict.fromkeys(found)), port)
