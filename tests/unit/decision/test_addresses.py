"""Client addresses as Postfix sends them."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision.addresses import Network, NetworkSet, parse_address


@pytest.mark.parametrize("text", ["8.8.8.8", "2001:4860:4860::8888", "::1", "2001:DB8::A"])
def test_plain_addresses_stay_as_they_are(text: str) -> None:
    """IPv4 and IPv6 addresses that wrap nothing are read as they stand."""
    assert parse_address(text.encode()) == ip_address(text)


@pytest.mark.parametrize(
    ("text", "wrapped"),
    [
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("::ffff:808:808", "8.8.8.8"),
        ("::FFFF:10.0.0.1", "10.0.0.1"),
        ("2002:808:808::", "8.8.8.8"),
        ("2002:808:808:1234::1", "8.8.8.8"),
        ("2002:7f00:1::1", "127.0.0.1"),
        ("64:ff9b::8.8.8.8", "8.8.8.8"),
        ("64:ff9b::808:808", "8.8.8.8"),
        ("64:ff9b::ffff:ffff", "255.255.255.255"),
        ("64:ff9b::", "0.0.0.0"),
    ],
)
def test_wrapped_ipv4_addresses_are_unwrapped(text: str, wrapped: str) -> None:
    """IPv4-mapped, 6to4 and NAT64 addresses count as the IPv4 address inside."""
    assert parse_address(text.encode()) == ip_address(wrapped)


@pytest.mark.parametrize(
    "text", ["64:ff9b:0:0:0:1:808:808", "64:ff9c::808:808", "2003:808:808::", "::8.8.8.8"]
)
def test_neighbours_of_the_wrapping_networks_are_not_unwrapped(text: str) -> None:
    """Only the well-known prefixes wrap an address."""
    assert parse_address(text.encode()) == ip_address(text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"unknown",
        b"8.8.8",
        b"8.8.8.8.8",
        b"8.8.8.256",
        b"08.8.8.8",
        b" 8.8.8.8",
        b"8.8.8.8/32",
        b"\xff",
        b"\xef\xbc\x98.8.8.8",
        b"IPv6:::1",
        b"[::1]",
        b"1:2:3",
        b"134744072",
        b"8.8.8.8\n",
    ],
)
def test_what_is_no_address_is_none(text: bytes) -> None:
    """Nothing but an address is read as one."""
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (b"192.0.2.0", True),
        (b"192.0.2.255", True),
        (b"::ffff:192.0.2.1", True),
        (b"2001:db8:1::1", True),
        (b"192.0.3.0", False),
        (b"2001:db9::1", False),
        (b"no address", False),
        (b"", False),
    ],
)
def test_networks_hold_addresses_of_both_kinds(text: bytes, inside: bool) -> None:
    """A list may mix IPv4 and IPv6 networks; what is no address lies in none of them."""
    assert (text in NetworkSet([ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")])) is inside


def test_no_networks_hold_nothing() -> None:
    """An empty list exempts nobody."""
    assert b"192.0.2.1" not in NetworkSet()


@pytest.mark.parametrize("text", [b"2002:c000:201::1", b"64:ff9b::c000:201"])
def test_a_network_may_be_named_by_its_own_ipv6_addresses(text: bytes) -> None:
    """An admin who lists a 6to4 or NAT64 network means the addresses that Postfix shows for it."""
    assert text in NetworkSet([ip_network("2002:c000:201::/48"), ip_network("64:ff9b::c000:200/120")])


# Of few different bits, so that addresses and networks meet.
_V4 = st.sampled_from([0, 1, 0x80000000, 0xFFFFFFFF, 0xC0000201, 0xC0000202, 0xC0000300]).map(IPv4Address)
_V6 = st.sampled_from([0, 1, 1 << 127, (1 << 128) - 1, 0x20010DB8 << 96, (0x20010DB8 << 96) + 1]).map(
    IPv6Address
)


@st.composite
def _network(draw: st.DrawFn) -> Network:
    address = draw(_V4 | _V6)
    return ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)


@given(st.lists(_network()), _V4 | _V6)
def test_a_set_holds_what_one_of_its_networks_holds(
    networks: list[Network], address: IPv4Address | IPv6Address
) -> None:
    """As the ipaddress module has it, for the address itself and the one that it wraps."""
    text = str(address).encode()
    wrapped = parse_address(text)
    assert wrapped is not None

    expected = any(address in network or wrapped in network for network in networks)

    assert (text in NetworkSet(networks)) is expected
