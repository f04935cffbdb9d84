"""Where a client address comes from: what each database says, or the reason why none is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, partial
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
    """What is known about an address."""

    COUNTRY = "hit"
    UNKNOWN = "unknown"  # public, but in none of the databases
    LOOPBACK = "loopback"
    PRIVATE = "private"
    LINK_LOCAL = "link_local"
    CGNAT = "cgnat"
    OTHER_NON_GLOBAL = "other_non_global"  # documentation, multicast, reserved ...
    UNPARSABLE = "unparsable"
    ERROR = "error"  # the data is broken inside
    NO_DATA = "no_data"

    @property
    def result(self) -> str:
        """The label of the look-up counter: one for all addresses that are not global."""
        return "non_global" if self in _NON_GLOBAL else self.value


_NON_GLOBAL = frozenset({Kind.LOOPBACK, Kind.PRIVATE, Kind.LINK_LOCAL, Kind.CGNAT, Kind.OTHER_NON_GLOBAL})
RESULTS = tuple(dict.fromkeys(kind.result for kind in Kind))


class Answer(NamedTuple):
    """What one database says: an ISO 3166-1 alpha-2 code, or "" if it does not know the address."""

    source: str
    country: str


@dataclass(frozen=True, slots=True)
class Origin:
    """With Kind.COUNTRY at least one of the answers is a country, else none is.

    `country` is that of the first database that knows the address, else empty.
    """

    kind: Kind
    answers: tuple[Answer, ...] = ()  # in the order of the databases
    country: str = field(init=False, compare=False)
    _countries: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Once for each cached address, not for each mail.
        known = [answer.country for answer in self.answers if answer.country]
        object.__setattr__(self, "country", known[0] if known else "")
        object.__setattr__(self, "_countries", frozenset(known))

    def may_be_in(self, countries: frozenset[str]) -> bool:
        """Whether one of the databases says that the address is in one of the countries."""
        return not self._countries.isdisjoint(countries)

    def __str__(self) -> str:
        """`GeoLite2-Country:DE,builtin:-`, as a log line shows it."""
        return ",".join(f"{answer.source}:{answer.country or '-'}" for answer in self.answers)


class Origins:
    """Looks addresses up in all databases.

    Args:
        databases: none if there is no usable one.
        lookups: counts every question by its result.
    """

    def __init__(self, databases: Sequence[CountryData], lookups: Counter) -> None:
        self.databases = tuple(databases)
        self._counts = {kind: lookups.labels(kind.result) for kind in Kind}
        # Without self, no cycle: with the last Origins that names it a replaced database is closed at once.
        self._cached = lru_cache(CACHED_ADDRESSES)(partial(_find, self.databases))

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


def _find(databases: Sequence[CountryData], client_address: bytes) -> Origin:
    address = parse_address(client_address)
    if address is None:
        return Origin(Kind.UNPARSABLE)
    local = _non_global_kind(address)
    if local is not None:
        return Origin(local)
    if not databases:
        return Origin(Kind.NO_DATA)
    answers = []
    broken = False
    for database in databases:
        try:
            answers.append(Answer(database.source, database.lookup(address)))
        except (ValueError, OSError, InvalidDatabaseError):
            broken = True
            answers.append(Answer(database.source, ""))
    if any(answer.country for answer in answers):
        return Origin(Kind.COUNTRY, tuple(answers))
    return Origin(Kind.ERROR if broken else Kind.UNKNOWN, tuple(answers))


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
