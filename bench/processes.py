"""Processes that are measured: how they start and end, their memory and processor time (proc(5))."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bench.interface import StartProblem

PROC = Path("/proc")
START_SECONDS = 30.0
STOP_SECONDS = 20.0
ORPHAN_SECONDS = 2.0  # for descendants to end by themselves, when whoever started them has
LOG_TAIL_BYTES = 2000
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
# Fields of /proc/PID/stat behind the command's closing parenthesis, counted from 0.
_STATE, _PARENT, _UTIME, _STIME = 0, 1, 11, 12

_children: dict[int, subprocess.Popen[bytes]] = {}


def adopt_orphans() -> None:
    """What a daemon leaves behind becomes our child: it can be found, and reaped, also in a container."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pss_bytes(smaps_rollup: str) -> int:
    """The proportional set size in the text of /proc/PID/smaps_rollup: shared pages count by their share."""
    for line in smaps_rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no Pss in smaps_rollup")


def pss(pids: Iterable[int]) -> int:
    """The PSS of the processes together, in bytes; one that has just ended has none."""
    total = 0
    for pid in pids:
        try:
            total += pss_bytes((PROC / str(pid) / "smaps_rollup").read_text())
        except (OSError, ValueError):
            continue
    return total


def stat_fields(stat: str) -> list[str]:
    """The fields of /proc/PID/stat from the state on; a command may hold spaces and parentheses."""
    return stat.rpartition(")")[2].split()


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes so far; one that has ended has none."""
    ticks = 0
    for pid in pids:
        try:
            fields = stat_fields((PROC / str(pid) / "stat").read_text())
        except OSError:
            continue
        ticks += int(fields[_UTIME]) + int(fields[_STIME])
    return ticks / os.sysconf("SC_CLK_TCK")


def tree(roots: Iterable[int]) -> list[int]:
    """The processes and all that descend from them, without those that have ended."""
    children: dict[int, list[int]] = {}
    alive = set()
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = stat_fields((entry / "stat").read_text())
        except OSError:  # it has ended meanwhile
            continue
        if fields[_STATE] not in "ZX":
            alive.add(int(entry.name))
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid for pid in roots if pid in alive]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def end(roots: Iterable[int]) -> None:
    """SIGTERM to the processes, then SIGKILL to what is left of them and of their descendants."""
    roots = list(roots)
    family = tree(roots)
    for pid in roots:
        _signal(pid, signal.SIGTERM)
    _wait_for_end(roots, family, STOP_SECONDS)
    _wait_for_end(family, family, ORPHAN_SECONDS)
    for pid in tree(family):
        _signal(pid, signal.SIGKILL)
    _wait_for_end(family, family, STOP_SECONDS)


def spawn(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> int:
    """Start a process in a session of its own, with its output in a file; returns its id."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _children[process.pid] = process
    return process.pid


def wait(pid: int) -> None:
    """Wait until a process that was spawned has ended."""
    _children.pop(pid).wait()


def wait_for(condition: Callable[[], bool], what: str, log: Path, pids: Callable[[], list[int]]) -> float:
    """Wait until the condition is true; returns for how many seconds.

    Raises:
        StartProblem: it does not become true in time, or the processes have ended.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > START_SECONDS or not pids():
            tail = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace") if log.exists() else ""
            raise StartProblem(f"{what} does not start:\n{tail}")
        time.sleep(0.005)
    return time.monotonic() - started


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait_for_end(pids: Sequence[int], family: Sequence[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not set(tree(pids)).isdisjoint(pids) and time.monotonic() < deadline:
        _reap(family)
        time.sleep(0.02)
    _reap(family)


def _reap(pids: Iterable[int]) -> None:
    """Take the exit codes of those that are our children, by birth or adoption."""
    for pid in pids:
        if pid in _children:
            if _children[pid].poll() is not None:
                del _children[pid]
            continue
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
