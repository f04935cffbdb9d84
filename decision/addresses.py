"""Client addresses: what Postfix sends as text, with the IPv4 address that an IPv6 one may wrap."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052, the well-known prefix


@lru_cache(maxsize=4096)
def parse_address(text: bytes) -> Address | None:
    """The address that the country data knows: IPv4-mapped, 6to4 and NAT64 ones are unwrapped.

    None for what is no address. Unwrapping matters: Python calls 6to4 and NAT64 addresses global, and no
    country data holds them.
    """
    try:
        address = ip_address(text.decode("ascii"))
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour  # RFC 4291 2.5.5.2, RFC 3056
        if wrapped is None and address in NAT64:
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        return wrapped or address
    return address


def is_in(text: bytes, networks: tuple[Network, ...]) -> bool:
    """Whether the address lies in one of the networks; what is no address does not."""
    if not networks:
        return False
    address = parse_address(text)
    return address is not None and any(address in network for network in networks)
