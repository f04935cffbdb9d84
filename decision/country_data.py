"""One file of country data in MaxMind's format: which country an address belongs to.

Read are MaxMind's and DB-IP's Country and City files (through geoip2) and flat files whose records are
`{"country_code": "DE"}`, as the built-in one.
"""

import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import as_file, files
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import geoip2.database
import geoip2.errors
import maxminddb

from chassis.printable import printable
from decision.addresses import Address
from decision.data import BUILT_IN

SAMPLED_RECORDS = 1000
MAX_FILE_BYTES = 1 << 30  # the largest that is sold, with cities and providers, has half of it
FUTURE_SECONDS = 24 * 3600  # a build time beyond is a damaged one, not a clock that differs
MAX_UNIX_SECONDS = 253_402_300_799  # the last second of 9999, the last year of Python's datetime
_COPIED_BYTES = 1 << 20
_BUILT_IN_FILE = "geo-whois-asn-country.mmdb"
_CODE = re.compile("([A-Za-z]{2})?")
# Held for decades by whom one would think: every serious file tells the countries of most of them.
_CANARIES = tuple(
    map(
        ip_address,
        (
            "8.8.8.8",  # Google
            "17.0.0.1",  # Apple
            "84.128.0.1",  # Deutsche Telekom
            "193.99.144.80",  # Heise
            "129.132.1.1",  # ETH Zurich
            "131.130.1.1",  # University of Vienna
            "131.111.8.42",  # University of Cambridge
            "193.0.6.139",  # RIPE NCC
            "212.27.48.10",  # Free, France
            "200.160.2.3",  # registro.br
            "133.11.0.1",  # University of Tokyo
            "2001:4860:4860::8888",  # Google
            "2003::1",  # Deutsche Telekom
        ),
    )
)


class CountryDataError(Exception):
    """The file is missing, broken, or of a type that holds no countries."""


class NotExaminedError(CountryDataError):
    """The file may be good: there is no room for a copy, no process to check it, no right to read it."""


class CountryData(NamedTuple):
    """One open file.

    `source` is what metrics and log lines call it: the file's name without its ending, or "builtin".
    `lookup` gives two capital letters, the ISO 3166-1 alpha-2 code, or "" for an address that the file does
    not know; it may raise ValueError or OSError on a file that is broken inside. What follows is for people
    to read.
    """

    source: str
    build_unix_seconds: int
    lookup: Callable[[Address], str]
    path: Path = Path()  # as the settings or the directory name it, not that of a copy
    database_type: str = ""  # the metadata's, such as GeoLite2-Country
    nodes: int = 0  # of the search tree: how finely the file divides the addresses


@contextmanager
def private_copy(path: Path) -> Iterator[int]:
    """Copy a file to an unnamed temporary one, whose descriptor is yielded. Raises CountryDataError.

    What has been checked is then what is used; and a file that somebody writes over, or cuts, would end a
    process that has mapped it (SIGBUS, mmap(2)).
    """
    with ExitStack() as stack:
        try:
            # Without a buffer: closing a file whose buffer finds no room would raise once more.
            copy = stack.enter_context(tempfile.TemporaryFile(buffering=0)).fileno()
        except OSError as error:
            raise NotExaminedError(f"{path}: no room for a copy: {error.strerror}") from error
        try:
            # O_NONBLOCK: a FIFO in the place of the file is refused, not waited for.
            source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                _copy_all(path, source, copy)
            finally:
                os.close(source)
        except OSError as error:
            raise NotExaminedError(f"{path}: {error.strerror or error}") from error
        yield copy


def _copy_all(path: Path, source: int, copy: int) -> None:
    found = os.fstat(source)
    if not stat.S_ISREG(found.st_mode):
        raise CountryDataError(f"{path}: no regular file")
    copied = 0
    # The size first: a hole of a terabyte costs nothing to make.
    while (size := max(found.st_size, copied)) <= MAX_FILE_BYTES and (
        sent := os.sendfile(copy, source, copied, _COPIED_BYTES)
    ):
        copied += sent
    if size > MAX_FILE_BYTES:
        raise CountryDataError(f"{path}: larger than {MAX_FILE_BYTES} bytes")


def descriptor_path(descriptor: int) -> Path:
    """The name under which a process finds a file that it has open, proc(5)."""
    return Path(f"/proc/self/fd/{descriptor}")


def open_country_data(path: Path) -> CountryData:
    """Open a private copy of a file with maxminddb's C extension. Raises CountryDataError."""
    with private_copy(path) as descriptor:
        return open_in_place(descriptor_path(descriptor), name=path)


def open_in_place(path: Path, *, name: Path, source: str = "") -> CountryData:
    """Open a file that nobody changes.

    Args:
        name: what errors call it, and what the source's name is made of if that is not given.

    Raises:
        CountryDataError: it is missing, broken, or holds no countries.
    """
    try:
        with maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT) as reader:
            metadata = reader.metadata()
            # A type's name promises little, and a file without countries would let everybody pass.
            records = [record for _, record in islice(reader, SAMPLED_RECORDS)]
        if not (isinstance(metadata.build_epoch, int) and isinstance(metadata.database_type, str)):
            raise ValueError("its metadata are of other types")
        if not 0 <= metadata.build_epoch <= MAX_UNIX_SECONDS:
            raise ValueError("its build time is in no year that a date can have")
        if _tells(_flat_code, records):
            lookup = _plain_lookup(path, _flat_code)
        elif _tells(_nested_code, records):
            lookup = _geoip2_lookup(path, metadata.database_type)
        else:
            raise ValueError(f"its records ({metadata.database_type}) tell no country")
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        # maxminddb names the path, which is that of a copy.
        reason = str(error).replace(str(path), name.name)
        raise CountryDataError(f"{name}: {reason}") from error
    # A name may hold any byte, and one that is no UTF-8 would spoil the page of all metrics.
    return CountryData(
        source or printable(name.stem),
        metadata.build_epoch,
        lookup,
        path=name,
        database_type=metadata.database_type,
        nodes=metadata.node_count,
    )


def open_built_in() -> CountryData:
    """Open the file that comes with the program. Raises CountryDataError."""
    with as_file(files("decision.data").joinpath(_BUILT_IN_FILE)) as path:
        return open_in_place(path, name=path, source=BUILT_IN)


def is_newer(new: CountryData, old: CountryData) -> bool:
    """Whether it was built later, as far as the times can be believed."""
    return _believable_build(new) > _believable_build(old)


def check_successor(new: CountryData, old: CountryData) -> None:
    """Raises CountryDataError if the new file is older, or tells other countries than one can believe."""
    if is_newer(old, new):
        raise CountryDataError(
            f"{new.source}: built {new.build_unix_seconds}, before the one in use ({old.build_unix_seconds})"
            if _believable_build(new)
            else f"{new.source}: built {new.build_unix_seconds}, in the future"
        )
    told = {address: country for address in _CANARIES if (country := _answer(old, address))}
    same = sum(_answer(new, address) == country for address, country in told.items())
    if 2 * same < len(told):
        raise CountryDataError(
            f"{new.source}: of {len(told)} well-known addresses it tells {same} as the one in use does"
        )


def _believable_build(data: CountryData) -> int:
    """The build time; 0 for one in the future, which would make every honest successor an older one."""
    return data.build_unix_seconds if data.build_unix_seconds <= time.time() + FUTURE_SECONDS else 0


def _answer(data: CountryData, address: Address) -> str:
    try:
        return data.lookup(address)
    except (ValueError, OSError, maxminddb.InvalidDatabaseError):
        return ""


def _geoip2_lookup(path: Path, database_type: str) -> Callable[[Address], str]:
    reader = geoip2.database.Reader(path, mode=maxminddb.MODE_MMAP_EXT)
    # geoip2 wants to be asked by the type's name; a file of another name may hold the same records.
    methods = {"City": reader.city, "Enterprise": reader.enterprise, "Country": reader.country}
    ask = next((method for name, method in methods.items() if name in database_type), None)
    if ask is None:
        reader.close()
        return _plain_lookup(path, _nested_code)

    def lookup(address: Address) -> str:
        try:
            return _code(ask(address).country.iso_code or "")
        except geoip2.errors.AddressNotFoundError:
            return ""
        except (TypeError, AttributeError) as error:  # how geoip2 meets a record of another shape
            raise ValueError(f"a record without country.iso_code: {error}") from error

    return lookup


def _plain_lookup(path: Path, code_of: Callable[[object], str]) -> Callable[[Address], str]:
    reader = maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT)

    def lookup(address: Address) -> str:
        record = reader.get(address)
        return "" if record is None else code_of(record)

    return lookup


def _flat_code(record: object) -> str:
    """The code of `{"country_code": "DE"}`, "" if it has none. Raises ValueError for another shape."""
    return _code(_mapping(record).get("country_code", ""))


def _nested_code(record: object) -> str:
    """That of `{"country": {"iso_code": "DE"}}`, "" if it has none. Raises ValueError for another shape."""
    return _code(_mapping(_mapping(record).get("country", {})).get("iso_code", ""))


def _tells(code_of: Callable[[object], str], records: Iterable[object]) -> bool:
    """Whether at least one of the records has a code."""
    for record in records:
        with suppress(ValueError):
            if code_of(record):
                return True
    return False


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"no map: {str(value)[:80]}")
    return value


def _code(value: object) -> str:
    """Anything else would stand in replies and log lines, and be in no list of allowed countries."""
    if not isinstance(value, str) or not _CODE.fullmatch(value):
        raise ValueError(f"no country code: {str(value)[:80]}")
    return value.upper()
