"""The directory of the counts, held by one quota at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chassis.errors import StartError


@contextmanager
def locked_state_dir(path: Path) -> Iterator[Path]:
    """Make the directory if it is missing and hold it until left; the kernel lets go if we are killed.

    Raises:
        StartError: it cannot be made or written, or another quota holds it.
    """
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise StartError(f"cannot use the state directory {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"the state directory {path} is in use by another quota") from error
        yield path
    finally:
        os.close(lock)
