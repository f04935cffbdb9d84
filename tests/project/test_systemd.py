"""The units are what systemd understands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.config import CONFIG
from chassis.settings import SERVICES
from mtpolicyd_ucs.places import SETTINGS_FILE
from tests.support.programs import require_program
from tests.support.protos import ROOT

UNITS = ROOT / "deploy/systemd"
COMMAND = "/usr/bin/mtpolicyctl"
PYTHON = "/usr/lib/univention-mtpolicyd/bin/python3"


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """Copies whose command is where it is here; systemd-analyze wants to find it."""
    command = Path(sys.executable).with_name("mtpolicyctl")
    for path in sorted(UNITS.iterdir()):
        text = path.read_text().replace(COMMAND, str(command)).replace(PYTHON, sys.executable)
        (tmp_path / path.name).write_text(text)
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


def test_systemd_understands_the_unit_of_the_containers(tmp_path: Path) -> None:
    """It needs Docker's own."""
    require_program("dockerd", packages="docker.io")
    unit = tmp_path / "univention-mtpolicyd-compose.service"
    text = (ROOT / "deploy/ucs" / unit.name).read_text()
    unit.write_text(text.replace("/usr/bin/docker-compose", sys.executable))
    done = analyze("verify", "--man=no", str(unit))

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
        (line,) = [line for line in path.read_text().splitlines() if line.startswith("ExecStart=")]
        program, *words = line.removeprefix("ExecStart=").split()
        if program == COMMAND:
            done = subprocess.run([mtpolicyctl, *words, "--help"], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        elif path.stem == "univention-mtpolicyd":
            # Stands for the others.
            assert program == "/bin/true"
            assert all(f"univention-mtpolicyd-{name}.service" in path.read_text() for name in SERVICES)
        else:
            assert [program, *words[:2]] == [PYTHON, "-P", "-m"]
            assert words[2:] == [path.stem.removeprefix("univention-mtpolicyd-")]
            assert words[2] in SERVICES


def test_the_units_set_no_variable_that_beats_the_settings_file() -> None:
    """Only where the file is."""
    found = "".join(path.read_text() for path in UNITS.glob("*.service"))
    active = [line for line in found.splitlines() if not line.startswith("#")]

    assert {line for line in active if "MTPOLICYD_" in line} == {f"Environment={CONFIG}={SETTINGS_FILE}"}
