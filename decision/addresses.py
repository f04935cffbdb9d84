"""Client addresses: what Postfix sends as text, with the IPv4 address that an IPv6 one may wrap."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# An IPv6 address with a scope; whatever is longer must not fill a cache.
MAX_ADDRESS_BYTES = 64
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052, the well-known prefix


def parse_address(text: bytes) -> Address | None:
    """The address that the country data knows: IPv4-mapped, 6to4 and NAT64 ones are unwrapped.

    None for what is no address. Unwrapping matters: Python calls 6to4 and NAT64 addresses global, and no
    country data holds them.
    """
    parsed = _parse(text)
    return parsed[-1] if parsed else None


class NetworkSet:
    """Networks of both kinds; an address costs one look-up for each length of prefix among them."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        starts: dict[tuple[int, int], set[int]] = {}  # by version, and bits behind the prefix
        for network in networks:
            bits = network.max_prefixlen - network.prefixlen
            starts.setdefault((network.version, bits), set()).add(int(network.network_address) >> bits)
        self._starts = [(version, bits, found) for (version, bits), found in starts.items()]

    def __contains__(self, text: bytes) -> bool:
        """Whether the address, as Postfix shows it or unwrapped, lies in one of them."""
        if not self._starts:
            return False
        return any(
            version == address.version and int(address) >> bits in starts
            for address in _parse(text)
            for version, bits, starts in self._starts
        )


def _parse(text: bytes) -> tuple[Address, ...]:
    """The address and, behind it, the one that it wraps; nothing for what is no address."""
    return _parse_short(text) if len(text) <= MAX_ADDRESS_BYTES else ()


@lru_cache(maxsize=4096)
def _parse_short(text: bytes) -> tuple[Address, ...]:
    try:
        address = ip_address(text.decode("ascii"))
    except ValueError:
        return ()
    if isinstance(address, IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour  # RFC 4291 2.5.5.2, RFC 3056
        if wrapped is None and address in NAT64:
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is not None:
            return address, wrapped
    return (address,)
