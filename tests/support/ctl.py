"""`mtpolicyctl` as a process, in the environment of services."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.services import Services

MTPOLICYCTL = Path(sys.executable).parent / "mtpolicyctl"


class Ctl:
    """Calls commands. Args: more: variables beside those of the services."""

    def __init__(self, services: Services, **more: str) -> None:
        self.environment = services.environment | more

    def run(self, *words: "str | bytes", stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Whatever becomes of it."""
        return subprocess.run(
            [MTPOLICYCTL, *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def said(self, *words: "str | bytes", stdin: str = "") -> str:
        """Standard output of a command that succeeds and complains of nothing."""
        ended = self.run(*words, stdin=stdin)
        assert (ended.returncode, ended.stderr) == (0, ""), (words, ended)
        return ended.stdout

    def json(self, *words: "str | bytes", code: int = 0) -> Any:
        """What it says with --json."""
        ended = self.run(words[0], "--json", *words[1:])
        assert (ended.returncode, ended.stderr) == (code, ""), (words, ended)
        return json.loads(ended.stdout)

    def json_of(self, *words: str) -> Any:
        """Likewise for a command of a group, `limit list`."""
        return json.loads(self.said(*words, "--json"))

    def fails(self, code: int, *words: "str | bytes", stdin: str = "") -> str:
        """The one line on standard error of a command that ends with this code."""
        ended = self.run(*words, stdin=stdin)
        assert ended.returncode == code, (words, ended)
        assert ended.stderr.count("\n") == 1, ended.stderr
        return ended.stderr.strip()
