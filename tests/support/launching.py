"""`mtpolicyctl run` as a process, and the services that it has started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.services import Services

RUN = [sys.executable, "-P", "-c", "from chassis.ctl import main; main()", "run"]
READY = b"univention-mtpolicyd: ready."


@contextmanager
def launched(services: Services, **how: object) -> Iterator[subprocess.Popen[bytes]]:
    """A launcher whose output is a pipe; stopped at the end."""
    process = subprocess.Popen(RUN, env=services.environment, **{"stdout": subprocess.PIPE, **how})  # type: ignore[call-overload]
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def read_until(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """Its output up to this text."""
    assert process.stdout is not None
    output = b""
    while text not in output:
        data = os.read(process.stdout.fileno(), 65536)
        assert data, output.decode()
        output += data
    return output


def pid_of(launcher: int, name: str) -> int | None:
    """The process of a service that this launcher has started, None if there is none at the moment."""
    for pid in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if command[1:4] == [b"-P", b"-m", name.encode()]:
            return int(pid)
    return None


def signal_to(launcher: int, name: str, number: signal.Signals) -> int:
    """Send a signal to a service of this launcher; returns its process id."""
    pid = pid_of(launcher, name)
    assert pid is not None, f"{name} does not run"
    os.kill(pid, number)
    return pid


def started_again(launcher: int, name: str, before: int | None) -> bool:
    """Whether another process has taken its place."""
    return pid_of(launcher, name) not in (None, before)
