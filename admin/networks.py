"""The network that an admin would look at in the place of a client's address."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

from decision.addresses import Network, parse_address

# What a provider gives one customer, or a few: a day's addresses of one sender mostly lie in it.
IPV4_PREFIX = 24
IPV6_PREFIX = 48


def network_of(address: bytes) -> Network | None:
    """The /24 or /48 around a client's address; an IPv4 address in an IPv6 one counts as itself."""
    parsed = parse_address(address)
    if parsed is None:
        return None
    if isinstance(parsed, IPv4Address):
        return IPv4Network((int(parsed), IPV4_PREFIX), strict=False)
    return IPv6Network((int(parsed), IPV6_PREFIX), strict=False)  # the integer has no scope
