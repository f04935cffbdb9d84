"""`mtpolicyctl tail` on real services: what it shows, how it ends, and what it costs the others."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from decision.tail import MAX_READERS
from tests.support.policy import AMERICAN, PolicyClient, encode, request
from tests.support.services import Services, running, wait_until

MTPOLICYCTL = Path(sys.executable).parent / "mtpolicyctl"


class Tail:
    """A tail that has begun to watch."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Exit code, the rest of standard output, and of standard error."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextmanager
def tail(services: Services, *arguments: str) -> Iterator[Tail]:
    process = subprocess.Popen(
        [MTPOLICYCTL, "tail", *arguments],
        env=services.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("watching decision at 127.0.0.1:"), first + process.stderr.read()
        yield Tail(process)
    finally:
        process.kill()
        process.communicate()


def test_decisions_are_shown_while_they_are_made(services: Services, policy: PolicyClient) -> None:
    """Those that match; Ctrl-C ends it quietly, with exit code 0, and leaves nothing in decision."""
    before = services.log("decision")
    with (
        tail(services, "--json", "--user", "Tailed") as all_of_one,
        tail(services, "--action", "reject") as refused,
    ):
        assert policy.ask(sasl_username="somebody") == "DUNNO"
        assert policy.ask(sasl_username="tailed") == "DUNNO"
        reply = policy.ask(sasl_username="tailed", client_address=AMERICAN)
        passed, rejected = json.loads(all_of_one.line()), json.loads(all_of_one.line())
        line = refused.line()

        assert (passed["action"], passed["account"], passed["used"], passed["limit"]) == (
            "DUNNO",
            "tailed",
            1,
            10,
        )
        assert (rejected["action"], rejected["reason"], rejected["country"]) == ("REJECT", "country", "US")
        assert rejected["id"] in reply
        assert rejected["id"] in line
        assert " REJECT country tailed from 8.8.8.8 US to bob@example.net" in line
        assert "\x1b" not in line
        assert all_of_one.end(signal.SIGINT) == (0, "", "")
        assert refused.end(signal.SIGINT) == (0, "", "")

    assert policy.ask(sasl_username="tailed") == "DUNNO"
    lines = services.log("decision")[len(before) :].splitlines()
    assert [line for line in lines if not line.startswith("time=")] == []
    assert [line for line in lines if "level=error" in line] == []


def test_a_reader_that_has_enough_is_no_error(services: Services, policy: PolicyClient) -> None:
    """`mtpolicyctl tail | head -1`."""
    piped = subprocess.Popen(
        f"{MTPOLICYCTL} tail --user piped | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        env=services.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert piped.stderr is not None
        assert piped.stderr.readline().startswith("watching")
        wait_until(lambda: policy.ask(sasl_username="piped") and piped.poll() is not None, what="it ends")
        out, err = piped.communicate()
    finally:
        piped.kill()
    assert (out.splitlines()[-1], err) == ("0", "")


def test_one_admin_too_many_is_told(services: Services) -> None:
    """Exit code 2; and what is misspelt is not watched for."""
    with ExitStack() as stack:
        for _ in range(MAX_READERS):
            stack.enter_context(tail(services, "--user", "nobody"))
        ended = subprocess.run(
            [MTPOLICYCTL, "tail"], env=services.environment, capture_output=True, text=True, timeout=30
        )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"{MAX_READERS} admins are watching already\n"

    ended = subprocess.run(
        [MTPOLICYCTL, "tail", "--reason", "cuota"],
        env=services.environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr[:18]) == (2, "cuota is no reason")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_decision_ends_the_tail(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 3, and one line that says where."""
    with running(tmp_path) as services, tail(services) as watching:
        services.signal("decision", number)
        watching.process.wait(30)
        code, _, err = watching.end(signal.SIGCONT)
    target = services.environment["MTPOLICYD_DECISION_TARGET"]

    assert code == 3
    assert err.count("\n") == 1
    assert target in err


def test_a_reader_that_stands_still_delays_nobody(services: Services) -> None:
    """Its decisions are lost, and it is told how many; each answer comes as ever, from each connection."""
    clients, rounds = 20, 100
    count = clients * rounds
    # More than sockets and streams hold on the way.
    recipient = f"{'x' * 20_000}@example.net"
    with tail(services, "--json", "--user", "flood") as slow:
        os.kill(slow.process.pid, signal.SIGSTOP)
        with ExitStack() as stack:
            flooding = [stack.enter_context(PolicyClient(services.port)) for _ in range(clients)]
            # After the limit each is refused, which is a decision as well.
            for _ in range(rounds):
                for client in flooding:
                    client.socket.sendall(encode(request(sasl_username="flood", recipient=recipient)))
                for client in flooding:
                    client.read_action()
        os.kill(slow.process.pid, signal.SIGCONT)
        told, lost = 0, 0
        while told + lost < count:
            found = json.loads(slow.line())
            lost += found.get("lost", 0)
            told += "lost" not in found

    assert told + lost == count
    assert lost > 0
