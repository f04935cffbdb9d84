"""Reads a small file whole, whatever somebody has put in its place."""

import os
import stat
from pathlib import Path


def read_whole(path: Path, most: int) -> bytes:
    """The bytes of a regular file.

    Args:
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or has more bytes; the message says which, without the path.
    """
    # O_NONBLOCK: a FIFO in the place of the file is refused, not waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is no regular file")
        data = b""
        while len(data) <= most and (part := os.read(descriptor, most + 1)):
            data += part
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise ValueError(f"is larger than {most} bytes")
    return data
