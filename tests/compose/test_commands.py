"""Every `docker compose` command of the documents is one that both of them know."""

import re
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from tests.support.protos import ROOT

pytestmark = pytest.mark.compose

PAGES = [
    ROOT / "README.md",
    ROOT / ".env.example",
    ROOT / "docker-compose.yml",
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("deploy/**/*.yml"),
]
# What follows their service is a command of its own.
RUNNING = ("exec", "run")
WITH_VALUE = ("-e", "-s", "--profile", "--tail", "--scale", "--since")


def commands() -> Iterator[tuple[str, ...]]:
    """The options of compose itself, the command, and its options: each as one word."""
    for page in PAGES:
        for line in re.findall(r"docker[ -]compose((?: [\w$=.\-]+)+)", page.read_text()):
            yield from spoken(line.split())


def spoken(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Of words behind `docker compose`, those that compose itself reads; none if they are prose."""
    read: list[str] = []
    command, value = "", False
    for word in words:
        if value or not word.startswith("-"):
            if not value and command in RUNNING:
                break
            command = command or ("" if value else word)
            value = False
        else:
            read.append(word)
            value = word in WITH_VALUE
    if command.isalpha():
        yield (command, *read)


def test_what_is_read_of_a_command() -> None:
    assert list(spoken(["--profile", "geo", "ps", "geo-update"])) == [("ps", "--profile")]
    assert list(spoken(["exec", "-e", "A=$B", "quota", "ls", "-l"])) == [("exec", "-e")]
    assert list(spoken(["1.29"])) == []
    assert list(spoken(["up", "-d", "--scale", "decision=2"])) == [("up", "-d", "--scale")]


def test_both_know_every_command_and_option(program: Sequence[str]) -> None:
    """An admin at night has either."""
    found = set(commands())
    helps = {name: told(program, name) for name in {command for command, *_ in found}}
    itself = told(program)

    assert ("exec",) in found
    assert len(helps) > 5
    for command, *options in found:
        assert helps[command], f"{command} is no command"
        for option in options:
            assert re.search(rf"(?<![\w-]){option}\b", helps[command] + itself), f"{command} {option}"


def told(program: Sequence[str], *command: str) -> str:
    """Its help, or nothing where there is none."""
    done = subprocess.run([*program, *command, "--help"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""
