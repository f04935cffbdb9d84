"""`mtpolicyctl test`: one request to the running service, as Postfix would send it."""

import json
import socket
import time
from ipaddress import ip_address
from typing import Annotated

import typer

from chassis.config import load_or_exit
from chassis.settings import EXIT_SETTINGS
from frontend.policy_wire import REQUEST_TYPE
from frontend.settings import Settings

EXIT_REFUSED = 1
EXIT_NO_SERVICE = 3
TIMEOUT_SECONDS = 10.0
MAX_REPLY_BYTES = 4096
UNKNOWN = "unknown"  # what Postfix sends for a client whose address it cannot tell


def probe(
    user: Annotated[str, typer.Option(help="The login, sasl_username; empty: mail without a login.")],
    ip: Annotated[str, typer.Option(help="The client's address.")] = "127.0.0.1",
    recipient: Annotated[str, typer.Option(help="The recipient.")] = "recipient@example.com",
    sender: Annotated[str, typer.Option(help="MAIL FROM.")] = "",
    state: Annotated[
        str, typer.Option(help="RCPT, DATA, END-OF-MESSAGE or another protocol_state.")
    ] = "RCPT",
    count: Annotated[int, typer.Option(help="recipient_count, for DATA and END-OF-MESSAGE.")] = 0,
    instance: Annotated[str, typer.Option(help="The message; default: a new one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Ask the running service as Postfix would. A RCPT, DATA or END-OF-MESSAGE counts for the user.

    Exit code 0: the mail would pass; 1: it would be refused; 2: a wrong option or setting; 3: the service
    does not answer.
    """
    if not _is_address(ip):
        typer.echo(f"--ip {ip!r} is no address, and mail from none would pass", err=True)
        raise typer.Exit(EXIT_SETTINGS)
    settings = load_or_exit("frontend", Settings).settings
    address = (settings.hosts[0], settings.port)
    request = {
        "request": REQUEST_TYPE.decode(),
        "protocol_state": state.upper(),
        "protocol_name": "ESMTP",
        "client_address": ip,
        "sender": sender,
        "recipient": recipient,
        "recipient_count": str(count),
        "instance": instance or f"test.{time.time_ns():x}",
        "sasl_method": "PLAIN" if user else "",
        "sasl_username": user,
    }
    try:
        action = ask(address, request)
    except (OSError, ValueError) as error:
        typer.echo(f"no answer from {address[0]} port {address[1]}: {error}", err=True)
        raise typer.Exit(EXIT_NO_SERVICE) from error
    if as_json:
        typer.echo(json.dumps({"action": action, "request": request}))
    else:
        typer.echo(action)
    if not action.startswith("DUNNO"):
        raise typer.Exit(EXIT_REFUSED)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return text == UNKNOWN
    return True


def ask(address: tuple[str, int], request: dict[str, str]) -> str:
    """The action for one request. Raises OSError; ValueError if an attribute or the reply is malformed."""
    for name, value in request.items():
        if any(forbidden in value for forbidden in "\n\r\0"):
            raise ValueError(f"{name} holds a line end or a NUL")
    lines = [f"{name}={value}\n" for name, value in request.items()]
    with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
        connection.sendall("".join([*lines, "\n"]).encode("utf-8", "surrogateescape"))
        reply = b""
        while not reply.endswith(b"\n\n"):
            if not (data := connection.recv(MAX_REPLY_BYTES)) or len(reply) > MAX_REPLY_BYTES:
                raise ValueError("the service closed the connection without a whole reply")
            reply += data
    if not reply.startswith(b"action="):
        raise ValueError(f"not a reply: {reply[:80]!r}")
    return reply.removeprefix(b"action=").decode().strip()
