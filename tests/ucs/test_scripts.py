"""Shell scripts of the package."""

import os
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from chassis.ctl import COMMANDS
from tests.support.ctl import MTPOLICYCTL
from tests.support.programs import require_program
from tests.support.protos import ROOT
from tests.support.ucr import UCS

SCRIPTS = [
    *sorted(UCS.glob("debian/*.p*[nr][sm]*")),
    UCS / "bin/mtpolicyctl",
    UCS / "bash-completion/mtpolicyctl",
    UCS / "build",
    *sorted((ROOT / ".ci").iterdir()),
]


def test_all_maintainer_scripts_are_meant() -> None:
    """Of two packages."""
    names = {path.suffix for path in SCRIPTS}

    assert {".postinst", ".prerm", ".postrm"} <= names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: object) -> None:
    """Not even matters of style."""
    program = require_program("shellcheck", packages="shellcheck")
    done = subprocess.run(
        [program, "--severity=style", str(script)], capture_output=True, text=True, check=False
    )

    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.parametrize("package", ["univention-mtpolicyd", "univention-mtpolicyd-compose"])
def test_purging_spares_what_debian_s_mtpolicyd_has(package: str) -> None:
    """And its purge spares ours: /var/lib/mtpolicyd and /etc/mtpolicyd are none of our places."""
    texts = [path.read_text() for path in UCS.glob(f"debian/{package}.*")]

    assert not [text for text in texts if "/mtpolicyd " in text or "lib/mtpolicyd" in text]


@pytest.fixture
def wrapper(tmp_path: Path) -> Path:
    """`mtpolicyctl` of the package where the containers run; docker-compose prints what it is asked for."""
    (tmp_path / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "docker-compose").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    script = (UCS / "bin/mtpolicyctl").read_text()
    (tmp_path / "mtpolicyctl").write_text(script.replace("/usr/share/univention-mtpolicyd/compose", "/"))
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    return tmp_path / "mtpolicyctl"


def asked_in_the_container(wrapper: Path, *words: str) -> list[str]:
    """The arguments of docker-compose; none if the command was called on the host, where it is not there."""
    environment = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}", "SUDO_USER": "anton"}
    done = subprocess.run([wrapper, *words], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def test_every_command_that_asks_quota_goes_into_its_container(wrapper: Path) -> None:
    """A command that is new has to be named there; the host has no quota and no token."""
    packages = ("admin.look.", "admin.change.", "admin.report.", "quota.")
    commands = [point.name for point in entry_points(group=COMMANDS) if point.value.startswith(packages)]

    assert len(commands) > 15
    assert [name for name in commands if not asked_in_the_container(wrapper, name)] == []


def test_the_audit_log_hears_who_calls(wrapper: Path) -> None:
    """And whatever a login is made of arrives as it is."""
    assert asked_in_the_container(wrapper, "lock", "--reason", "a b", "--", "-x 'y' $z") == [
        *("exec", "-T", "-e", "SUDO_USER=anton", "quota"),
        *("mtpolicyctl", "lock", "--reason", "a b", "--", "-x 'y' $z"),
    ]


def test_the_shell_completes_commands_of_the_package() -> None:
    """Of `mtpolicyctl` in the path; the package has the file where bash-completion looks for it."""
    lines = (UCS / "debian/univention-mtpolicyd.install").read_text().splitlines()
    script = f"""
        . {UCS / "bash-completion/mtpolicyctl"}
        COMP_WORDS=(mtpolicyctl limit s) COMP_CWORD=2
        _mtpolicyctl_completion mtpolicyctl
        printf "%s\\n" "${{COMPREPLY[@]}}"
    """
    environment = {"PATH": f"{MTPOLICYCTL.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False
    )

    assert "bash-completion/mtpolicyctl usr/share/bash-completion/completions" in lines
    assert (done.stdout, done.stderr) == ("set\n", "")
