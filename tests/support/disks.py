"""Small disks for tests that fill one or make it read-only."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.programs import require_root, unmet


@contextmanager
def small_disk(place: Path, *, megabytes: int) -> Iterator[Path]:
    """A file system of that size in memory, mounted at `place`. Without the right to mount: skipped."""
    require_root()
    place.mkdir(parents=True, exist_ok=True)
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    if mounted is not None:
        unmet(f"these tests mount a file system of their own, which is not allowed here: {mounted}")
    try:
        yield place
    finally:
        # Lazily: a process that a failed test has left may still have a file open.
        _run("umount", "--lazy", str(place))


def remount(place: Path, how: str) -> bool:
    """Make the disk `ro` or `rw`; whether that was possible: not `ro` while a file is open for writing."""
    return _run("mount", "-o", f"remount,{how}", str(place)) is None


@contextmanager
def unwritable(file: Path) -> Iterator[None]:
    """Whoever has the file open can no longer write to it: chattr(1), on a file system that looks at it."""
    require_root()
    if (problem := _run("chattr", "+i", str(file))) is not None:
        pytest.skip(f"this file system knows no immutable files: {problem}")
    try:
        yield
    finally:
        _run("chattr", "-i", str(file))


def fill_up(disk: Path) -> Path:
    """Use up every byte; returns the file that has them."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def _run(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip()
