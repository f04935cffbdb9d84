"""The directory of the counts."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chassis.errors import StartError
from quota.state_dir import locked_state_dir


def test_the_directory_is_made(tmp_path: Path) -> None:
    """With its parents, closed to others."""
    path = tmp_path / "var" / "state"
    with locked_state_dir(path) as held:
        assert held == path
        assert path.is_dir()
        assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0
        (lock,) = path.iterdir()
        assert stat.S_IMODE(lock.stat().st_mode) & 0o137 == 0


def test_a_second_holder_is_told_so(tmp_path: Path) -> None:
    """One clear line with the path; the first holder keeps it."""
    with locked_state_dir(tmp_path):
        for _ in range(2):
            with pytest.raises(StartError) as caught, locked_state_dir(tmp_path):
                pytest.fail("two holders")
            assert str(caught.value) == f"the state directory {tmp_path} is in use by another quota"


def test_another_process_is_told_so(tmp_path: Path) -> None:
    """The lock holds across processes."""
    code = (
        "import sys; from pathlib import Path; from quota.state_dir import locked_state_dir\n"
        "with locked_state_dir(Path(sys.argv[1])): print('held')"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with locked_state_dir(tmp_path):
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    third = subprocess.run(command, capture_output=True, text=True, check=False)

    assert second.returncode != 0
    assert "is in use by another quota" in second.stderr
    assert third.stdout == "held\n"


def test_the_directory_is_free_again_afterwards(tmp_path: Path) -> None:
    """Also when its holder fails."""
    with pytest.raises(RuntimeError, match="oops"), locked_state_dir(tmp_path):
        raise RuntimeError("oops")
    with locked_state_dir(tmp_path) as held:
        assert held == tmp_path


def test_two_directories_have_two_holders(tmp_path: Path) -> None:
    """Each may have a quota of its own."""
    with locked_state_dir(tmp_path / "a"), locked_state_dir(tmp_path / "b") as held:
        assert held == tmp_path / "b"


@pytest.mark.parametrize("path", ["file", "file/state"])
def test_a_place_that_cannot_be_a_directory_is_refused(tmp_path: Path, path: str) -> None:
    """One clear line with the path and the system's reason."""
    (tmp_path / "file").touch()
    with pytest.raises(StartError) as caught, locked_state_dir(tmp_path / path):
        pytest.fail("a file is no directory")

    line = str(caught.value)
    assert line.startswith(f"cannot use the state directory {tmp_path / path}: ")
    assert "\n" not in line


def test_a_place_that_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root may write anywhere, so the system's refusal is put in its mouth."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StartError) as caught, locked_state_dir(tmp_path):
        pytest.fail("it cannot be written")
    assert str(caught.value) == f"cannot use the state directory {tmp_path}: Permission denied"


def test_what_its_holder_raises_is_not_taken_for_a_second_holder(tmp_path: Path) -> None:
    """An error that has nothing to do with the lock keeps its name."""
    with pytest.raises(BlockingIOError), locked_state_dir(tmp_path):
        raise BlockingIOError("a socket would block")
