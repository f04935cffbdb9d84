"""The ways by which mail can come in: one for each service of master.cf that takes mail.

smtpd(8) takes it from a port, or from postscreen(8) that listens in its place; pickup(8) what sendmail(1)
was given; qmqpd(8) from qmail's hosts. A program behind spawn(8) on a port may be anything, and so may one
that is not Postfix's.
"""

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from ipaddress import ip_address
from typing import NamedTuple

from admin.doctor.clients import LOOPBACK, Kind, Networks, Origin
from admin.doctor.lists import split_braced
from admin.doctor.postconf import Service

# A host without /etc/services still means these.
_PORTS = {"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465, "qmqp": 628}
# Postfix's programs that take no mail from a port, whatever listens there.
_NO_WAY_IN = {
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "dnsblog",
    "error",
    "flush",
    "lmtp",
    "local",
    "oqmgr",
    "pipe",
    "postlogd",
    "proxymap",
    "qmgr",
    "scache",
    "showq",
    "smtp",
    "tlsmgr",
    "tlsproxy",
    "trivial-rewrite",
    "verify",
    "virtual",
}
_LOOPBACK_NAMES = {"localhost", "ip6-localhost", "loopback-only"}


class Way(StrEnum):
    """What takes the mail."""

    SMTPD = "smtpd"
    SENDMAIL = "sendmail"
    QMQPD = "qmqpd"
    OTHER = "other"


class Entrance(NamedTuple):
    """One way in.

    Attributes:
        service: whose settings hold; behind postscreen that of smtpd.
        listener: the service that listens.
        port: 0 if there is none.
        here_only: only this host reaches it.
    """

    way: Way
    service: Service
    listener: Service
    port: int
    here_only: bool

    @property
    def name(self) -> str:
        """Such as `submission (587)`."""
        listener = self.listener.name
        if self.way is Way.SENDMAIL:
            return "sendmail (pickup)"
        port = f" ({self.port})" if self.port and str(self.port) not in listener else ""
        return f"{listener}{port}{', postscreen' if self.listener is not self.service else ''}"


def entrances(services: Sequence[Service], main: Mapping[str, str]) -> list[Entrance]:
    """Every way in, in the order of master.cf. Args: main: main.cf's parameters in force."""
    found = []
    off = split_braced(main.get("master_service_disable", ""))
    for service in (one for one in services if not _disabled(one, off)):
        if service.command == "pickup":
            found.append(Entrance(Way.SENDMAIL, service, service, 0, here_only=True))
        elif service.command == "smtpd" and service.type != "pass":
            found.append(_listening(Way.SMTPD, service, service, main))
        elif service.command == "postscreen":
            name = service.overrides.get("smtpd_service_name", main.get("smtpd_service_name", "smtpd"))
            behind = [one for one in services if one.key == f"{name}/pass" and one.command == "smtpd"]
            way = Way.SMTPD if behind else Way.OTHER
            found.append(_listening(way, behind[0] if behind else service, service, main))
        elif service.command == "qmqpd":
            found.append(_listening(Way.QMQPD, service, service, main))
        elif service.type == "inet" and service.command not in _NO_WAY_IN:
            found.append(_listening(Way.OTHER, service, service, main))
    return found


def possible_kinds(entrance: Entrance, values: Mapping[str, str], networks: Networks) -> dict[Kind, bool]:
    """Which kinds of mail can come in there, and whether that is certain (a login by XCLIENT is not)."""
    logins = values.get("smtpd_sasl_auth_enable") == "yes"
    by_proxy = bool(values.get("smtpd_authorized_xclient_hosts"))
    origins = [Origin.HOST]
    if not entrance.here_only or by_proxy or _proxied(entrance, values):
        origins += [Origin.NETWORK] if networks.others else []
        origins += [] if networks.everybody else [Origin.OUTSIDE]
    kinds = {Kind(login=False, origin=origin): True for origin in origins}
    if logins or by_proxy:
        kinds |= {Kind(login=True, origin=origin): logins for origin in origins}
    return kinds


def _disabled(service: Service, patterns: Sequence[str]) -> bool:
    """By master_service_disable: of `inet`, `smtp/inet`, `!587/inet`, the first that matches counts."""
    for pattern in patterns:
        if pattern.lstrip("!") in (service.type, service.key):
            return not pattern.startswith("!")
    return False


def _proxied(entrance: Entrance, values: Mapping[str, str]) -> bool:
    """Whether a proxy on this host tells where its clients are (the PROXY protocol)."""
    if entrance.listener is entrance.service:
        return bool(values.get("smtpd_upstream_proxy_protocol"))
    name = "postscreen_upstream_proxy_protocol"
    return bool(entrance.listener.overrides.get(name, values.get(name)))


def own_host_is_own_address(values: Mapping[str, str]) -> bool | None:
    """Whether permit_inet_interfaces means 127.0.0.1; None: it depends."""
    words = {word.lower() for word in split_braced(values.get("inet_interfaces", "all"))}
    if words & {"all", "loopback-only", "localhost", str(LOOPBACK)}:
        return True
    return None


def _listening(way: Way, service: Service, listener: Service, main: Mapping[str, str]) -> Entrance:
    host, port = split_address(listener.name) if listener.type == "inet" else ("localhost", 0)
    # master(8) binds the port: it looks into main.cf alone.
    interfaces = host or main.get("inet_interfaces", "all")
    words = split_braced(interfaces)
    here_only = bool(words) and all(map(_is_loopback, words))
    return Entrance(way, service, listener, port, here_only)


def split_address(name: str) -> tuple[str, int]:
    """Host (perhaps empty) and port of a service's name such as `smtp`, `127.0.0.1:10025`, `[::1]:587`."""
    host, _, port = name.rpartition(":")
    return host.strip("[]"), port_number(port)


def port_number(name: str) -> int:
    """0 for a name that nobody knows."""
    if name.isdecimal():
        return int(name)
    with suppress(OSError):
        return socket.getservbyname(name, "tcp")
    return _PORTS.get(name, 0)


def _is_loopback(word: str) -> bool:
    with suppress(ValueError):
        return ip_address(word.strip("[]")).is_loopback
    return word.lower() in _LOOPBACK_NAMES
