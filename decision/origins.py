"""Where a client address comes from: a country, or the reason why it has none."""

from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from maxminddb import InvalidDatabaseError
from prometheus_client import Counter

from decision.addresses import MAX_ADDRESS_BYTES, Address, parse_address
from decision.country_data import CountryData

# What admins call private (RFC 1918, RFC 4193); Python's is_private covers much more.
PRIVATE = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("fc00::/7"),
)
SITE_LOCAL = IPv6Network("fec0::/10")  # RFC 3879: deprecated, and global to Python
CGNAT = IPv4Network("100.64.0.0/10")  # RFC 6598
CACHED_ADDRESSES = 16384


class Kind(StrEnum):
    """What is known about an address; also the label of the look-up counter."""

    COUNTRY = "hit"
    UNKNOWN = "unknown"  # public, but not in the data
    LOOPBACK = "loopback"
    PRIVATE = "private"
    LINK_LOCAL = "link_local"
    CGNAT = "cgnat"
    OTHER_NON_GLOBAL = "other_non_global"  # documentation, multicast, reserved ...
    UNPARSABLE = "unparsable"
    ERROR = "error"  # the data is broken inside
    NO_DATA = "no_data"


class Origin(NamedTuple):
    """`country` is an ISO 3166-1 alpha-2 code with Kind.COUNTRY, else empty."""

    kind: Kind
    country: str = ""


class Origins:
    """Looks addresses up in one data file, or in none.

    Args:
        data: the file; None if there is no usable one.
        lookups: counts every question by its Kind.
    """

    def __init__(self, data: CountryData | None, lookups: Counter) -> None:
        self._data = data
        self._counts = {kind: lookups.labels(kind) for kind in Kind}
        self._cached = lru_cache(CACHED_ADDRESSES)(self._find)

    def of(self, client_address: bytes) -> Origin:
        """The origin of an address as Postfix sends it."""
        origin = self.peek(client_address)
        self._counts[origin.kind].inc()
        return origin

    def peek(self, client_address: bytes) -> Origin:
        """`of` without counting, for log lines."""
        if len(client_address) > MAX_ADDRESS_BYTES:
            return Origin(Kind.UNPARSABLE)
        return self._cached(client_address)

    def _find(self, client_address: bytes) -> Origin:
        address = parse_address(client_address)
        if address is None:
            return Origin(Kind.UNPARSABLE)
        local = _non_global_kind(address)
        if local is not None:
            return Origin(local)
        if self._data is None:
            return Origin(Kind.NO_DATA)
        try:
            country = self._data.lookup(address)
        except (ValueError, OSError, InvalidDatabaseError):
            return Origin(Kind.ERROR)
        return Origin(Kind.COUNTRY, country) if country else Origin(Kind.UNKNOWN)


def _non_global_kind(address: Address) -> Kind | None:
    if address.is_loopback:
        return Kind.LOOPBACK
    if address.is_link_local:
        return Kind.LINK_LOCAL
    if address in CGNAT:
        return Kind.CGNAT
    if any(address in network for network in PRIVATE):
        return Kind.PRIVATE
    if not address.is_global or address.is_multicast or address in SITE_LOCAL:
        return Kind.OTHER_NON_GLOBAL
    return None
