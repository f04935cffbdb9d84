"""Which clients may use the policy port: the protocol has no authentication, and asking counts."""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Networks = tuple[IPv4Network | IPv6Network, ...]
LOOPBACK: Networks = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class AllowedClients:
    """Args: networks: whose addresses may connect. A UNIX socket has access rights instead."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._contains = lru_cache(maxsize=1024)(self._find)

    def admits(self, peer: object) -> bool:
        """Whether a client may stay. Args: peer: `peername` of its socket; no tuple for a UNIX socket."""
        return not isinstance(peer, tuple) or self._contains(str(peer[0]))

    def _find(self, host: str) -> bool:
        address = ip_address(host)
        if isinstance(address, IPv6Address):
            # A client of a dual-stack socket: RFC 4291, 2.5.5.2.
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)


def opens_beyond_loopback(hosts: tuple[str, ...]) -> bool:
    """Whether one of the addresses to listen on is reached from other machines."""
    for host in hosts:
        if host == "localhost":
            continue
        try:
            if not ip_address(host).is_loopback:
                return True
        except ValueError:
            return True
    return False
