"""The files of recorded requests."""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from decision.record_files import MAX_KEY_BYTES, RequestFiles, read_key

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[RequestFiles]:
    """Files of ten lines, two full ones."""
    files = RequestFiles(tmp_path, max_bytes=1000, keep=2)
    yield files
    files.close()


def held(directory: Path) -> dict[str, int]:
    """The size of each file."""
    return {path.name: path.stat().st_size for path in directory.iterdir()}


def test_lines_are_appended(files: RequestFiles, tmp_path: Path) -> None:
    """For the group to read, for nobody else."""
    files.append(LINE)
    files.append(LINE * 2)

    assert held(tmp_path) == {"requests.jsonl": 300}
    assert stat.S_IMODE((tmp_path / "requests.jsonl").stat().st_mode) == 0o640


def test_a_full_file_is_moved_away_before_it_is_too_large(files: RequestFiles, tmp_path: Path) -> None:
    """The oldest is forgotten."""
    for number in range(45):
        files.append(b"%02d" % number + LINE[2:])

    assert held(tmp_path) == {"requests.jsonl": 500, "requests.jsonl.1": 1000, "requests.jsonl.2": 1000}
    assert (tmp_path / "requests.jsonl.2").read_bytes().startswith(b"20")
    assert (tmp_path / "requests.jsonl.1").read_bytes().startswith(b"30")


def test_what_is_not_kept_any_more_is_removed(tmp_path: Path) -> None:
    """Of our own names only."""
    for name in ("requests.jsonl.1", "requests.jsonl.2", "requests.jsonl.12", "requests.jsonl.gz", "other.9"):
        (tmp_path / name).touch()
    files = RequestFiles(tmp_path, max_bytes=1000, keep=1)
    files.open()
    files.close()

    assert held(tmp_path).keys() == {"requests.jsonl", "requests.jsonl.1", "requests.jsonl.gz", "other.9"}


def test_a_half_line_of_before_does_not_spoil_the_next(files: RequestFiles, tmp_path: Path) -> None:
    """It gets an end."""
    (tmp_path / "requests.jsonl").write_bytes(b"half")
    files.append(LINE)

    assert (tmp_path / "requests.jsonl").read_bytes() == b"half\n" + LINE


@pytest.mark.parametrize("how", ["unlink", "rename", "directory"])
def test_a_file_that_went_is_noticed(files: RequestFiles, tmp_path: Path, how: str) -> None:
    """The next line is in a new one."""
    files.append(LINE)
    path = tmp_path / "requests.jsonl"
    if how == "unlink":
        path.unlink()
    elif how == "rename":
        path.rename(tmp_path / "mine")
    else:
        moved = tmp_path.with_name("moved")
        tmp_path.rename(moved)
        with pytest.raises(FileNotFoundError):
            files.append(LINE)
        tmp_path.mkdir()
    files.append(LINE)

    assert path.read_bytes() == LINE


def test_what_does_not_fit_on_the_disk_leaves_no_half_line(files: RequestFiles, tmp_path: Path) -> None:
    """All lines of a call are written, or none; afterwards it goes on."""
    files.append(LINE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            files.append(LINE * 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    files.append(LINE)

    assert caught.value.errno == errno.EFBIG
    assert (tmp_path / "requests.jsonl").read_bytes() == LINE * 2


@pytest.mark.parametrize("what", ["fifo", "symlink", "directory"])
def test_what_is_no_file_of_ours_is_left_alone(files: RequestFiles, tmp_path: Path, what: str) -> None:
    """Refused at once, not waited for, not followed."""
    path, target = tmp_path / "requests.jsonl", tmp_path / "target"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "symlink":
        path.symlink_to(target)
    else:
        path.mkdir()

    with pytest.raises(OSError, match=r"."):
        files.append(LINE)
    assert not target.exists()


def test_a_file_that_cannot_be_moved_away_does_not_grow(files: RequestFiles, tmp_path: Path) -> None:
    """What is in the way is said."""
    files.append(LINE * 10)
    (tmp_path / "requests.jsonl.1" / "x").mkdir(parents=True)
    (tmp_path / "requests.jsonl.2" / "x").mkdir(parents=True)

    with pytest.raises(OSError, match=r"requests\.jsonl"):
        files.append(LINE)
    assert (tmp_path / "requests.jsonl").stat().st_size == 1000


# The key


def test_a_key_is_the_content_without_its_line_end(tmp_path: Path) -> None:
    """As an editor leaves it."""
    path = tmp_path / "key"
    path.write_bytes(b"0123456789abcdef\r\n")

    assert read_key(path) == b"0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "less than 16 bytes"),
        (b"\n", "less than 16 bytes"),
        (b"0123456789abcde\n", "less than 16 bytes"),
        (b"x" * (MAX_KEY_BYTES + 1), f"larger than {MAX_KEY_BYTES} bytes"),
    ],
)
def test_what_is_no_secret_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """Empty, too short to be one, or some other file."""
    path = tmp_path / "key"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=reason):
        read_key(path)


def test_a_key_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A FIFO is not waited for."""
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(ValueError, match="no regular file"):
        read_key(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such file"):
        read_key(tmp_path / "missing")
