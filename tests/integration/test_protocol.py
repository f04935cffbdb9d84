"""Postfix's policy protocol on a real socket."""

import socket
import struct
import time
from pathlib import Path

import pytest

from tests.support.policy import AMERICAN, PolicyClient, encode, new_instance, request
from tests.support.services import Services, running, wait_until


def read_all(client: PolicyClient) -> bytes:
    """Everything until the service closes the connection."""
    data = b""
    while part := client.socket.recv(65536):
        data += part
    return data


def test_several_requests_in_one_segment_are_answered_in_order(policy: PolicyClient) -> None:
    """A refusal between two accepted ones stays in its place."""
    policy.socket.sendall(
        encode(request(sasl_username="segment1"))
        + encode(request(sasl_username="segment2", client_address=AMERICAN))
        + encode(request(sasl_username=""))
    )
    policy.socket.shutdown(socket.SHUT_WR)
    first, second, third, end = read_all(policy).split(b"\n\n")

    assert (first, third, end) == (b"action=DUNNO", b"action=DUNNO", b"")
    assert second.startswith(b"action=REJECT 5.7.1 ")


def test_a_byte_at_a_time_is_one_request(policy: PolicyClient) -> None:
    """The split of the bytes does not matter."""
    for byte in encode(request(sasl_username="bytes")):
        policy.socket.sendall(bytes([byte]))

    assert policy.read_action() == "DUNNO"


def test_a_half_closed_connection_gets_its_reply(policy: PolicyClient) -> None:
    """Then the connection ends."""
    policy.socket.sendall(encode(request(sasl_username="half")))
    policy.socket.shutdown(socket.SHUT_WR)

    assert read_all(policy) == b"action=DUNNO\n\n"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("bad_line", b"request=smtpd_access_policy\nnonsense\n\n"),
        ("no_request", b"sasl_username=a\n\n"),
        ("no_request", b"\n"),
        ("wrong_request", b"request=junk\n\n"),
        ("nul", b"request=smtpd_access_policy\nsender=a\0b\n\n"),
        ("too_many", b"request=smtpd_access_policy\n" + b"a=b\n" * 200 + b"\n"),
        ("too_long", b"request=smtpd_access_policy\na=" + b"x" * 65536 + b"\n\n"),
        ("eof", b"request=smtpd_access_policy\n"),
    ],
)
def test_what_is_no_request_gets_no_reply_but_a_closed_connection(
    services: Services, kind: str, data: bytes
) -> None:
    """One count and one log line by kind; a good request before it is answered."""
    before = services.metric("frontend", "mtpolicyd_protocol_errors_total", kind=kind)
    with PolicyClient(services.port) as client:
        client.socket.sendall(encode(request(sasl_username="")) + data)
        client.socket.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"action=DUNNO\n\n"

    assert services.metric("frontend", "mtpolicyd_protocol_errors_total", kind=kind) == before + 1
    assert f"event=protocol_error kind={kind}" in services.log("frontend")


def test_odd_but_valid_requests_are_answered(policy: PolicyClient) -> None:
    """CRLF, invalid UTF-8, repeated, unknown and missing attributes."""
    policy.socket.sendall(b"request=smtpd_access_policy\r\nsender=\xff\r\n\r\n")
    assert policy.read_action() == "DUNNO"
    policy.socket.sendall(
        b"request=smtpd_access_policy\nsasl_username=x\nnew_attribute=1\nclient_address=8.8.8.8\nsasl_username=\n\n"
    )
    assert policy.read_action() == "DUNNO"


def test_a_thousand_idle_connections_are_kept(services: Services) -> None:
    """Each of them is answered afterwards."""
    clients = [PolicyClient(services.port) for _ in range(1000)]
    try:
        wait_until(
            lambda: services.metric("frontend", "mtpolicyd_connections_open") >= 1000, what="all are open"
        )
        answers = {client.ask(sasl_username="") for client in clients}
    finally:
        for client in clients:
            client.close()

    assert answers == {"DUNNO"}


def test_connections_beyond_the_bound_are_closed_and_counted(tmp_path: Path) -> None:
    """Those within it are not disturbed."""
    with running(tmp_path, MAX_CONNECTIONS="3") as services:
        clients = [PolicyClient(services.port) for _ in range(3)]
        assert [client.ask(sasl_username="") for client in clients] == ["DUNNO"] * 3
        with PolicyClient(services.port) as one_more, pytest.raises((EOFError, ConnectionError)):
            one_more.ask(sasl_username="")
        assert [client.ask(sasl_username="") for client in clients] == ["DUNNO"] * 3
        assert services.metric("frontend", "mtpolicyd_connections_refused_total") == 1
        for client in clients:
            client.close()


def test_a_client_that_vanishes_does_no_harm(services: Services) -> None:
    """Reset in the middle of a request, and while the answer is under way."""
    for data in (b"request=smtpd", encode(request(sasl_username="vanish"))):
        client = PolicyClient(services.port)
        client.socket.sendall(data)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    with PolicyClient(services.port) as client:
        assert client.ask(sasl_username="vanish") == "DUNNO"


def send_forever(client: PolicyClient, block: bytes) -> None:
    for _ in range(2000):
        client.socket.sendall(block)


def test_a_client_that_never_reads_holds_nobody_up(services: Services) -> None:
    """It sends requests without end; its neighbour is answered."""
    with PolicyClient(services.port, timeout=0.3) as greedy, PolicyClient(services.port) as good:
        block = encode(request(sasl_username="")) * 200
        with pytest.raises(TimeoutError):
            send_forever(greedy, block)
        started = time.monotonic()
        assert good.ask(sasl_username="neighbour") == "DUNNO"
        assert time.monotonic() - started < 1


def test_it_listens_on_ipv6_and_on_a_unix_socket(tmp_path: Path) -> None:
    """Beside IPv4, when the settings say so."""
    path = tmp_path / "policy.sock"
    with running(tmp_path, HOST="127.0.0.1, ::1", SOCKET=str(path), SOCKET_MODE="0600") as services:
        answers = []
        for family, address in (
            (socket.AF_INET, ("127.0.0.1", services.port)),
            (socket.AF_INET6, ("::1", services.port)),
            (socket.AF_UNIX, str(path)),
        ):
            with socket.socket(family) as client:
                client.settimeout(5)
                client.connect(address)
                client.sendall(encode(request(instance=new_instance())))
                answers.append(client.recv(100))

        assert answers == [b"action=DUNNO\n\n"] * 3
        assert path.stat().st_mode & 0o777 == 0o600


def test_clients_that_are_not_allowed_are_closed_and_counted(tmp_path: Path) -> None:
    """Here loopback itself is not; the UNIX socket is."""
    path = tmp_path / "policy.sock"
    with running(tmp_path, HOST="0.0.0.0", ALLOWED_CLIENTS="192.0.2.0/24", SOCKET=str(path)) as services:
        with PolicyClient(services.port) as client, pytest.raises((EOFError, ConnectionError)):
            client.ask(sasl_username="")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(encode(request(sasl_username="")))
            assert client.recv(100) == b"action=DUNNO\n\n"

        assert services.metric("frontend", "mtpolicyd_clients_not_allowed_total") == 1


def test_a_port_that_is_open_to_others_is_warned_about(tmp_path: Path) -> None:
    """When nobody else is allowed to use it."""
    with running(tmp_path, HOST="0.0.0.0") as services:
        assert "event=port_open_beyond_loopback" in services.log("frontend")
