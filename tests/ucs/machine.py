"""A Debian 12 with a systemd of its own, in a container without a network: a UCS host, to the package."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.debian import bootstrap
from tests.support.programs import SEARCH_PATH
from tests.support.services import wait_until
from tests.support.ucr import DOUBLE

INCLUDE = "systemd,systemd-sysv,dbus,python3,adduser,procps,iproute2"
BOOT_SECONDS = 60.0
END_SECONDS = 30.0
INSIDE = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")

CONTROL = """Package: univention-config
Version: 16.0.0
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: a double of UCR
"""

STUB = """Package: {name}
Version: {version}
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: stands in for what a test does not need
"""


def make_base(target: Path, repository: Path) -> None:
    """Debian with the double of UCR, and with a repository as its only source of packages."""
    bootstrap(target, include=INCLUDE)
    package = target / "srv/univention-config"
    modules = package / "usr/lib/python3/dist-packages"
    modules.mkdir(parents=True)
    shutil.copytree(DOUBLE / "univention", modules / "univention")
    (package / "usr/sbin").mkdir(parents=True)
    command = package / "usr/sbin/univention-config-registry"
    command.write_text('#!/bin/sh\nexec python3 -m univention.config_registry "$@"\n')
    command.chmod(0o755)
    (package / "usr/sbin/ucr").symlink_to(command.name)
    (package / "etc/univention/templates/removed").mkdir(parents=True)
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN/control").write_text(CONTROL)
    chroot(target, "dpkg-deb --build /srv/univention-config /srv/ucr.deb && dpkg --install /srv/ucr.deb")
    (target / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/repository ./\n")
    (target / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    shutil.copytree(repository, target / "srv/repository")
    chroot(target, "apt-get update")


def copy(template: Path, root: Path) -> None:
    """A system has device files, of which shutil would read without an end."""
    subprocess.run(["cp", "--archive", "--reflink=auto", template, root], check=True)


def chroot(root: Path, command: str) -> str:
    """Run a shell command where no systemd runs. Raises AssertionError if it fails."""
    done = subprocess.run(
        ["chroot", root, "sh", "-ec", command], env=INSIDE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Machine:
    """Runs while the context of `booted` is entered."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._console = root.with_suffix(".boot")
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def boot(self) -> None:
        """Raises AssertionError if systemd does not come up."""
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", f"--directory={self.root}", "--boot", "--private-network"),
                    # There is no systemd on the host that could know of it.
                    *("--register=no", "--keep-unit", "--link-journal=no", "--console=read-only"),
                ],
                env={"PATH": SEARCH_PATH, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._is_up, seconds=BOOT_SECONDS, what="systemd is up")

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._console.read_text()
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            return False
        self._leader = int(children[0])
        return self.run("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            # systemd(1): SIGRTMIN+4 is poweroff.
            os.kill(self._leader, signal.SIGRTMIN + 4)
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise

    def kill(self) -> None:
        """For what nobody looks at any more."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._leader, signal.SIGKILL)
            self._process.wait(END_SECONDS)

    def reboot(self) -> None:
        self.end()
        self.boot()

    def run(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A shell command, as root. Raises AssertionError if it fails."""
        done = subprocess.run(
            ["nsenter", f"--target={self._leader}", *NAMESPACES, "sh", "-c", command],
            env=INSIDE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{command}:\n{done.stdout}{done.stderr}\n{self.journal()}"
        return done

    def said(self, command: str) -> str:
        """Its standard output without the last line end."""
        return self.run(command).stdout.rstrip("\n")

    def python(self, code: str) -> str:
        """What a program prints."""
        (self.root / "srv/program.py").write_text(code)
        return self.said("python3 /srv/program.py")

    def install_stub(self, name: str, version: str, files: dict[str, str]) -> None:
        """A package of programs and units. Args: files: path, without the first /, to text."""
        tree = self.root / "srv" / name
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
            (tree / path).chmod(0o755 if "bin/" in path else 0o644)
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(STUB.format(name=name, version=version))
        self.run(f"dpkg-deb --build /srv/{name} /srv/{name}.deb && dpkg --install /srv/{name}.deb")

    def journal(self) -> str:
        done = subprocess.run(
            ["journalctl", f"--directory={self.root}/var/log/journal", "--no-pager", "--lines=60"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def wait_ready(self) -> None:
        """Until the three services answer and talk to each other."""
        try:
            wait_until(self._is_ready, seconds=30, what="the services are ready")
        except AssertionError as error:
            units = self.run(
                "systemctl list-units --all --no-pager 'univention-mtpolicyd*'", check=False
            ).stdout
            raise AssertionError(f"{error}\n{units}\n{self.journal()}") from error

    def _is_ready(self) -> bool:
        ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:%d/metrics').read().decode())"
        texts = [self.run(f'python3 -c "{ask % port}"', check=False).stdout for port in (9101, 9102)]
        return all("mtpolicyd_stream_up{" in text and "} 1.0" in text for text in texts)

    def pids(self) -> dict[str, str]:
        """The process of each service; 0: none."""
        return {
            name: self.said(f"systemctl show --property=MainPID --value univention-mtpolicyd-{name}.service")
            for name in ("quota", "decision", "frontend")
        }


@contextmanager
def booted(template: Path, root: Path) -> Iterator[Machine]:
    """A machine of its own: what it writes lies beside the template, which stays as it is."""
    layers = [root.with_suffix(f".{name}") for name in ("upper", "work")]
    for path in (root, *layers):
        path.mkdir()
    options = f"lowerdir={template},upperdir={layers[0]},workdir={layers[1]}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
    machine = Machine(root)
    try:
        (root / "var/log/journal").mkdir(exist_ok=True)
        machine.boot()
        yield machine
    finally:
        machine.kill()
        subprocess.run(["umount", root], check=True)
        for path in (root, *layers):
            shutil.rmtree(path)
