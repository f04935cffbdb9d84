"""Where the files of an open SQLite database are.

SQLite goes on with files that somebody has removed, moved or replaced, and nothing fails; but all that it
writes is gone when it closes them (https://sqlite.org/howtocorrupt.html, 4.2).
"""

from pathlib import Path

# What belongs to one database: https://sqlite.org/tempfiles.html
SUFFIXES = ("", "-wal", "-shm")

# Of each file device and inode; None: it is not there.
Whereabouts = tuple[tuple[int, int] | None, ...]


def files_of(path: Path) -> list[Path]:
    """Those that belong to a database, there or not; its own first."""
    return [path.with_name(path.name + suffix) for suffix in SUFFIXES]


def whereabouts(path: Path) -> Whereabouts:
    """Which files stand at the places of a database now."""
    return tuple(map(_identity, files_of(path)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
