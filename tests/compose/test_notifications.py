"""Notifications from a container, with deploy/compose.notify.yml as docs/NOTIFY.md names it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.compose.engine import Engine
from tests.compose.stack import Stack
from tests.support.notifications import documented_receiver
from tests.support.policy import AMERICAN, PolicyClient
from tests.support.services import wait_until

pytestmark = pytest.mark.compose

FILE = "deploy/compose.notify.yml"
SECRET = b"correct horse battery staple"
SERVICE_USER = 10001
# Prints a line for each request, as JSON.
RECEIVER = """
import http.server, json

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(json.dumps({"headers": dict(self.headers), "body": body}), flush=True)
        self.send_response(204)
        self.end_headers()

http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


class Posted(NamedTuple):
    """One request, as the receiver got it."""

    headers: dict[str, str]
    body: bytes


@contextmanager
def receiver(engine: Engine, stack: Stack) -> Iterator[str]:
    """A container beside quota's way out, where no other service is."""
    image = stack.container("quota")["Image"]
    network = f"{stack.name}_outside"
    name = f"receiver-{os.getpid()}"
    run = ("run", "--detach", "--name", name, "--network", network, "--network-alias", "hooks")
    container = engine.docker(*run, image, "python", "-c", RECEIVER).strip()
    try:
        yield container
    finally:
        engine.docker("rm", "--force", container)


def posted(engine: Engine, container: str) -> list[Posted]:
    """What it was sent so far."""
    lines = [json.loads(line) for line in engine.docker("logs", container).splitlines()]
    return [Posted(line["headers"], line["body"].encode()) for line in lines]


@contextmanager
def notifying(stack: Stack) -> Iterator[None]:
    """quota with the file, the settings and the secret; afterwards as before."""
    files = f"{stack.variables['COMPOSE_FILE']}:{FILE}"
    secret: Path = stack.checkout / "deploy/secrets/webhook-secret"
    secret.write_bytes(SECRET + b"\n")
    os.chown(secret, SERVICE_USER, SERVICE_USER)
    secret.chmod(0o400)
    before = stack.settings_file.read_text()
    stack.settings_file.write_text(
        before + 'notify_webhook_url = "http://hooks:8080/mtpolicyd"\n'
        'notify_webhook_secret_file = "/run/secrets/webhook-secret"\n'
        'notify_host = "mail.example.org"\n'
    )
    try:
        stack.compose("up", "-d", "quota", variables={"COMPOSE_FILE": files})
        yield
    finally:
        stack.settings_file.write_text(before)
        stack.compose("up", "-d", "quota")
        secret.unlink()
        stack.wait_healthy("quota")
        stack.wait_connected()


def networks(stack: Stack) -> set[str]:
    """Those of quota, without the project's name."""
    found = stack.container("quota")["NetworkSettings"]["Networks"]
    return {name.removeprefix(f"{stack.name}_") for name in found}


def test_a_webhook_gets_what_happened_signed(engine: Engine, stack: Stack, login: str) -> None:
    """The test notification and a real one; the receiver checks them as the document says.

    Only that file gives quota a way out and the secrets, which it cannot write.
    """
    is_ours = documented_receiver()
    assert networks(stack) == {"backend"}
    with notifying(stack), receiver(engine, stack) as hooks:
        stack.wait_healthy("quota")
        stack.wait_connected()
        quota = stack.container("quota")
        ways = networks(stack)
        tried = stack.compose("exec", "-T", "quota", "mtpolicyctl", "notify", "test", "--json")
        (port,) = stack.policy_ports()
        with PolicyClient(port) as client:
            answer = client.ask(sasl_username=login, client_address=AMERICAN)

        def told() -> list[Posted]:
            return [one for one in posted(engine, hooks) if json.loads(one.body)["account"] == login]

        wait_until(told, seconds=30, what="the receiver is told")
        (real,) = told()
        first = posted(engine, hooks)[0]

    assert ways == {"backend", "outside"}
    assert [one["RW"] for one in quota["Mounts"] if one["Destination"] == "/run/secrets"] == [False]
    assert not quota["HostConfig"]["PortBindings"]
    assert [(one["channel"], one["delivered"]) for one in json.loads(tried)] == [("webhook", True)]
    assert json.loads(first.body)["kind"] == "test"
    fields = json.loads(real.body)
    assert (fields["kind"], fields["country"], fields["host"]) == (
        "country_refused",
        "US",
        "mail.example.org",
    )
    assert f"(id {fields['decision_id']})" in answer
    assert is_ours(SECRET, real.headers, real.body)
    assert not is_ours(SECRET, real.headers, real.body + b" ")
    assert not is_ours(SECRET + b"x", first.headers, first.body)
