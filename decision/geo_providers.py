"""Where country data can be had, by the addresses that its publishers document.

MaxMind GeoLite2 Country: https://dev.maxmind.com/geoip/updating-databases ("Directly downloading databases"):
basic authentication with account id and licence key, a redirect to a store of files, a checksum beside the
archive, 30 downloads a day. DB-IP Country Lite: https://db-ip.com/db/download/ip-to-country-lite: no account,
one file each month.
"""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from aiohttp import encode_basic_auth

from chassis.files import read_whole
from decision.geo_archive import unpack_gzip, unpack_tar
from decision.settings import Settings

MAX_SECRET_BYTES = 1024

ProviderName = Literal["maxmind", "dbip"]


class AccountError(Exception):
    """The account of MaxMind is not named, or a file of it cannot be used."""


class Provider(NamedTuple):
    """One publisher's file. `paths` are the addresses below the base URL, best first."""

    title: str
    file_name: str
    base_url: str
    paths: Callable[[date], tuple[str, ...]]
    unpack: Callable[[BinaryIO, BinaryIO], None]
    checksum_suffix: str = ""  # appended to the address; none: there is no checksum


def _maxmind_paths(_: date) -> tuple[str, ...]:
    return ("/geoip/databases/GeoLite2-Country/download?suffix=tar.gz",)


def _dbip_paths(today: date) -> tuple[str, ...]:
    """This month's file may not be there yet."""
    before = today.replace(day=1) - timedelta(days=1)
    return tuple(f"/free/dbip-country-lite-{month:%Y-%m}.mmdb.gz" for month in (today, before))


PROVIDERS: dict[ProviderName, Provider] = {
    "maxmind": Provider(
        title="GeoLite2 Country",
        file_name="GeoLite2-Country.mmdb",
        base_url="https://download.maxmind.com",
        paths=_maxmind_paths,
        unpack=unpack_tar,
        checksum_suffix=".sha256",
    ),
    "dbip": Provider(
        title="DB-IP Country Lite",
        file_name="DBIP-Country-Lite.mmdb",
        base_url="https://download.db-ip.com",
        paths=_dbip_paths,
        unpack=unpack_gzip,
    ),
}


def provider_of(settings: Settings) -> ProviderName:
    """The one that the settings name, or that they have an account for.

    Raises:
        AccountError: one file of the account is named without the other.
    """
    if settings.geo_update_provider:
        return settings.geo_update_provider
    named = (settings.maxmind_account_id_file, settings.maxmind_license_key_file)
    if any(named) and not all(named):
        raise AccountError("of maxmind_account_id_file and maxmind_license_key_file only one is set")
    return "maxmind" if all(named) else "dbip"


def authorization_of(settings: Settings) -> str | None:
    """The header of this name for MaxMind's account, from the two files; None if the settings name neither.

    Raises:
        AccountError: one of them is not named or cannot be used.
    """
    account_id, license_key = settings.maxmind_account_id_file, settings.maxmind_license_key_file
    if account_id is None and license_key is None:
        return None
    if account_id is None or license_key is None:
        raise AccountError("of maxmind_account_id_file and maxmind_license_key_file only one is set")
    return encode_basic_auth(_read_secret(account_id), _read_secret(license_key))


def _read_secret(path: Path) -> str:
    """The one line of a file. Raises AccountError, which never tells what it holds."""
    try:
        text = read_whole(path, MAX_SECRET_BYTES).strip()
    except OSError as error:
        raise AccountError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise AccountError(f"{path} {error}") from error
    # Basic authentication ends the account id at a colon (RFC 7617); neither has a blank.
    if not text or not all(33 <= byte <= 126 for byte in text) or b":" in text:
        raise AccountError(f"{path} does not hold one account id or licence key, and nothing else")
    return text.decode("ascii")
