"""TCP ports for the servers of the tests."""

import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Below the ports that the kernel gives to outgoing connections (ip_local_port_range begins at 32768): a load
# test opens thousands of these.
_FIRST, _END = 20_000, 32_000
_BLOCK = 500
_LOCKS: list[int] = []


def _numbers() -> Iterator[int]:
    """Those of a block that is this process's own, each in its turn.

    A port is not in use while its service is killed: another worker, or another run on this machine, would
    take it, and answer in the place of that service.
    """
    blocks = range(_FIRST, _END, _BLOCK)
    first = next((block for block in blocks if _is_ours(block)), None)
    assert first is not None, f"{len(blocks)} processes run tests on this machine: there are no ports left"
    return itertools.cycle(range(first, first + _BLOCK))


def _is_ours(block: int) -> bool:
    """Whether nobody else had it; until this process ends."""
    path = Path(tempfile.gettempdir(), f"mtpolicyd-test-ports-{block}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _LOCKS.append(descriptor)
    return True


_numbers_left = _numbers()


def free_port() -> int:
    """A port that nobody listens on, at no address of loopback."""
    for port in _numbers_left:
        try:
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((address, port))
        except OSError:
            continue
        return port
    raise AssertionError("unreachable: the ports have no end")
