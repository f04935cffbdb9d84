"""Who may use the policy port."""

from ipaddress import ip_network

import pytest

from frontend.clients import LOOPBACK, AllowedClients, opens_beyond_loopback


@pytest.mark.parametrize(
    ("peer", "admitted"),
    [
        (("127.0.0.1", 40000), True),
        (("127.9.9.9", 40000), True),
        (("::1", 40000, 0, 0), True),
        (("::ffff:127.0.0.1", 40000, 0, 0), True),
        (("192.0.2.1", 40000), False),
        (("2001:db8::1", 40000, 0, 0), False),
        (("fe80::1%eth0", 40000, 0, 2), False),
        ("", True),
        (None, True),
    ],
)
def test_only_loopback_may_connect_by_default(peer: object, admitted: bool) -> None:
    """And whoever may open the UNIX socket."""
    assert AllowedClients(LOOPBACK).admits(peer) is admitted


def test_networks_of_both_families_may_be_allowed() -> None:
    """Only what is listed: loopback too has to be."""
    clients = AllowedClients((ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))

    peers = ("192.0.2.1", "192.0.3.1", "2001:db8::1", "::ffff:192.0.2.1", "127.0.0.1")
    assert [clients.admits((peer, 1)) for peer in peers] == [True, False, True, True, False]


@pytest.mark.parametrize(
    ("hosts", "beyond"),
    [
        (("127.0.0.1",), False),
        (("127.0.0.1", "::1", "localhost"), False),
        (("0.0.0.0",), True),
        (("::",), True),
        (("127.0.0.1", "192.0.2.1"), True),
        (("mail.example.org",), True),
    ],
)
def test_what_opens_the_port_to_others_is_known(hosts: tuple[str, ...], beyond: bool) -> None:
    """A name may mean any address."""
    assert opens_beyond_loopback(hosts) is beyond
