"""The units are what systemd understands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import require_program
from tests.support.protos import ROOT

UNITS = ROOT / "deploy/systemd"
COMMAND = "/usr/bin/mtpolicyctl"


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Copies whose command is where it is here; systemd-analyze wants to find it."""
    command = Path(sys.executable).with_name("mtpolicyctl")
    for path in sorted(UNITS.iterdir()):
        (tmp_path / path.name).write_text(path.read_text().replace(COMMAND, str(command)))
    return [str(path) for path in sorted(tmp_path.iterdir())]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = require_program("systemd-analyze", packages="systemd")
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "SYSTEMD_COLORS": "0"}
    return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def test_systemd_understands_every_line(units: list[str]) -> None:
    """It warns of a name or a value that it does not know."""
    done = analyze("verify", "--man=no", *units)

    # It reads the units of this machine too, and may have to say something of them.
    assert [line for line in done.stderr.splitlines() if "univention-mtpolicyd" in line] == []
    assert done.returncode == 0


def test_the_test_would_see_a_mistake(units: list[str], tmp_path: Path) -> None:
    """A name with a slip."""
    service = Path(next(name for name in units if name.endswith(".service")))
    service.write_text(service.read_text().replace("ProtectSystem=", "ProtectSytsem="))

    assert "ProtectSytsem" in analyze("verify", "--man=no", str(service)).stderr


def test_the_services_are_hardened(units: list[str]) -> None:
    """By systemd's own measure, of which 10 is the worst."""
    for name in units:
        if name.endswith(".service"):
            done = analyze("security", "--offline=yes", "--threshold=25", "--no-pager", name)
            assert done.returncode == 0, done.stdout


def test_every_service_runs_a_command_that_there_is() -> None:
    """With options that it knows."""
    mtpolicyctl = str(Path(sys.executable).with_name("mtpolicyctl"))
    assert shutil.which(mtpolicyctl)
    for path in UNITS.glob("*.service"):
        (line,) = [line for line in path.read_text().splitlines() if line.startswith(f"ExecStart={COMMAND}")]
        words = line.removeprefix(f"ExecStart={COMMAND}").split()
        done = subprocess.run([mtpolicyctl, *words, "--help"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
