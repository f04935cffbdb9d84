"""The proof, against servers that the test plays."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from admin.doctor.live import NOBODY, Dialogue, probe_policy_port, talk
from tests.doctor.recorder import Recorder
from tests.support.ports import free_port


@contextmanager
def smtp(recipient_reply: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """An SMTP server that takes any login; its port, and what it was told."""
    told: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 test\r\n")
            for line in self.rfile:
                told.append(line.strip())
                verb = line[:4].upper()
                reply = {
                    b"EHLO": b"250-test\r\n250 AUTH PLAIN",
                    b"AUTH": b"235 ok",
                    b"RCPT": recipient_reply,
                    b"QUIT": b"221 bye",
                }.get(verb, b"250 ok")
                self.wfile.write(reply + b"\r\n")
                if verb == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1], told
        server.shutdown()


def dialogue(port: int) -> Dialogue:
    return Dialogue("127.0.0.1", port, "alice", "secret", "", "bob@example.net")


@pytest.mark.parametrize(
    ("reply", "counts", "found"),
    [
        (b"250 ok", [3, 4], "live_counted"),
        (b"250 ok", [3, 3], "live_not_counted"),
        (b"250 ok", [None, 4], "live_cannot_tell"),
        (b"550 no such user", [3, 3], "live_cannot_tell"),
        (b"550 no such user", [3, 4], "live_counted"),
        (b"450 4.7.1 limit reached (id kbtd6g2g79)", [3, 3], "live_refused_by_us"),
    ],
)
def test_the_count_tells_whether_the_service_was_asked(
    reply: bytes, counts: list[int | None], found: str
) -> None:
    """And a refusal of ours tells it too."""
    left = iter(counts)
    with smtp(reply) as (port, told):
        finding = talk(dialogue(port), lambda login: next(left))

    assert finding.id == found
    assert not any(line.upper().startswith(b"DATA") for line in told)
    assert told[-1].upper() == b"QUIT"


def test_a_server_that_is_not_there_is_told() -> None:
    """It is no traceback."""
    assert talk(dialogue(free_port()), lambda login: 0).id == "live_smtp_failed"


def test_the_policy_port_is_asked_about_nobody() -> None:
    """At a stage at which nothing is counted."""
    with Recorder() as recorder:
        finding = probe_policy_port(("127.0.0.1", recorder.port))

    (request,) = recorder.requests
    assert finding.id == "live_answer"
    assert (request["protocol_state"], request["sasl_username"]) == ("VRFY", NOBODY)
    assert probe_policy_port(("127.0.0.1", free_port())).id == "live_no_answer"
