"""A Docker engine of our own, and the image that everything is built on, without pulling anything."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.debian import bootstrap
from tests.support.programs import SEARCH_PATH, require_program, require_root, unmet
from tests.support.services import wait_until

PACKAGES = "docker.io docker-compose debootstrap"
LOCK = Path("/tmp/mtpolicyd-docker.lock")
START_SECONDS = 60.0
STOP_SECONDS = 60.0
# What iptables-save does not print, because nobody has used it yet.
UNUSED = {
    "filter": "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n",
    "nat": "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n",
}
INTERFACES = Path("/sys/class/net")
OF_DOCKER = ("br-", "docker", "veth")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


class Engine:
    """A running engine. Args: directory: of its data and its socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            "PATH": SEARCH_PATH,
            "HOME": str(directory),
            "DOCKER_CONFIG": str(directory / "client"),
            "DOCKER_HOST": f"unix://{directory}/socket",
        }

    def docker(self, *arguments: str, check: bool = True) -> str:
        """What the client prints. Raises AssertionError if it fails."""
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def answers(self) -> bool:
        return bool(self.docker("version", "--format", "{{.Server.Version}}", check=False).strip())


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Started by hand with data, socket and process id in a directory of its own; the firewall as it was.

    Waits for an engine of another run of these tests on this machine.
    """
    require_root()
    for program in ("dockerd", "docker", "docker-compose", "debootstrap", "iptables-save"):
        require_program(program, packages=PACKAGES)
    if Path("/var/run/docker.sock").is_socket():
        unmet("another Docker engine runs here: a second one would write its firewall rules over those")
    with ExitStack() as stack:
        # Two engines would have the same networks: what is sent to one's container arrives at the other's.
        lock = stack.enter_context(LOCK.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack.enter_context(_ended_in_order())
        stack.enter_context(_firewall_restored())
        stack.enter_context(_no_network_left())
        directory = Path(tempfile.mkdtemp(prefix="mtpolicyd-docker-", dir="/tmp"))
        stack.callback(_remove, directory)
        engine = Engine(directory)
        (directory / "daemon.json").write_text("{}")
        log = stack.enter_context((directory / "log").open("wb"))
        process = subprocess.Popen(
            [
                # Whatever ends the tests, the engine does not outlive them.
                "setpriv",
                "--pdeathsig=TERM",
                "dockerd",
                f"--config-file={directory}/daemon.json",
                f"--data-root={directory}/data",
                f"--exec-root={directory}/exec",
                f"--pidfile={directory}/pid",
                f"--host=unix://{directory}/socket",
                "--bridge=none",
            ],
            env={**os.environ, "PATH": SEARCH_PATH},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        stack.callback(_stop, process)

        def is_up() -> bool:
            assert process.poll() is None, (directory / "log").read_text()
            return engine.answers()

        wait_until(is_up, seconds=START_SECONDS, what="the engine answers")
        yield engine


def make_base_image(engine: Engine, name: str) -> None:
    """Debian as it is on a new system, from the mirror that this machine uses, under the name of an image."""
    target = engine.directory / "debian"
    bootstrap(target)
    with subprocess.Popen(["tar", "-C", target, "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            ["docker", "import", "-", name],
            env=engine.environment,
            stdin=tar.stdout,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    assert tar.returncode == 0
    shutil.rmtree(target)


def _remove(directory: Path) -> None:
    """Also what an engine leaves mounted: a network namespace, or, after a bad end, containers."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in reversed([path for path in mounted if path.startswith(f"{directory}/")]):
        subprocess.run(["umount", "--lazy", path], check=True)
    shutil.rmtree(directory)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM ends the tests as Ctrl-C does: containers, networks and mounts go before the engine does."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _no_network_left() -> Iterator[None]:
    """An engine leaves the bridges of networks that nobody has removed. Raises AssertionError for such."""
    before = set(INTERFACES.iterdir())
    left: set[str] = set()
    try:
        yield
    finally:
        left |= {path.name for path in set(INTERFACES.iterdir()) - before if path.name.startswith(OF_DOCKER)}
        for name in left:
            subprocess.run(["ip", "link", "delete", name], env={"PATH": SEARCH_PATH}, check=False)
    assert left == set(), "the tests have left networks"


@contextmanager
def _firewall_restored() -> Iterator[None]:
    """An engine leaves its chains behind, forwarding on, and a FORWARD that drops."""
    environment = {"PATH": SEARCH_PATH}
    saved = subprocess.run(["iptables-save"], env=environment, capture_output=True, text=True, check=True)
    rules = saved.stdout
    rules += "".join(empty for table, empty in UNUSED.items() if f"*{table}\n" not in rules)
    forwarding = FORWARDING.read_text()
    try:
        yield
    finally:
        subprocess.run(["iptables-restore"], env=environment, input=rules, text=True, check=True)
        FORWARDING.write_text(forwarding)
