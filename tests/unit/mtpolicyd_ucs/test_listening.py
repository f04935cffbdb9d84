"""Where systemd listens for the services."""

import socket

import pytest

from mtpolicyd_ucs.listening import Listening, listening


@pytest.mark.parametrize(
    ("host", "addresses", "beyond", "reached_at"),
    [
        ("", ("127.0.0.1",), False, "127.0.0.1:12345"),
        ("127.0.0.1", ("127.0.0.1",), False, "127.0.0.1:12345"),
        ("127.0.0.1, ::1", ("127.0.0.1", "::1"), False, "127.0.0.1:12345"),
        ("::1", ("::1",), False, "[::1]:12345"),
        ("0.0.0.0", ("0.0.0.0",), True, "127.0.0.1:12345"),
        ("::", ("::",), True, "[::1]:12345"),
        ("192.0.2.1,127.0.0.1", ("192.0.2.1", "127.0.0.1"), True, "192.0.2.1:12345"),
        ("127.0.0.1,127.0.0.1", ("127.0.0.1",), False, "127.0.0.1:12345"),
    ],
)
def test_hosts_are_addresses(host: str, addresses: tuple[str, ...], beyond: bool, reached_at: str) -> None:
    """Of loopback or of more."""
    found = listening({"host": host, "port": "12345"})

    assert found == Listening(addresses, 12345)
    assert found.beyond_loopback == beyond
    assert found.reached_at == reached_at


def test_a_name_is_looked_up() -> None:
    """systemd knows none."""
    assert "127.0.0.1" in listening({"host": "localhost", "port": "1"}).addresses
    # No resolver is asked about it.
    with pytest.raises(OSError, match="is no host name"):
        listening({"host": "a" * 64, "port": "1"})


def test_the_drop_in_takes_away_what_the_unit_says() -> None:
    """And has a line for each address."""
    assert Listening(("0.0.0.0", "::1"), 1).drop_in().splitlines()[1:] == [
        "[Socket]",
        "ListenStream=",
        "ListenStream=0.0.0.0:1",
        "ListenStream=[::1]:1",
    ]


def test_a_port_that_somebody_has_is_taken() -> None:
    """At one of the addresses; an address of another host is not looked at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert Listening(("192.0.2.1", "127.0.0.1"), port).taken() == f"127.0.0.1:{port}"
        assert Listening(("0.0.0.0",), port).taken() == f"127.0.0.1:{port}"
    assert Listening(("192.0.2.1", "127.0.0.1", "::1"), port).taken() is None


def test_an_address_of_another_host_is_absent() -> None:
    """Loopback never is, nor all addresses together."""
    assert Listening(("192.0.2.1", "127.0.0.1", "::1", "0.0.0.0"), 12345).absent() == ["192.0.2.1"]
