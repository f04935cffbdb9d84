"""`python -m decision.country_check HOW FILE`: open a file of country data where it does no harm.

In a process of its own: a damaged file can crash the C extension that reads it, or keep it busy for ever
(flipping single bits does both); then it is this process that ends, and the file is refused. Exit code 0:
good; 1: not, with the reason on standard error.
"""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

import maxminddb

from decision.country_data import CountryDataError, NotExaminedError, open_in_place

# A file of 8 MB with a million networks takes three seconds, the largest free ones with cities some minutes.
CHECK_SECONDS = 600.0
MAX_MEMORY_BYTES = 2 << 30  # beside the file; a tree that leads back to itself would take all there is
_NICENESS = 10
# At a stop or by want of memory; a file that does harm ends in others.
_ENDED_BY_OTHERS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL})
_ANY_ADDRESS = ip_address("8.8.8.8")


class How(StrEnum):
    """What is checked."""

    OPENING = "opening"  # what the service does with the file at its start
    WHOLE = "whole"  # every record too


async def check_whole(path: Path, *, name: Path, keep_open: Sequence[int] = ()) -> None:
    """Have a process open the file and read it to its end.

    Args:
        path: where that process finds it.
        name: what errors call it.
        keep_open: descriptors that the process needs.

    Raises:
        CountryDataError: a record cannot be read, or the process died.
        NotExaminedError: the process cannot be started, or took too long.
    """
    await _check(How.WHOLE, path, name, keep_open)


async def check_opening(path: Path, *, name: Path, keep_open: Sequence[int] = ()) -> None:
    """`check_whole`, but of the beginning alone: for a start that cannot wait."""
    await _check(How.OPENING, path, name, keep_open)


async def _check(how: How, path: Path, name: Path, keep_open: Sequence[int]) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "decision.country_check", how, str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=keep_open,
        )
    except OSError as error:
        raise NotExaminedError(f"{name}: no process to check it: {error.strerror or error}") from error
    try:
        _, errors = await asyncio.wait_for(process.communicate(), CHECK_SECONDS)
        code = process.returncode or 0
    except TimeoutError:
        raise NotExaminedError(f"{name}: not read within {CHECK_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if -code in _ENDED_BY_OTHERS:
        raise NotExaminedError(f"{name}: the process that checked it was ended (signal {-code})")
    if code < 0:
        raise CountryDataError(f"{name}: reading it crashed (signal {-code})")
    if code:
        reason = errors.decode(errors="replace").strip().rpartition("\n")[2] or "it cannot be read"
        raise CountryDataError(f"{name}: {reason.replace(str(path), name.name)}")


def read_all(path: Path) -> int:
    """The number of networks, each with a record that could be read. Raises ValueError or OSError."""
    with maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT) as reader:
        return sum(1 for _ in reader)


def main(how: str, path: str) -> int:
    file = Path(path)
    with suppress(OSError):  # a service may be forbidden to set such things
        os.nice(_NICENESS)
    memory = file.stat().st_size + MAX_MEMORY_BYTES
    for limit, maximum in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):  # or has narrower limits
            resource.setrlimit(limit, (maximum, maximum))
    try:
        open_in_place(file, name=file).lookup(_ANY_ADDRESS)
        return 0 if how == How.OPENING or read_all(file) else 1
    except (CountryDataError, OSError, ValueError, MemoryError, maxminddb.InvalidDatabaseError) as error:
        reason = error.__cause__ or error  # without the name, which the process that asked knows
        print(str(reason) or type(reason).__name__, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
