"""Small files, and what may stand in their place."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from chassis.files import read_whole


@pytest.mark.parametrize("data", [b"", b"x" * 10, bytes(range(10))])
def test_a_file_is_read_as_it_is(tmp_path: Path, data: bytes) -> None:
    """Up to the bound, byte for byte."""
    path = tmp_path / "file"
    path.write_bytes(data)

    assert read_whole(path, 10) == data


def test_a_larger_file_is_refused(tmp_path: Path) -> None:
    """By what is read of it: nothing that grows can fill the memory."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 11)

    with pytest.raises(ValueError, match=r"^is larger than 10 bytes$"):
        read_whole(path, 10)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A FIFO without a writer would be waited for until there is one."""
    path = tmp_path / "file"
    make(path)

    with pytest.raises(ValueError, match=r"^is no regular file$"):
        read_whole(path, 10)


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    """With its number, for whoever tells of it."""
    with pytest.raises(FileNotFoundError):
        read_whole(tmp_path / "file", 10)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """Not even where the file is refused."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 11)
    before = len(list(Path("/proc/self/fd").iterdir()))

    for most in (10, 11):
        with suppress(ValueError):
            read_whole(path, most)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
