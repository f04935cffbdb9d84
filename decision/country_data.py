"""Country data in MaxMind's file format: which country an address belongs to.

Read are MaxMind's and DB-IP's Country and City files (through geoip2) and flat files whose records are
`{"country_code": "DE"}`, as the built-in one.
"""

from collections.abc import Callable
from importlib.resources import as_file, files
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import geoip2.database
import geoip2.errors
import maxminddb

from decision.addresses import Address

CANARY = IPv4Address("192.0.2.1")
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
        reader = geoip2.database.Reader(path, mode=maxminddb.MODE_MMAP_EXT)
        metadata = reader.metadata()
        kind = metadata.database_type
        if "City" in kind:
            lookup = _geoip2_lookup(reader.city)
        elif "Country" in kind:
            lookup = _geoip2_lookup(reader.country)
        else:
            reader.close()
            lookup = _flat_lookup(path)
        data = CountryData(path, built_in, metadata.build_epoch, lookup)
        # The first look-up of a file that holds no countries, or is cut off, fails here and not at night.
        data.lookup(CANARY)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise CountryDataError(f"{path}: {error}") from error
    return data


def open_built_in() -> CountryData:
    """Open the file that comes with the program. Raises CountryDataError."""
    with as_file(files("decision.data").joinpath(BUILT_IN)) as path:
        return open_country_data(path, built_in=True)


def _geoip2_lookup(ask: Callable[..., object]) -> Callable[[Address], str]:
    def lookup(address: Address) -> str:
        try:
            model = ask(address)
        except geoip2.errors.AddressNotFoundError:
            return ""
        return model.country.iso_code or ""  # type: ignore[attr-defined]

    return lookup


def _flat_lookup(path: Path) -> Callable[[Address], str]:
    reader = maxminddb.open_database(path, maxminddb.MODE_MMAP_EXT)

    def lookup(address: Address) -> str:
        record = reader.get(address)
        if record is None:
            return ""
        code = record.get("country_code") if isinstance(record, dict) else None
        if not isinstance(code, str):
            raise ValueError(f"a record without country_code: {str(record)[:80]}")
        return code

    return lookup
