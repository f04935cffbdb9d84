"""Receivers of notifications on loopback: a mail server, a web server, and one that never answers."""

import asyncio
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.ports import free_port
from tests.support.programs import require_program


class Mail(NamedTuple):
    """What a mail server was given."""

    sender: str | None
    recipients: list[str]
    content: bytes
    encrypted: bool
    user: str | None
    hello: str | None

    @property
    def message(self) -> EmailMessage:
        message = message_from_bytes(self.content, policy=default)
        assert isinstance(message, EmailMessage)
        return message


class MailServer:
    """Keeps every mail; replies as it is told.

    `replies` are the next ones after DATA; then it takes everything. `recipient_replies` are by recipient.
    """

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.replies: list[str] = []
        self.recipient_replies: dict[str, str] = {}
        self.port = free_port()
        self.user, self.password = "notifier", "correct horse"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.recipient_replies.get(address)
        if reply is not None:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        if self.replies:
            return self.replies.pop(0)
        login: Any = session.auth_data
        self.mails.append(
            Mail(
                envelope.mail_from,
                list(envelope.rcpt_tos),
                content,
                session.ssl is not None,
                login.login.decode() if session.authenticated else None,
                session.host_name,
            )
        )
        return "250 2.0.0 Ok: queued as 4BFh"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        right = (data.login, data.password) == (self.user.encode(), self.password.encode())
        return AuthResult(success=right, handled=False, auth_data=data)


@contextmanager
def mail_server(
    *, tls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None
) -> Iterator[MailServer]:
    """One in a thread of its own. Args: tls: offer STARTTLS; implicit: speak TLS from the first byte."""
    server = MailServer()
    controller = Controller(
        server,
        hostname="127.0.0.1",
        port=server.port,
        ready_timeout=30,
        ssl_context=implicit,
        tls_context=tls,
        authenticator=server.authenticate,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


class Request(NamedTuple):
    """What a web server was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.body)
        return fields


class WebServer:
    """Keeps every request; `answers` are the next (status, headers), then it says 204.

    While `gate` is closed, no request is answered.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.requests: list[Request] = []
        self.answers: list[tuple[int, Mapping[str, str]]] = []
        self.url = ""


@contextmanager
def web_server(port: int | None = None) -> Iterator[WebServer]:
    """One in threads of its own."""
    server = WebServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.requests.append(Request(self.command, self.path, dict(self.headers.items()), body))
            server.gate.wait()
            status, headers = server.answers.pop(0) if server.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            with suppress(OSError):  # the client has left
                self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Nobody reads it."""

    listening = ThreadingHTTPServer(("127.0.0.1", port or free_port()), Handler)
    server.url = f"http://127.0.0.1:{listening.server_port}/hook"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        listening.shutdown()
        thread.join()
        listening.server_close()


@contextmanager
def silence() -> Iterator[int]:
    """The port of a receiver that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", free_port()), backlog=64) as listening:
        yield listening.getsockname()[1]


@asynccontextmanager
async def scripted(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """The port of a receiver that says what a test wants it to, in the test's own loop."""
    over: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over.append(asyncio.Event())
        try:
            await talk(reader, writer)
        except ConnectionError:  # the client has left
            pass
        finally:
            writer.close()
            over[-1].set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for event in over:
            await event.wait()


def certificate(directory: Path, *, name: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate for 127.0.0.1 that nobody has signed, and its file."""
    openssl = require_program("openssl", packages="openssl")
    both = directory / f"{name}.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-days", "2"]
    done = subprocess.run(
        [*command, "-keyout", directory / "key", "-out", directory / "certificate"], capture_output=True
    )
    assert done.returncode == 0, done.stderr
    both.write_bytes((directory / "key").read_bytes() + (directory / "certificate").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, both
