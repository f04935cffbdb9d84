"""Where the services are, and what their errors mean."""

import socket
from pathlib import Path

import grpc
import grpc.aio
import pytest

from admin.talk.exits import EndError
from admin.talk.services import addresses_of, decision_settings, frontend_settings, frontend_target, run
from chassis.settings import Address
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub
from tests.support.admin_fakes import FakeQuotaAdmin

Patch = pytest.MonkeyPatch


async def ask(channel: grpc.aio.Channel) -> pb.QuotaStatus:
    return await QuotaAdminStub(channel).Status(pb.QuotaStatusRequest(), timeout=5)


def resolve(monkeypatch: Patch, *hosts: str) -> None:
    """Every name stands for these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 1)) for host in hosts]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_a_service_is_asked(quota: FakeQuotaAdmin) -> None:
    """Over a channel of its own."""
    assert run("quota", decision_settings().quota_target, ask).version == "1"


@pytest.mark.usefixtures("settings")
def test_a_service_that_is_not_there_is_named_with_its_address() -> None:
    """Exit code 3; gRPC's long words are cut to what happened."""
    target = decision_settings().quota_target
    with pytest.raises(EndError) as caught:
        run("quota", target, ask)

    assert caught.value.code == 3
    assert str(caught.value) == f"no answer from quota at {target}: Connection refused (111)"


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2, "a \\x1b bad word"),
        (grpc.StatusCode.UNAUTHENTICATED, 2, "a \\x1b bad word"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 2, "a \\x1b bad word"),
        (grpc.StatusCode.NOT_FOUND, 1, "a \\x1b bad word"),
        (grpc.StatusCode.UNAVAILABLE, 3, "no answer from quota at TARGET: a \\x1b bad word"),
        (grpc.StatusCode.UNIMPLEMENTED, 3, "no answer from quota at TARGET: a \\x1b bad word"),
    ],
)
def test_what_a_service_says_is_told(
    quota: FakeQuotaAdmin, status: grpc.StatusCode, code: int, line: str
) -> None:
    """On one printable line; only what the service means for this question has a code of its own."""
    quota.errors["Status"] = (status, "a \x1b bad word")
    target = decision_settings().quota_target
    with pytest.raises(EndError) as caught:
        run("quota", target, ask)

    assert (caught.value.code, str(caught.value)) == (code, line.replace("TARGET", str(target)))


def test_a_name_stands_for_all_its_addresses(monkeypatch: Patch) -> None:
    """Each once: these are replicas."""
    resolve(monkeypatch, "10.0.0.1", "10.0.0.2", "10.0.0.1")
    assert addresses_of(Address("decision", 12346)) == [
        Address("10.0.0.1", 12346),
        Address("10.0.0.2", 12346),
    ]


def test_loopback_is_one_service(monkeypatch: Patch) -> None:
    """`localhost` has two addresses, and a service listens at one of them."""
    resolve(monkeypatch, "::1", "127.0.0.1")
    assert addresses_of(Address("localhost", 12346)) == [Address("localhost", 12346)]


def test_what_stands_for_nothing_is_asked_as_it_is(monkeypatch: Patch) -> None:
    """A socket; and a name that is unknown, so that it is named in the error."""
    assert addresses_of(Address("", 0, "/run/x")) == [Address("", 0, "/run/x")]

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert addresses_of(Address("decision", 1)) == [Address("decision", 1)]


@pytest.mark.parametrize(
    ("listens", "found"),
    [
        ("0.0.0.0:9101", "127.0.0.1:9101"),
        ("[::]:9101", "[::1]:9101"),
        ("frontend:9101", "frontend:9101"),
        ("unix:/run/metrics", "unix:/run/metrics"),
    ],
)
def test_a_frontend_is_found_where_it_listens(
    settings: Path, monkeypatch: Patch, listens: str, found: str
) -> None:
    """In its own container it listens on every address."""
    monkeypatch.setenv("MTPOLICYD_FRONTEND_METRICS", listens)
    assert str(frontend_target()) == found
    assert frontend_settings().on_failure == "dunno"
