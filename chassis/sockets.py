"""Listening sockets: opened here, or passed on by whoever has started the process (sd_listen_fds(3)).

A listening socket that somebody holds while its service restarts refuses nobody: connections wait in its
backlog for the next process. `mtpolicyctl run` and a systemd .socket unit hold it in the same way.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from chassis.errors import StartError

# The first descriptor that is passed: SD_LISTEN_FDS_START of systemd/sd-daemon.h.
FIRST_PASSED = 3
BACKLOG = 1024


class Listeners(NamedTuple):
    """Where a service listens for clients from outside: a port on each host and, if `path` says so, a socket.

    `mode` are the access rights of the UNIX socket.
    """

    hosts: tuple[str, ...]
    port: int
    path: str = ""
    mode: int = 0o660


@contextmanager
def listening(where: Listeners) -> Iterator[list[socket.socket]]:
    """Open the sockets and hold them until left; the path of the UNIX socket is removed then.

    Raises:
        StartError: an address or the path cannot be bound.
    """
    with ExitStack() as stack:
        try:
            opened = [stack.enter_context(_listen_on(info)) for info in _addresses(where)]
        except OSError as error:
            place = f"{', '.join(where.hosts)} port {where.port}"
            raise StartError(f"cannot listen on {place}: {error.strerror or error}") from error
        if where.path:
            opened.append(stack.enter_context(_listen_at(where.path, where.mode)))
        yield opened


def inherited() -> list[socket.socket]:
    """The sockets that were passed to this process, none if there are none; asked once, answered once.

    Raises:
        StartError: what was passed is no listening stream socket.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        # Meant for a process that has started this one.
        return []
    if not count.isdecimal():
        raise StartError(f"LISTEN_FDS={count!r} is no number")
    return [_passed(number) for number in range(FIRST_PASSED, FIRST_PASSED + int(count))]


def free_socket_path(path: str) -> None:
    """Remove the socket that an earlier run has left; nothing else is ever removed.

    Raises:
        StartError: somebody listens there, or what stands there is no socket.
    """
    place = Path(path)
    try:
        if not stat.S_ISSOCK(place.lstat().st_mode):
            raise StartError(f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            place.unlink(missing_ok=True)
            return
        except OSError as error:
            raise StartError(f"cannot listen on {path}: {error.strerror or error}") from error
    raise StartError(f"cannot listen on {path}: is another instance running?")


_Where = tuple[socket.AddressFamily, tuple[object, ...]]


def _addresses(where: Listeners) -> list[_Where]:
    found: list[_Where] = [
        (family, address)
        for host in where.hosts
        for family, _, _, _, address in socket.getaddrinfo(
            host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    ]
    # A name and an address may mean the same place.
    return list(dict.fromkeys(found))


@contextmanager
def _listen_on(where: _Where) -> Iterator[socket.socket]:
    family, address = where
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # The port on 0.0.0.0 is a socket of its own.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        yield listener


@contextmanager
def _listen_at(path: str, mode: int) -> Iterator[socket.socket]:
    place = Path(path)
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            free_socket_path(path)
            listener.bind(path)
            # Before anybody can connect.
            place.chmod(mode)
            listener.listen(BACKLOG)
        except OSError as error:
            raise StartError(f"cannot listen on {path}: {error.strerror or error}") from error
        try:
            yield listener
        finally:
            place.unlink(missing_ok=True)


def _passed(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        found = socket.socket(fileno=number)
    except OSError as error:
        raise StartError(f"LISTEN_FDS passes file descriptor {number}: {error.strerror}") from error
    if found.type != socket.SOCK_STREAM or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        # Whose it is, is not known: it is not closed.
        found.detach()
        raise StartError(f"LISTEN_FDS passes file descriptor {number}, which is no listening stream socket")
    return found
