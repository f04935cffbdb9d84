"""`python -m decision.country_reader HOW FILE`: open a file of country data where it does no harm.

The process that country_check.py starts. Exit code 0: good; 1: not, with the reason on standard error. It
imports little: a file that has changed is checked before it is used.
"""

import os
import resource
import sys
from contextlib import suppress
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

import maxminddb

from decision.country_data import CountryDataError, open_in_place

MAX_MEMORY_BYTES = 2 << 30  # beside the file; a tree that leads back to itself would take all there is
_NICENESS = 10
_ANY_ADDRESS = ip_address("8.8.8.8")


class How(StrEnum):
    """What is checked."""

    OPENING = "opening"  # what the service does with the file at its start
    WHOLE = "whole"  # every record too


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
