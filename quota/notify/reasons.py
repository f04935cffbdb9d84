"""Failures in words, one line each."""

import os

from chassis.printable import printable


def of_os(error: OSError) -> str:
    """Why the system did not do it; asyncio has texts of its own in the place of "Connection refused"."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return one_line(error.strerror or str(error)) or type(error).__name__


def one_line(text: str) -> str:
    """What a receiver has said, as a log line may hold it."""
    return printable(" ".join(text.split()))
