"""The network that stands for an address."""

from ipaddress import ip_network

import pytest

from admin.networks import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        (b"84.128.0.1", "84.128.0.0/24"),
        (b"255.255.255.255", "255.255.255.0/24"),
        (b"0.0.0.0", "0.0.0.0/24"),
        (b"2001:db8:1:2::3", "2001:db8:1::/48"),
        (b"::1", "::/48"),
        (b"fe80::1%eth0", "fe80::/48"),
        (b"::ffff:84.128.0.1", "84.128.0.0/24"),
        (b"2002:5480:1::", "84.128.0.0/24"),
    ],
)
def test_a_network_is_what_a_sender_mostly_stays_in(address: bytes, network: str) -> None:
    """A /24 or a /48, of the address that the country rule sees."""
    assert network_of(address) == ip_network(network)


@pytest.mark.parametrize("address", [b"", b"unknown", b"84.128.0", b"\xff", b"8" * 64, b"8.8.8.8/24"])
def test_what_is_no_address_has_no_network(address: bytes) -> None:
    """It is counted without one."""
    assert network_of(address) is None
