"""docs/admin.md, run: each `$ mtpolicyctl` line on real services, under a clock of its own.

`python -m tests.support.admin_document` writes the outputs into the document anew.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.clock import WallClock
from tests.support.policy import AMERICAN, GERMAN, PolicyClient
from tests.support.protos import ROOT
from tests.support.services import Services

DOCUMENT = ROOT / "docs/admin.md"
PROMPT = "$ mtpolicyctl "
WHO = "anton@mail"
# As long, with the name of this host, so that columns stay where they are.
ADMIN = "anton".ljust(len(WHO) - 1 - len(socket.gethostname()), "0")
STATE = "/var/lib/univention-mtpolicyd"
MTPOLICYCTL = Path(sys.executable).parent / "mtpolicyctl"
# The ids that the document has, in the order in which the scenario is refused.
IDS = ("kbtd6g2g79", "4t2m8w1c5q")
# Where Karl's thieves sit: France, Brazil, the United States; three others like them are in Germany.
THIEVES = ("84.128.7.7", "84.130.1.1", "84.140.2.2")


class Command(NamedTuple):
    """A line of the document, and what stands below it."""

    line: int  # of the document, from 0
    text: str
    output: list[str]


def commands(lines: list[str]) -> Iterator[Command]:
    """Those of its blocks."""
    inside = False
    current: Command | None = None
    for number, line in enumerate(lines):
        if line.startswith("```"):
            inside = not inside
            if current:
                yield current
            current = None
        elif inside and line.startswith(PROMPT):
            if current:
                yield current
            current = Command(number, line.removeprefix("$ "), [])
        elif current:
            current.output.append(line)


class Scenario:
    """Services on which the document's users have sent. Args: directory: for all that is written."""

    def __init__(self, directory: Path) -> None:
        self.clock = WallClock(directory)
        self.services = Services(directory, {"THRESHOLD": "1000", "STATEDIR": str(directory / "state")})
        self.services.environment |= self.clock.environment | {"SUDO_USER": ADMIN, "LANG": "C.UTF-8"}
        self.directory = directory
        self.ids: dict[str, str] = {}

    def __enter__(self) -> "Scenario":
        self.clock.set("2026-11-23 22:40")
        try:
            self.services.start()
            self.services.wait_connected()
            self._send()
        except BaseException:
            self.services.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.services.stop()

    def _send(self) -> None:
        with PolicyClient(self.services.port) as client:

            def mail(user: str, count: int, address: str = GERMAN) -> str:
                return client.ask(
                    sasl_username=f"{user}@example.org",
                    client_address=address,
                    protocol_state="END-OF-MESSAGE",
                    recipient="",
                    recipient_count=str(count),
                )

            def refused(answer: str) -> str:
                found = re.search(r"\(id (\w+)\)", answer)
                assert found, answer
                return found[1]

            assert mail("anna", 12) == "DUNNO"
            assert mail("news", 1000) == "DUNNO"
            for address, count in zip(THIEVES, (420, 180, 40), strict=True):
                assert mail("karl", count, address) == "DUNNO"
            abroad = client.ask(
                sasl_username="anna@example.org", client_address=AMERICAN, recipient="info@example.com"
            )
            over = client.ask(sasl_username="news@example.org", recipient="info@example.com")
            self.ids = dict(zip(IDS, (refused(abroad), refused(over)), strict=True))

    def run(self, command: str) -> list[str]:
        """What the command prints, in the words of the document."""
        for told, real in self.ids.items():
            command = command.replace(told, real)
        words = shlex.split(command)[1:]
        output = self._tail(words) if words[0] == "tail" else self._run(words)
        return self._in_the_words_of_the_document(output).splitlines()

    def _run(self, words: list[str]) -> str:
        done = subprocess.run(
            [MTPOLICYCTL, *words],
            env=self.services.environment,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.stdout.strip("\n")

    def _tail(self, words: list[str]) -> str:
        """What it shows of one refused mail."""
        process = subprocess.Popen(
            [MTPOLICYCTL, *words],
            env=self.services.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        begun = process.stdout.readline()
        with PolicyClient(self.services.port) as client:
            client.ask(sasl_username="karl@example.org", client_address=THIEVES[0])
        shown = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        return f"{begun}{shown}{rest}".strip("\n")

    def _in_the_words_of_the_document(self, text: str) -> str:
        environment = self.services.environment
        for told, real in self.ids.items():
            text = text.replace(real, told)
        for name, port in (("DECISION_TARGET", 12346), ("QUOTA_TARGET", 12347), ("FRONTEND_METRICS", 9101)):
            real = environment[f"MTPOLICYD_{name}"]
            text = text.replace(real, f"127.0.0.1:{port}".ljust(len(real)))
        text = text.replace(environment["MTPOLICYD_STATEDIR"], STATE)
        # The kernel knows when a process was started, and nothing of the clock of this document.
        text = re.sub(
            r"^(frontend .*)\d{4}-\d\d-\d\d \d\d:\d\d", r"\g<1>2026-11-23 22:40", text, flags=re.MULTILINE
        )
        return text.replace(f"{ADMIN}@{socket.gethostname()}", WHO)


_SHAPES = (
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\d\d:\d\d(:\d\d)?(\.\d+)?", "TIME"),
    (r"\b(?=\w*\d)[0-9a-hjkmnp-tv-z]{10}\b", "ID"),
    (r"\b(?=\w*\d)[0-9a-f]{8}\b", "VERSION"),
    (r"\d+\.\d+ MiB", "SIZE"),
    (r"\d+ days old", "AGE"),
    (r"\b\d+\.\d+\.\d+\b(?!\.)", "RELEASE"),
    (r"[─ ]+", " "),
)


def shape(lines: list[str]) -> list[str]:
    """The lines without what differs from run to run."""
    shaped = []
    for line in lines:
        text = line
        for pattern, word in _SHAPES:
            text = re.sub(pattern, word, text)
        shaped.append(text.strip())
    return [line for line in shaped if line]


def files(text: str) -> dict[str, str]:
    """The blocks of the document that are files, by name."""
    return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def write() -> None:
    """Run the document's commands in their order, and put what they print below them."""
    lines = DOCUMENT.read_text().splitlines()
    with tempfile.TemporaryDirectory() as directory, Scenario(Path(directory)) as scenario:
        for name, content in files(DOCUMENT.read_text()).items():
            (scenario.directory / name).write_text(content)
        outputs = [(command, scenario.run(command.text)) for command in commands(lines)]
    for command, output in reversed(outputs):
        lines[command.line + 1 : command.line + 1 + len(command.output)] = output
    DOCUMENT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("MTPOLICYD_")]:
        del os.environ[name]
    write()
