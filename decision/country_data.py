"""One file of country data in MaxMind's format: which country an address belongs to.

Read are MaxMind's and DB-IP's Country and City files (through geoip2) and flat files whose records are
`{"country_code": "DE"}`, as the built-in one.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import geoip2.database
import geoip2.errors
import maxminddb

from decision.addresses import Address
from decision.settings import BUILT_IN

SAMPLED_RECORDS = 1000
_BUILT_IN_FILE = "geo-whois-asn-country.mmdb"
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


class CountryData(NamedTuple):
    """One open file.

    `source` is what metrics and log lines call it: the file's name without its ending, or "builtin".
    `lookup` gives the ISO 3166-1 alpha-2 code, or "" for an address that the file does not know; it may
    raise ValueError or OSError on a file that is broken inside.
    """

    source: str
    build_unix_seconds: int
    lookup: Callable[[Address], str]


@contextmanager
def private_copy(path: Path) -> Iterator[int]:
    """Copy a file to an unnamed temporary one, whose descriptor is yielded. Raises CountryDataError.

    What has been checked is then what is used; and a file that somebody writes over, or cuts, would end a
    process that has mapped it (SIGBUS, mmap(2)).
    """
    try:
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError as error:
        raise CountryDataError(f"{path}: no room for a copy: {error.strerror}") from error
    with copy:
        try:
            # O_NONBLOCK: a FIFO in the place of the file is refused, not waited for.
            source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(source, "rb") as original:  # noqa: PTH123 - a descriptor
                if not stat.S_ISREG(os.fstat(source).st_mode):
                    raise CountryDataError(f"{path}: no regular file")
                shutil.copyfileobj(original, copy, 1024 * 1024)
            copy.flush()
        except OSError as error:
            raise CountryDataError(f"{path}: {error.strerror or error}") from error
        yield copy.fileno()


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
    return CountryData(source or name.stem, metadata.build_epoch, lookup)


def open_built_in() -> CountryData:
    """Open the file that comes with the program. Raises CountryDataError."""
    with as_file(files("decision.data").joinpath(_BUILT_IN_FILE)) as path:
        return open_in_place(path, name=path, source=BUILT_IN)


def check_successor(new: CountryData, old: CountryData) -> None:
    """Raises CountryDataError if the new file is older, or tells other countries than one can believe."""
    if new.build_unix_seconds < old.build_unix_seconds:
        raise CountryDataError(
            f"{new.source}: built {new.build_unix_seconds}, before the one in use ({old.build_unix_seconds})"
        )
    told = {address: country for address in _CANARIES if (country := _answer(old, address))}
    same = sum(_answer(new, address) == country for address, country in told.items())
    if 2 * same < len(told):
        raise CountryDataError(
            f"{new.source}: of {len(told)} well-known addresses it tells {same} as the one in use does"
        )


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
            return ask(address).country.iso_code or ""
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
    return _text(_mapping(record).get("country_code", ""))


def _nested_code(record: object) -> str:
    """That of `{"country": {"iso_code": "DE"}}`, "" if it has none. Raises ValueError for another shape."""
    return _text(_mapping(_mapping(record).get("country", {})).get("iso_code", ""))


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


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"no country code: {str(value)[:80]}")
    return value
