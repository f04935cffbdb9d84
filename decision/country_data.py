"""Country data in MaxMind's file format: which country an address belongs to.

Read are MaxMind's and DB-IP's Country and City files (through geoip2) and flat files whose records are
`{"country_code": "DE"}`, as the built-in one.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.resources import as_file, files
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import geoip2.database
import geoip2.errors
import maxminddb

from decision.addresses import Address

SAMPLED_RECORDS = 1000
BUILT_IN = "geo-whois-asn-country.mmdb"


class CountryDataError(Exception):
    """The file is missing, broken, or of a type that holds no countries."""


class CountryData(NamedTuple):
    """One open file.

    `lookup` gives the ISO 3166-1 alpha-2 code, or "" for an address that the file does not know; it may
    raise ValueError or OSError on a file that is broken inside.
    """

    path: Path
    built_in: bool
    build_unix_seconds: int
    lookup: Callable[[Address], str]


def open_country_data(path: Path, *, built_in: bool = False) -> CountryData:
    """Open a file with maxminddb's C extension. Raises CountryDataError."""
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
        raise CountryDataError(f"{path}: {error}") from error
    return CountryData(path, built_in, metadata.build_epoch, lookup)


def open_built_in() -> CountryData:
    """Open the file that comes with the program. Raises CountryDataError."""
    with as_file(files("decision.data").joinpath(BUILT_IN)) as path:
        return open_country_data(path, built_in=True)


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
