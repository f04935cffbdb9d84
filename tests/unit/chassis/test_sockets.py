"""What a new listener may remove."""

import socket
from pathlib import Path

import pytest

from chassis.errors import StartError
from chassis.sockets import free_socket_path


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
