"""The benchmark, as short as it can be: that it runs and checks, not what it measures."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.build import build
from bench.document import markers
from bench.load import Load, Mix, run_load
from tests.support.programs import require_program
from tests.support.protos import ROOT

QUICK = ["--rounds", "1", "--seconds", "0.3", "--connections", "1,50"]
Peer = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def needs_a_compiler() -> None:
    """policyload is written in C."""
    require_program("cc", packages="gcc libc6-dev")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m bench`, with its output."""
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@contextmanager
def server(speak: Peer) -> Iterator[int]:
    """The port of a server whose connections are given to `speak`, each in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=run, args=[connection], daemon=True).start()

        def run(connection: socket.socket) -> None:
            with connection:
                speak(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def replies(*parts: bytes) -> Peer:
    """Answers each request with these bytes, each part in a packet of its own."""

    def speak(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while connection.recv(65536):
                for part in parts:
                    connection.sendall(part)
        except OSError:
            return

    return speak


def loaded(speak: Peer, *, count: int = 10) -> Load:
    """What policyload says of such a server, asked on two connections."""
    with server(speak) as port:
        return run_load(build("policyload"), port, Mix(2, count=count, warm_up=0, abroad_every=5))


def test_a_short_run_of_us_and_the_limit(tmp_path: Path) -> None:
    """Every answer and count was right, and the section is written."""
    document = tmp_path / "document.md"
    document.write_text("\n".join(["by hand", *markers("rates"), "by hand"]))

    done = bench(*QUICK, "--only", "us,limit", "--idle-seconds", "0.1", "--document", str(document))

    assert done.returncode == 0, done.stdout + done.stderr
    text = document.read_text()
    assert text.count("by hand") == 2
    for line in ("| univention-mtpolicyd |", "| the limit (C, always DUNNO) |", "| **ours / the limit** |"):
        assert line in text
    assert "mtpolicyd, MariaDB" not in text
    assert "processor time while idle" in text


def test_a_short_minute_and_a_small_big_state() -> None:
    """The other two runs."""
    minute = bench("--minute", "--minute-seconds", "0.3")
    assert minute.returncode == 0, minute.stdout + minute.stderr
    large = bench(*QUICK, "--large", "--users", "500", "--charges", "4000")

    assert large.returncode == 0, large.stdout + large.stderr
    assert "| full, all 500 users send, at random |" in large.stdout


def test_an_unknown_subject_is_told() -> None:
    """With exit code 2."""
    done = bench("--only", "us,nobody")

    assert done.returncode == 2
    assert "unknown nobody" in done.stderr


def test_policyload_counts_replies_by_kind() -> None:
    """Words in capitals, the first text as it came; a reply may come in pieces."""
    load = loaded(replies(b"act", b"ion=reject no ", b'\xff"\n', b"\n"))

    assert (load.requests, load.replies, load.failed) == (10, 10, 0)
    assert (load.home, load.abroad) == ({"REJECT": 8}, {"REJECT": 2})
    assert load.texts == {"REJECT": "reject no ??"}
    assert 0 < load.p50_us <= load.p99_us <= load.max_us


@pytest.mark.parametrize(
    "reply",
    [
        b"\n\n",
        b"action=\n\n",
        b"DUNNO\n\n",
        b"action=DUNNO\naction=DUNNO\n\n",
        b"action=DUNNO\n\naction=DUNNO\n\n",
        b"action=DUNNO\n\n\n",
        b"action=" + 5000 * b"x",
    ],
)
def test_policyload_finds_malformed_replies(reply: bytes) -> None:
    """None of them counts as a reply."""
    load = loaded(replies(reply))

    assert load.malformed == load.requests == 10
    assert load.replies == 0


def test_policyload_can_leave_connections_idle() -> None:
    """Each asks once, one after the other."""
    most = 0
    asking: set[socket.socket] = set()

    def speak(connection: socket.socket) -> None:
        nonlocal most
        while connection.recv(65536):
            asking.add(connection)
            most = max(most, len(asking))
            asking.discard(connection)
            connection.sendall(b"action=DUNNO\n\n")

    with server(speak) as port:
        load = run_load(build("policyload"), port, Mix(20, count=0, gentle=True))

    assert (load.replies, load.failed, most) == (20, 0, 1)


def test_policyload_counts_lost_requests_and_connects_again() -> None:
    """As Postfix does when a service closes the connection."""

    def hang_up(connection: socket.socket) -> None:
        connection.recv(65536)

    load = loaded(hang_up)

    assert load.lost == load.requests == 10


def test_policyload_gives_up_on_silence() -> None:
    """A request without a reply is told, and the exit code is 1."""

    def say_nothing(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    with server(say_nothing) as port:
        command = [str(build("policyload")), "-p", str(port), "-c", "1", "-n", "1", "-t", "0.2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert done.returncode == 1
    assert json.loads(done.stdout)["unanswered"] == 1


def test_policyload_sends_what_postfix_sends() -> None:
    """Attributes by attribute; each mail has an instance of its own, each user an address of its own."""
    requests: list[dict[str, str]] = []

    def speak(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            assert data.endswith(b"\n\n")
            requests.append(dict(line.split("=", 1) for line in data.decode().split("\n") if line))
            connection.sendall(b"action=DUNNO\n\n")

    loaded(speak, count=100)

    assert len(requests) == 100
    assert {request["protocol_state"] for request in requests} == {"RCPT"}
    assert len({request["instance"] for request in requests}) == 100
    assert all(len(request["instance"].split(".")) == 4 for request in requests)
    abroad = [request for request in requests if request["client_address"].startswith("12.")]
    home = [request for request in requests if request["client_address"].startswith("84.")]
    assert (len(abroad), len(home)) == (20, 80)
    assert len({request["sasl_username"] for request in home}) == len(
        {request["client_address"] for request in home}
    )
