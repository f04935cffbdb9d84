"""`python -m decision.country_check FILE`: read every record of a file of country data.

In a process of its own: a damaged file can crash the C extension that reads it; then it is this process
that dies, and the file is refused. Exit code 0: whole; 1: not, with the reason on standard error.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import maxminddb

from decision.country_data import CountryDataError

# A file of 8 MB with a million networks takes two seconds.
CHECK_SECONDS = 120.0
_NICENESS = 10


async def check_whole(path: Path, *, name: Path, keep_open: Sequence[int] = ()) -> None:
    """Have a process read the whole file.

    Args:
        path: where that process finds it.
        name: what errors call it.
        keep_open: descriptors that the process needs.

    Raises:
        CountryDataError: a record cannot be read, or the process died or took too long.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "decision.country_check", str(path)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=keep_open,
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), CHECK_SECONDS)
        code = process.returncode or 0
    except TimeoutError:
        raise CountryDataError(f"{name}: not read within {CHECK_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code < 0:
        raise CountryDataError(f"{name}: reading it crashed (signal {-code})")
    if code:
        reason = errors.decode(errors="replace").strip().rpartition("\n")[2] or "it cannot be read"
        raise CountryDataError(f"{name}: {reason}".replace(str(path), name.name))


def read_all(path: Path) -> int:
    """The number of networks, each with a record that could be read. Raises ValueError or OSError."""
    with maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT) as reader:
        return sum(1 for _ in reader)


def main(path: str) -> int:
    os.nice(_NICENESS)
    try:
        return 0 if read_all(Path(path)) else 1
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the process that asked
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
