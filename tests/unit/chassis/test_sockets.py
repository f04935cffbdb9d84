"""Listening sockets: what may be removed for them, how they are opened, and how they are taken over."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.errors import StartError
from chassis.sockets import Listeners, free_socket_path, listening
from tests.support.ports import free_port


def test_the_socket_of_a_dead_service_is_removed(tmp_path: Path) -> None:
    """Nobody listens on it any more."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    free_socket_path(str(path))

    assert not path.exists()


def test_the_socket_of_a_living_service_stays(tmp_path: Path) -> None:
    """The newcomer is told."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        with pytest.raises(StartError, match="is another instance running"):
            free_socket_path(str(path))

    assert path.exists()


def test_a_file_is_never_removed(tmp_path: Path) -> None:
    """A slip in a setting must not cost a file."""
    path = tmp_path / "victim"
    path.write_text("precious")
    with pytest.raises(StartError, match="exists and is no socket"):
        free_socket_path(str(path))

    assert path.read_text() == "precious"


def test_nothing_there_is_fine(tmp_path: Path) -> None:
    """The first start."""
    free_socket_path(str(tmp_path / "s"))


# Opening


def test_it_opens_all_hosts_at_the_port() -> None:
    """IPv4 and IPv6, each place once however it is called; they listen."""
    port = free_port()
    with listening(Listeners(("127.0.0.1", "::1", "localhost"), port)) as sockets:
        places = {sock.getsockname()[:2] for sock in sockets}
        assert places == {("127.0.0.1", port), ("::1", port)}
        assert len(sockets) == 2
        for place in places:
            socket.create_connection(place).close()


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_it_opens_a_unix_socket_beside_the_port(mode: int, tmp_path: Path) -> None:
    """With the access rights of the settings; one left behind is replaced, at the end it is removed."""
    path = tmp_path / "policy.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with listening(Listeners(("127.0.0.1",), free_port(), str(path), mode)) as sockets:
        assert path.stat().st_mode & 0o777 == mode
        assert [sock.family for sock in sockets] == [socket.AF_INET, socket.AF_UNIX]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))

    assert not path.exists()


def test_a_port_in_use_is_one_clear_line() -> None:
    """With the addresses and the port."""
    port = free_port()
    with (
        listening(Listeners(("127.0.0.1",), port)),
        pytest.raises(StartError) as caught,
        listening(Listeners(("127.0.0.1", "::1"), port)),
    ):
        pass

    assert str(caught.value) == f"cannot listen on 127.0.0.1, ::1 port {port}: Address already in use"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_ours_is_one_clear_line(host: str) -> None:
    """An address of the documentation range is nobody's, and neither is a name that is none."""
    port = free_port()
    with (
        pytest.raises(StartError, match=rf"^cannot listen on {host} port {port}: \S"),
        listening(Listeners((host,), port)),
    ):
        pass


def test_a_socket_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    """And the port is free again."""
    port, path = free_port(), tmp_path / "missing" / "policy.sock"
    with (
        pytest.raises(StartError, match=f"^cannot listen on {path}: No such file or directory$"),
        listening(Listeners(("127.0.0.1",), port, str(path))),
    ):
        pass
    with listening(Listeners(("127.0.0.1",), port)):
        pass


# Passed sockets

TAKE = """
import fcntl, os
for variable in ("LISTEN_PID", "LISTEN_FDS"):
    os.environ[variable] = os.environ.get("TEST_" + variable, str(os.getpid()))
from chassis.sockets import inherited
from chassis.errors import StartError
try:
    taken = inherited()
except StartError as error:
    print(error)
else:
    print([(sock.fileno(), os.get_inheritable(sock.fileno())) for sock in taken])
    print([name for name in os.environ if name.startswith("LISTEN_")], inherited())
"""


def take(*passed: int, **variables: str) -> list[str]:
    """What a process says that is given these descriptors as 3, 4 and so on; they are closed here."""
    moves = "".join(f"os.dup2({fd}, {number});" for number, fd in enumerate(passed, 3))
    # A process that has the numbers free, and then becomes the one that takes the sockets.
    program = f"import os, sys; {moves} os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    done = subprocess.run(
        [sys.executable, "-c", program, TAKE],
        env=os.environ | {f"TEST_{name}": value for name, value in variables.items()},
        pass_fds=passed,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    for descriptor in passed:
        os.close(descriptor)
    return done.stdout.splitlines()


def high(sock: socket.socket) -> int:
    """A copy of its descriptor beyond those that a test passes."""
    return fcntl.fcntl(sock, fcntl.F_DUPFD, 50)


def test_sockets_that_are_passed_are_taken_once(tmp_path: Path) -> None:
    """From descriptor 3 on; programs that the process starts get neither them nor the variables."""
    with listening(Listeners(("127.0.0.1",), free_port(), str(tmp_path / "s"))) as sockets:
        lines = take(*map(high, sockets), LISTEN_FDS="2")

    assert lines == ["[(3, False), (4, False)]", "[] []"]


def test_what_was_passed_to_another_process_is_left_alone() -> None:
    """LISTEN_PID names whom it is for."""
    assert take(LISTEN_FDS="1", LISTEN_PID="1") == ["[]", "[] []"]


def test_a_socket_that_does_not_listen_is_refused() -> None:
    """With its number."""
    with socket.socket() as no_listener:
        lines = take(high(no_listener), LISTEN_FDS="1")

    assert lines == ["LISTEN_FDS passes file descriptor 3, which is no listening stream socket"]


def test_datagrams_files_nothing_and_nonsense_are_refused(tmp_path: Path) -> None:
    """Each with what is wrong."""
    with (tmp_path / "file").open("w") as file, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        assert take(high(datagrams), LISTEN_FDS="1") == [
            "LISTEN_FDS passes file descriptor 3, which is no listening stream socket"
        ]
        copy = fcntl.fcntl(file, fcntl.F_DUPFD, 50)
        assert take(copy, LISTEN_FDS="1") == [
            "LISTEN_FDS passes file descriptor 3: Socket operation on non-socket"
        ]
    assert take(LISTEN_FDS="1") == ["LISTEN_FDS passes file descriptor 3: Bad file descriptor"]
    assert take(LISTEN_FDS="x") == ["LISTEN_FDS='x' is no number"]
