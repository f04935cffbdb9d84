"""Who is in mynetworks."""

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from admin.doctor.clients import KINDS, LOOPBACK, Networks, as_network
from admin.doctor.tables import Tables


def parsed(text: str) -> Networks:
    return Networks.parse(text, Tables())


@pytest.mark.parametrize(
    ("text", "here", "others"),
    [
        ("127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128", True, False),
        ("127.0.0.0/8, 192.168.7.0/24", True, True),
        ("!127.0.0.1, 127.0.0.0/8", False, False),
        ("192.168.7.0/24", False, True),
        ("", False, False),
        ("mail.example.org", None, True),
        ("cidr:{{127.0.0.0/8 x}}", True, False),
        ("mysql:/x", None, True),
        ("127.0.0.1, mysql:/x", True, True),
    ],
)
def test_whether_this_host_and_others_are_trusted(text: str, here: bool | None, others: bool) -> None:
    """The first that matches counts; what cannot be read may hold anybody."""
    networks = parsed(text)

    assert networks.hold(LOOPBACK) is here
    assert networks.others is others


def test_networks_in_a_file_are_read(tmp_path: Path) -> None:
    """A file may name further ones."""
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("10.0.0.0/8\n")
    outer.write_text(f"# ours\n!10.1.0.0/16\n{inner}\n")

    assert parsed(str(outer)).hold(ip_address("10.2.0.1")) is True
    assert parsed(str(outer)).hold(ip_address("10.1.0.1")) is False
    assert parsed(f"!{outer}").hold(ip_address("10.2.0.1")) is False
    assert parsed(str(tmp_path / "none")).unread


def test_everybody_is_told() -> None:
    """mynetworks that hold the Internet."""
    assert parsed("0.0.0.0/0").everybody
    assert not parsed("10.0.0.0/8").everybody


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2", "192.0.2.0/24"),
        ("10", "10.0.0.0/8"),
        ("[2001:db8::]/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("example.org", None),
        ("hash:/x", None),
        ("", None),
        ("1.2.3.4.5", None),
    ],
)
def test_networks_as_postfix_writes_them(text: str, network: str | None) -> None:
    """Also the short form of access(5)."""
    assert as_network(text) == (ip_network(network) if network else None)


def test_the_kinds_have_names() -> None:
    """The order of the corpus."""
    assert [kind.name for kind in KINDS] == [
        "login_outside", "login_network", "login_host", "open_outside", "open_network", "open_host",
    ]  # fmt: skip
