"""Who sends: the kinds of mail that a host can get, and which clients are in mynetworks."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from admin.doctor.lists import split_braced
from admin.doctor.tables import Tables, logical_lines

Network = IPv4Network | IPv6Network
LOOPBACK = ip_address("127.0.0.1")
# Somewhere in the Internet: whoever trusts both trusts everybody.
ANYWHERE = (ip_address("8.8.8.8"), ip_address("193.99.144.80"))
MAX_NESTING = 10


class Origin(StrEnum):
    """Where a client is, as Postfix sees it."""

    OUTSIDE = "outside"
    NETWORK = "network"  # another host of mynetworks
    HOST = "host"  # 127.0.0.1: webmail, groupware


class Kind(NamedTuple):
    """One kind of mail: from where, and whether the client has logged in."""

    login: bool
    origin: Origin

    @property
    def name(self) -> str:
        return f"{'login' if self.login else 'open'}_{self.origin}"


KINDS = tuple(Kind(login, origin) for login in (True, False) for origin in Origin)


class Networks(NamedTuple):
    """A list of networks such as mynetworks, in its order; the first that matches counts (match_list(3)).

    Attributes:
        items: whether a network is left out (`!`), and the network.
        unread: what is in it that could not be read.
    """

    items: tuple[tuple[bool, Network], ...]
    unread: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, tables: Tables) -> "Networks":
        return cls._parse(split_braced(text), tables, 0)

    @classmethod
    def _parse(cls, words: list[str], tables: Tables, depth: int) -> "Networks":
        items: list[tuple[bool, Network]] = []
        unread: list[str] = []
        for word in words:
            excluded, pattern = word.startswith("!"), word.lstrip("!")
            network = as_network(pattern)
            if network is not None:
                items.append((excluded, network))
                continue
            inner = cls._inner(pattern, tables, depth)
            items += [(excluded != without, network) for without, network in inner.items]
            unread += inner.unread
        return cls(tuple(items), tuple(unread))

    @classmethod
    def _inner(cls, pattern: str, tables: Tables, depth: int) -> "Networks":
        if pattern.startswith("/") and depth < MAX_NESTING:
            try:
                lines = list(logical_lines(Path(pattern).read_text("utf-8", "surrogateescape")))
            except OSError as error:
                return cls((), (f"{pattern}: {error.strerror}",))
            return cls._parse(split_braced(" ".join(lines)), tables, depth + 1)
        if ":" not in pattern:
            return cls((), (pattern,))  # a host name
        table = tables.read(pattern)
        if table.unread or table.always:
            return cls((), (pattern,))
        # A table says yes by having an entry, whatever that is.
        found = [(entry.key.startswith("!"), as_network(entry.key.lstrip("!"))) for entry in table.entries]
        return cls(
            tuple((without, network) for without, network in found if network is not None),
            tuple(pattern for _, network in found[:1] if network is None),
        )

    def hold(self, address: IPv4Address | IPv6Address) -> bool | None:
        """Whether an address is in it; None: not known."""
        for excluded, network in self.items:
            if address.version == network.version and address in network:
                return not excluded
        return None if self.unread else False

    @property
    def others(self) -> bool:
        """Whether a host that is not this one can be in it."""
        return bool(self.unread) or any(not out and not is_loopback(network) for out, network in self.items)

    @property
    def everybody(self) -> bool:
        return all(self.hold(address) for address in ANYWHERE)


def is_loopback(network: Network) -> bool:
    """Also in the form `::ffff:127.0.0.0/104`, as Debian writes it into mynetworks."""
    address = network.network_address
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped.is_loopback and network.prefixlen >= 104 if mapped else network.is_loopback


def as_network(text: str) -> Network | None:
    """A network as Postfix writes it: `192.0.2.0/24`, `[2001:db8::]/32`, `192.0.2` (access(5)); else None."""
    plain = text.replace("[", "").replace("]", "")
    parts = plain.split(".")
    if len(parts) < 4 and all(part.isdecimal() and len(part) <= 3 for part in parts):
        plain = f"{'.'.join([*parts, '0', '0', '0'][:4])}/{8 * len(parts)}"
    elif ":" in text and "[" not in text and "/" not in text and not _is_address(text):
        return None
    try:
        return ip_network(plain, strict=False)
    except ValueError:
        return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
