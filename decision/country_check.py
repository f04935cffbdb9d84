"""Have another process open a file of country data.

A damaged file can crash the C extension that reads it, or keep it busy for ever (flipping single bits does
both); then it is that process (country_reader.py) that ends, and the file is refused.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from chassis.processor import run_anywhere
from decision.country_data import CountryDataError, NotExaminedError
from decision.country_reader import How

# A file of 8 MB with a million networks takes three seconds, the largest free ones with cities some minutes.
CHECK_SECONDS = 600.0
# At a stop or by want of memory; a file that does harm ends in others.
_ENDED_BY_OTHERS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL})


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
            *(sys.executable, "-P", "-m", "decision.country_reader", how, str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=keep_open,
        )
    except OSError as error:
        raise NotExaminedError(f"{name}: no process to check it: {error.strerror or error}") from error
    run_anywhere(process.pid)
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
