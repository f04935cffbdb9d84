"""Which endpoint is ours."""

import socket
from pathlib import Path

import pytest

from admin.doctor.endpoint import Inet, OurService, never_permits, parse_inet, unix_path
from admin.doctor.postconf import read_service
from chassis.sockets import Listeners

QUEUE = "/var/spool/postfix"


@pytest.mark.parametrize(
    ("hosts", "endpoint", "found"),
    [
        (("127.0.0.1",), "inet:127.0.0.1:12345", True),
        (("127.0.0.1",), "inet:localhost:12345", True),
        (("127.0.0.1",), "inet:12345", True),
        (("127.0.0.1",), "inet:127.0.0.1:12346", False),
        (("127.0.0.1",), "inet:127.0.0.2:12345", False),
        (("127.0.0.1",), "inet:[::1]:12345", False),
        (("127.0.0.1", "::1"), "inet:[::1]:12345", True),
        (("0.0.0.0",), "inet:127.0.0.1:12345", True),
        (("0.0.0.0",), "inet:192.0.2.77:12345", False),
        (("policy.example.org",), "inet:Policy.example.org:12345", True),
        (("policy.example.org",), "inet:127.0.0.1:12345", False),
        (("127.0.0.1",), "unix:private/policy", False),
    ],
)
def test_host_and_port_must_agree(hosts: tuple[str, ...], endpoint: str, found: bool) -> None:
    """With what the service listens on."""
    ours = OurService(Listeners(hosts, 12345))

    assert ours.is_at(endpoint, queue_directory=QUEUE, chroot=False) is found


def test_a_socket_is_found_through_the_chroot() -> None:
    """A relative path begins at the queue directory, and in a chroot an absolute one does too."""
    ours = OurService(Listeners(("127.0.0.1",), 12345, "/var/spool/postfix/private/mtpolicyd"))
    outside = OurService(Listeners(("127.0.0.1",), 12345, "/run/mtpolicyd.sock"))

    assert ours.is_at("unix:private/mtpolicyd", queue_directory=QUEUE, chroot=True)
    assert outside.is_at("unix:/run/mtpolicyd.sock", queue_directory=QUEUE, chroot=False)
    assert not outside.is_at("unix:/run/mtpolicyd.sock", queue_directory=QUEUE, chroot=True)
    assert unix_path("inet:x:1", queue_directory=QUEUE, chroot=True) is None
    assert unix_path("unix:/a", queue_directory=QUEUE, chroot=True) == Path(QUEUE, "a")


def test_a_socket_has_one_place_whatever_the_path(tmp_path: Path) -> None:
    """/var/run and /run."""
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "run")
    ours = OurService(Listeners(("127.0.0.1",), 12345, str(tmp_path / "run" / "s")))

    assert ours.is_at(f"unix:{tmp_path}/var/s", queue_directory=QUEUE, chroot=False)


def test_a_host_name_is_what_the_resolver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows is not ours."""
    known = {"policy": [(2, 1, 6, "", ("127.0.0.1", 0))], "elsewhere": [(2, 1, 6, "", ("192.0.2.77", 0))]}

    def resolved(name: str, *_: object, **__: object) -> object:
        if name not in known:
            raise socket.gaierror
        return known[name]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    ours = OurService(Listeners(("127.0.0.1",), 12345))
    found = [
        ours.is_at(f"inet:{name}:12345", queue_directory=QUEUE, chroot=False)
        for name in ("policy", "elsewhere", "nobody")
    ]

    assert found == [True, False, False]


def test_how_postfix_reaches_the_service() -> None:
    """A wildcard is reached on loopback."""
    assert OurService(Listeners(("0.0.0.0",), 1)).endpoint == "inet:127.0.0.1:1"
    assert OurService(Listeners(("::",), 1)).endpoint == "inet:[::1]:1"
    assert OurService(Listeners(("::1",), 1)).address == ("::1", 1)
    assert parse_inet("inet:smtp") == Inet("", 25)


def test_univentions_listfilter_never_permits() -> None:
    """It is known by the program that master.cf starts."""
    spawn = "spawn user=listfilter argv=/usr/share/univention-mail-postfix/listfilter.py -b dc=x"
    services = [read_service(f"listfilter unix - n n - 30 {spawn}", {})]

    assert never_permits("unix:private/listfilter", services)
    assert not never_permits("unix:private/other", services)
    assert not never_permits("inet:127.0.0.1:10023", services)
