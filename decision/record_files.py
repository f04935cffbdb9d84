"""The files of recorded requests: `requests.jsonl`, and the full ones before it, `.1` being the newest.

Nobody is given more room than the settings say: a file that cannot be moved away is not written past its
size. A file that was moved or removed, or a directory that was replaced, is noticed before each write.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from chassis.files import read_whole

NAME = "requests.jsonl"
MODE = 0o640
MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 4096


class RequestFiles:
    """Appends to the newest file. Lives in one thread.

    Args:
        directory: must exist.
        max_bytes: of one file; at least as much as one `append`.
        keep: how many full files are kept.
    """

    def __init__(self, directory: Path, *, max_bytes: int, keep: int) -> None:
        self._path = directory / NAME
        self._max_bytes = max_bytes
        self._keep = keep
        self._descriptor: int | None = None

    def open(self) -> None:
        """Open the newest file if that has not been done. Raises OSError."""
        if self._descriptor is not None and self._is_current(self._descriptor):
            return
        self.close()
        # O_NONBLOCK: a FIFO in the place of the file is refused, not waited for.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, MODE)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "no regular file")
            if found.st_size and os.pread(descriptor, 1, found.st_size - 1) != b"\n":
                # What an earlier process left half-written must not spoil our first line too.
                os.write(descriptor, b"\n")
            self._remove_old()
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def append(self, lines: bytes) -> None:
        """Write whole lines, all or, if this raises OSError, none."""
        self.open()
        assert self._descriptor is not None
        size = os.fstat(self._descriptor).st_size
        if size and size + len(lines) > self._max_bytes:
            self._rotate()
            self.open()
            size = 0
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
        except OSError:
            if written:
                with suppress(OSError):
                    os.ftruncate(self._descriptor, size)
            # Opened anew, the file is seen to end in a whole line.
            self.close()
            raise

    def close(self) -> None:
        """Close the file. Never raises."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(self._path.lstat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        for number in range(self._keep, 1, -1):
            with suppress(FileNotFoundError):
                self._full(number - 1).replace(self._full(number))
        self._path.replace(self._full(1))

    def _remove_old(self) -> None:
        """Remove what the setting does not keep any more, after it was lowered."""
        for path in self._path.parent.glob(f"{NAME}.*"):
            number = path.name.removeprefix(f"{NAME}.")
            if number.isascii() and number.isdigit() and int(number) > self._keep:
                path.unlink(missing_ok=True)

    def _full(self, number: int) -> Path:
        return self._path.with_name(f"{NAME}.{number}")


def read_key(path: Path) -> bytes:
    """The secret of a key file, without a line end behind it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or too short or too long to be a secret.
    """
    try:
        key = read_whole(path, MAX_KEY_BYTES).rstrip(b"\r\n")
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"{path} has less than {MIN_KEY_BYTES} bytes")
    return key
