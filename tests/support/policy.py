"""A client of the policy port that does what Postfix's smtpd does."""

import itertools
import socket
from types import TracebackType
from typing import Self

_instances = itertools.count(1)

GERMAN = "84.128.0.1"
AMERICAN = "8.8.8.8"


def new_instance() -> str:
    """An instance as Postfix makes them: one for each message."""
    return f"1f2a.{next(_instances):x}.0.0"


def request(**attributes: str) -> dict[str, str]:
    """A RCPT request of alice from Germany; the arguments replace or add attributes."""
    return {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "protocol_name": "ESMTP",
        "client_address": GERMAN,
        "sender": "alice@example.org",
        "recipient": "bob@example.net",
        "recipient_count": "0",
        "instance": new_instance(),
        "sasl_method": "PLAIN",
        "sasl_username": "alice",
        "size": "0",
    } | attributes


def encode(attributes: dict[str, str]) -> bytes:
    """The bytes of a request."""
    return "".join([*(f"{name}={value}\n" for name, value in attributes.items()), "\n"]).encode("latin-1")


class PolicyClient:
    """One connection; one request at a time."""

    def __init__(self, port: int, *, timeout: float = 60.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, **attributes: str) -> str:
        """The action for `request(**attributes)`, e.g. `DUNNO`. Raises OSError, EOFError."""
        self.socket.sendall(encode(request(**attributes)))
        return self.read_action()

    def read_action(self) -> str:
        """Exactly one reply. Raises EOFError if the service closes the connection instead."""
        reply = b""
        while not reply.endswith(b"\n\n"):
            data = self.socket.recv(4096)
            if not data:
                raise EOFError(reply)
            reply += data
        assert reply.count(b"\n\n") == 1, reply
        assert reply.startswith(b"action="), reply
        return reply.removeprefix(b"action=").decode("ascii").strip()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
