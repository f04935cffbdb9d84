"""`mtpolicyctl test`, against a service that the test plays."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import typer
from typer.testing import CliRunner, Result

from frontend import probe
from tests.support.ports import free_port

REQUEST = {
    "request": "smtpd_access_policy",
    "protocol_state": "RCPT",
    "protocol_name": "ESMTP",
    "client_address": "127.0.0.1",
    "sender": "",
    "recipient": "recipient@example.com",
    "recipient_count": "0",
    "instance": "1.2",
    "sasl_method": "PLAIN",
    "sasl_username": "alice",
}


class Service:
    """Takes one connection, reads one request, sends the parts of a reply, and closes.

    Args: holds: it does not close before the client does.
    """

    def __init__(self, listener: socket.socket, *parts: bytes, holds: bool = False) -> None:
        self.received = b""
        self._holds = holds
        self._listener = listener
        self._parts = parts
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(5)
            while not self.received.endswith(b"\n\n"):
                self.received += connection.recv(4096)
            for part in self._parts:
                connection.sendall(part)
            if self._holds:
                with contextlib.suppress(ConnectionError):
                    connection.recv(1)

    def request(self) -> dict[str, str]:
        """What it was asked."""
        self._thread.join(5)
        lines = self.received.decode().removesuffix("\n\n").split("\n")
        return dict(line.split("=", 1) for line in lines)


Replies = Callable[..., Service]


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replies]:
    """Call it with the parts of the reply: the service of the settings then answers so."""
    services: list[Service] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        monkeypatch.setenv("MTPOLICYD_PORT", str(listener.getsockname()[1]))

        def start(*parts: bytes, holds: bool = False) -> Service:
            services.append(Service(listener, *parts, holds=holds))
            return services[-1]

        yield start
        for service in services:
            service._thread.join(5)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(probe.probe)
    return CliRunner().invoke(app, arguments)


# Exit codes and output


@pytest.mark.parametrize(
    ("reply", "action", "code"),
    [
        (b"action=DUNNO\n\n", "DUNNO", 0),
        (b"action=DEFER 4.7.1 Later (id 1)\n\n", "DEFER 4.7.1 Later (id 1)", 1),
        (b"action=REJECT 5.7.1 No (id 1)\n\n", "REJECT 5.7.1 No (id 1)", 1),
        (b"action=OK\n\n", "OK", 1),
    ],
)
def test_the_exit_code_tells_whether_the_mail_would_pass(
    replies: Replies, reply: bytes, action: str, code: int
) -> None:
    """And the action is printed as Postfix would get it."""
    replies(reply)
    result = run("--user", "alice")

    assert (result.exit_code, result.stdout, result.stderr) == (code, f"{action}\n", "")


def test_a_reply_may_come_in_pieces(replies: Replies) -> None:
    """It ends with the empty line."""
    replies(b"action=DEF", b"ER 4.7.1 Later\n", b"\n")

    assert run("--user", "alice").stdout == "DEFER 4.7.1 Later\n"


@pytest.mark.parametrize(("reply", "code"), [(b"action=DUNNO\n\n", 0), (b'action=REJECT 5.7.1 "No"\n\n', 1)])
def test_as_json_it_is_one_object(replies: Replies, reply: bytes, code: int) -> None:
    """The action and the request."""
    replies(reply)
    result = run("--user", "alice", "--instance", "1.2", "--json")

    assert result.exit_code == code
    assert json.loads(result.stdout) == {
        "action": reply.decode().removeprefix("action=").strip(),
        "request": REQUEST,
    }


def test_what_is_no_address_is_not_asked_about() -> None:
    """The service would answer DUNNO, and the admin believe that it passes from 8.8.8.8."""
    result = run("--user", "alice", "--ip", "8.8.8.888")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "--ip '8.8.8.888' is no address, and mail from none would pass\n"


def test_a_client_without_an_address_and_small_letters_are_allowed(replies: Replies) -> None:
    """Postfix itself sends `unknown`; a state in small letters would be none that counts."""
    service = replies(b"action=DUNNO\n\n")
    result = run("--user", "alice", "--ip", "unknown", "--state", "data")

    assert result.exit_code == 0
    assert (service.request()["client_address"], service.request()["protocol_state"]) == ("unknown", "DATA")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "the service closed the connection without a whole reply"),
        ([b"action=DUNNO\n"], "the service closed the connection without a whole reply"),
        ([b"220 mail.example.org ESMTP\n\n"], "not a reply: b'220 mail.example.org ESMTP\\n\\n'"),
    ],
)
@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_without_a_whole_reply_the_exit_code_is_3(
    replies: Replies, parts: list[bytes], reason: str, json_too: list[str]
) -> None:
    """One line on standard error says who did not answer and why."""
    replies(*parts)
    result = run("--user", "alice", *json_too)

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("no answer from 127.0.0.1 port ")
    assert result.stderr.endswith(f": {reason}\n")


def test_a_reply_without_an_end_is_exit_code_3(replies: Replies) -> None:
    """It is not read for ever, nor as long as the service keeps the connection."""
    replies(b"x" * 9000, holds=True)
    result = run("--user", "alice")

    assert (result.exit_code, result.stdout) == (3, "")
    assert "timed out" not in result.stderr


def test_a_service_that_does_not_listen_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's reason."""
    port = free_port()
    monkeypatch.setenv("MTPOLICYD_PORT", str(port))
    result = run("--user", "alice")

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(f"no answer from 127.0.0.1 port {port}: ")
    assert "Connection refused" in result.stderr


def test_a_service_that_hangs_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while."""
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("MTPOLICYD_PORT", str(listener.getsockname()[1]))
        result = run("--user", "alice")

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.endswith(": timed out\n")


def test_a_wrong_setting_is_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked."""
    monkeypatch.setenv("MTPOLICYD_PORT", "99999")
    result = run("--user", "alice")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("univention-mtpolicyd: MTPOLICYD_PORT='99999' is not allowed")


# The request


def test_it_asks_as_postfix_asks_at_rcpt(replies: Replies) -> None:
    """Each time about a new message, so each time it counts."""
    instances = set()
    for _ in range(2):
        service = replies(b"action=DUNNO\n\n")
        run("--user", "alice")
        request = service.request()
        instances.add(request["instance"])
        assert request == REQUEST | {"instance": request["instance"]}

    assert len(instances) == 2
    assert all(instances)


def test_every_option_becomes_an_attribute(replies: Replies) -> None:
    """The login, the client, the envelope, the state, the count and the message."""
    service = replies(b"action=DUNNO\n\n")
    options = {
        "--user": "bob@example.org",
        "--ip": "2001:db8::1",
        "--recipient": "r@example.net",
        "--sender": "s=t@example.org",
        "--state": "END-OF-MESSAGE",
        "--count": "7",
        "--instance": "1.2",
    }
    run(*(word for option in options.items() for word in option))

    assert service.request() == REQUEST | {
        "sasl_username": "bob@example.org",
        "client_address": "2001:db8::1",
        "recipient": "r@example.net",
        "sender": "s=t@example.org",
        "protocol_state": "END-OF-MESSAGE",
        "recipient_count": "7",
    }


def test_without_a_login_it_asks_for_mail_without_a_login(replies: Replies) -> None:
    """There is no SASL method then."""
    service = replies(b"action=DUNNO\n\n")
    run("--user", "")
    request = service.request()

    assert (request["sasl_username"], request["sasl_method"]) == ("", "")


def test_the_login_has_to_be_said() -> None:
    """An admin who forgets it would test mail without a login."""
    assert run().exit_code == 2


@pytest.mark.parametrize("character", ["\n", "\r", "\0"])
def test_an_option_cannot_forge_an_attribute(character: str) -> None:
    """It is refused before anybody is asked."""
    result = run("--user", f"alice{character}sasl_username=bob")

    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.endswith(": sasl_username holds a line end or a NUL\n")


def test_a_host_of_the_settings_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of them."""
    port = free_port()
    monkeypatch.setenv("MTPOLICYD_HOST", "::1, 127.0.0.1")
    monkeypatch.setenv("MTPOLICYD_PORT", str(port))

    assert run("--user", "alice").stderr.startswith(f"no answer from ::1 port {port}: ")


def test_bytes_that_are_no_utf8_are_asked_as_they_are(replies: Replies) -> None:
    """As a shell passes them on."""
    service = replies(b"action=DUNNO\n\n")
    result = run("--user", "caf\udce9")
    service._thread.join(5)

    assert result.exit_code == 0
    assert b"\nsasl_username=caf\xe9\n" in service.received
