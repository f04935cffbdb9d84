"""The ways in."""

import pytest

from admin.doctor.clients import Networks
from admin.doctor.entrances import (
    Way,
    entrances,
    own_host_is_own_address,
    port_number,
    possible_kinds,
    split_address,
)
from admin.doctor.postconf import read_service
from admin.doctor.tables import Tables

LINES = [
    "smtp inet n - n - 1 postscreen",
    "smtpd pass - - n - - smtpd",
    "submission inet n - n - - smtpd",
    "127.0.0.1:10025 inet n - n - - smtpd",
    "pickup unix n - n 60 1 pickup",
    "628 inet n - n - - qmqpd",
    "9000 inet n n n - 0 spawn argv=x",
    "policy unix - n n - 0 spawn argv=x",
    "2525 inet n n n - 0 our-smtpd",
    "7 inet n - n - 0 discard",
    "cleanup unix n - n - 0 cleanup",
]
SERVICES = [read_service(line, {}) for line in LINES]


def test_every_service_that_takes_mail_is_a_way_in() -> None:
    """postscreen is the way into the smtpd behind it."""
    found = entrances(SERVICES, {"inet_interfaces": "all"})

    assert [(way.name, way.way, way.service.name, way.port, way.here_only) for way in found] == [
        ("smtp (25), postscreen", Way.SMTPD, "smtpd", 25, False),
        ("submission (587)", Way.SMTPD, "submission", 587, False),
        ("127.0.0.1:10025", Way.SMTPD, "127.0.0.1:10025", 10025, True),
        ("sendmail (pickup)", Way.SENDMAIL, "pickup", 0, True),
        ("628", Way.QMQPD, "628", 628, False),
        ("9000", Way.OTHER, "9000", 9000, False),
        ("2525", Way.OTHER, "2525", 2525, False),
    ]


def test_postscreen_passes_clients_on_to_the_service_that_is_named() -> None:
    """In master.cf before main.cf; where there is none, nobody knows."""
    lines = ["smtp inet n - n - 1 postscreen", "smtpd pass - - n - - smtpd", "other pass - - n - - smtpd"]

    def behind(main: dict[str, str], **overrides: str) -> tuple[Way, str]:
        postscreen = read_service(lines[0], {"smtp/inet": overrides})
        (way,) = entrances([postscreen, *(read_service(line, {}) for line in lines[1:])], main)
        return way.way, way.service.name

    assert behind({}) == (Way.SMTPD, "smtpd")
    assert behind({"smtpd_service_name": "other"}) == (Way.SMTPD, "other")
    assert behind({}, smtpd_service_name="other") == (Way.SMTPD, "other")
    assert behind({}, smtpd_service_name="$mine") == (Way.OTHER, "smtp")


def test_a_service_that_is_switched_off_is_no_way_in() -> None:
    """By its type, or by its name and type; the first that matches counts."""

    def found(value: str) -> list[str]:
        return [way.listener.name for way in entrances(SERVICES, {"master_service_disable": value})]

    assert "submission" not in found("submission/inet")
    assert "smtp" in found("submission/inet")
    assert found("!submission/inet inet") == ["submission", "pickup"]
    assert found("inet, unix") == []


def test_a_host_that_listens_on_loopback_alone() -> None:
    """Only it reaches its ports."""
    assert all(way.here_only for way in entrances(SERVICES, {"inet_interfaces": "loopback-only"}))


def names(values: dict[str, str], networks: str) -> dict[str, bool]:
    way = entrances(SERVICES, {})[1]
    kinds = possible_kinds(way, values, Networks.parse(networks, Tables()))
    return {kind.name: certain for kind, certain in kinds.items()}


def test_who_can_log_in_where() -> None:
    """A login by XCLIENT is possible, not certain."""
    assert set(names({}, "127.0.0.1")) == {"open_host", "open_outside"}
    assert names({"smtpd_sasl_auth_enable": "yes"}, "10.0.0.0/8")["login_network"]
    assert names({"smtpd_authorized_xclient_hosts": "10.0.0.1"}, "127.0.0.1")["login_outside"] is False
    assert "open_outside" not in names({}, "0.0.0.0/0")


def test_a_proxy_of_this_host_may_pass_on_clients_from_anywhere() -> None:
    """By the PROXY protocol, of smtpd or of postscreen in front of it."""

    def origins(line: str, values: dict[str, str], **overrides: str) -> set[str]:
        listener = read_service(line, {"127.0.0.1:25/inet": overrides})
        behind = read_service("smtpd pass - - n - - smtpd", {})
        (way,) = entrances([listener, behind], {})
        return {kind.origin for kind in possible_kinds(way, values, Networks.parse("127.0.0.1", Tables()))}

    smtpd, postscreen = "127.0.0.1:25 inet n - n - - smtpd", "127.0.0.1:25 inet n - n - 1 postscreen"
    name = "upstream_proxy_protocol"
    assert origins(smtpd, {f"postscreen_{name}": "haproxy"}) == {"host"}
    assert origins(smtpd, {f"smtpd_{name}": "haproxy"}) == {"host", "outside"}
    assert origins(postscreen, {f"smtpd_{name}": "haproxy"}) == {"host"}
    assert origins(postscreen, {f"postscreen_{name}": "haproxy"}) == {"host", "outside"}
    assert origins(postscreen, {}, **{f"postscreen_{name}": "haproxy"}) == {"host", "outside"}
    assert origins(postscreen, {f"postscreen_{name}": "haproxy"}, **{f"postscreen_{name}": ""}) == {"host"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("smtp", ("", 25)),
        ("[::1]:587", ("::1", 587)),
        ("127.0.0.1:smtps", ("127.0.0.1", 465)),
        ("x", ("", 0)),
    ],
)
def test_addresses_of_services(name: str, found: tuple[str, int]) -> None:
    """With and without a host."""
    assert split_address(name) == found
    assert port_number("submission") == 587


def test_whether_loopback_is_an_interface_of_postfix() -> None:
    """For permit_inet_interfaces."""
    assert own_host_is_own_address({"inet_interfaces": "all"}) is True
    assert own_host_is_own_address({"inet_interfaces": "192.0.2.1"}) is None
