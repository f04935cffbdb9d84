"""TCP ports for the servers of the tests."""

import itertools
import os
import socket
from collections.abc import Iterator

# Below the ports that the kernel gives to outgoing connections (ip_local_port_range begins at 32768): a load
# test opens thousands of these.
_FIRST, _END = 20_000, 32_000
_WORKERS = 8


def _numbers() -> Iterator[int]:
    """Those of this worker of pytest-xdist, each in its turn: two workers never have one at a time."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    share = (_END - _FIRST) // _WORKERS
    first = _FIRST + worker * share
    # Two runs at once begin at different places.
    return itertools.islice(itertools.cycle(range(first, first + share)), os.getpid() % share, None)


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
