"""Country data files."""

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from decision.country_data import CountryDataError, open_built_in, open_country_data
from tests.support.mmdb import METADATA_MARKER, write_mmdb

DB_IP_CITY = {
    "city": {"names": {"en": "Mountain View"}},
    "continent": {"code": "NA"},
    "country": {"iso_code": "US", "names": {"en": "United States"}},
    "location": {"latitude": 37.4, "longitude": -122.1},
}


@pytest.mark.parametrize(
    ("database_type", "record"),
    [
        ("GeoLite2-Country", {"country": {"iso_code": "US", "geoname_id": 6252001}}),
        ("GeoIP2-Country", {"country": {"iso_code": "US"}, "traits": {"is_anycast": True}}),
        ("DBIP-Country-Lite", {"country": {"iso_code": "US", "is_in_european_union": False}}),
        ("DBIP-Country (compat=Country)", {"country": {"iso_code": "US"}}),
        ("GeoLite2-City", {"country": {"iso_code": "US"}, "city": {"names": {"en": "Ashburn"}}}),
        ("DBIP-City-Lite", DB_IP_CITY),
        ("DBIP-Location (compat=City)", DB_IP_CITY),
        ("country ipvAll", {"country_code": "US"}),
        ("flat", {"country_code": "US", "network": "8.8.8.0/24"}),
    ],
)
def test_country_city_and_flat_files_are_read(
    tmp_path: Path, database_type: str, record: dict[str, Any]
) -> None:
    """MaxMind's and DB-IP's Country and City files and flat country_code files tell the country."""
    path = write_mmdb(tmp_path / "test.mmdb", database_type, {"8.8.8.0/24": record, "2001:4860::/32": record})
    data = open_country_data(path)

    assert data.source == "test"
    assert data.lookup(ip_address("8.8.8.8")) == "US"
    assert data.lookup(ip_address("2001:4860:4860::8888")) == "US"
    assert data.lookup(ip_address("8.8.9.8")) == ""
    assert data.lookup(ip_address("2003::1")) == ""


@pytest.mark.parametrize(
    "record",
    [
        {"registered_country": {"iso_code": "US"}},
        {"country": {"names": {"en": "nowhere"}}},
        {"continent": {"code": "EU"}},
    ],
)
def test_a_record_without_a_country_is_an_unknown_address(tmp_path: Path, record: dict[str, Any]) -> None:
    """The country where a network is registered is not taken for the one that it is in."""
    known = {"country": {"iso_code": "DE"}}
    path = write_mmdb(tmp_path / "test.mmdb", "GeoLite2-Country", {"8.8.8.0/24": record, "9.0.0.0/8": known})
    assert open_country_data(path).lookup(ip_address("8.8.8.8")) == ""


def test_the_time_of_building_is_told(tmp_path: Path) -> None:
    """The build time of the file's own metadata is there for the metric."""
    path = write_mmdb(
        tmp_path / "test.mmdb", "GeoLite2-Country", {"9.0.0.0/8": {"country": {"iso_code": "US"}}}
    )
    with maxminddb.open_database(path) as reader:
        assert open_country_data(path).build_unix_seconds == reader.metadata().build_epoch > 0


@pytest.mark.parametrize(
    ("database_type", "known", "record"),
    [
        ("geolite2 country", {"country": {"iso_code": "DE"}}, {"continent": {"code": "EU"}}),
        ("country ipvAll", {"country_code": "DE"}, {"country_code": ""}),
    ],
)
def test_a_record_without_a_country_is_unknown_in_files_of_any_name(
    tmp_path: Path, database_type: str, known: dict[str, Any], record: dict[str, Any]
) -> None:
    """It is no damage: country_unknown decides about such an address, whatever the file is called."""
    records = {"8.8.8.0/24": record, "9.0.0.0/8": known}
    data = open_country_data(write_mmdb(tmp_path / "test.mmdb", database_type, records))

    assert data.lookup(ip_address("9.9.9.9")) == "DE"
    assert data.lookup(ip_address("8.8.8.8")) == ""


def good_file(path: Path) -> bytes:
    networks = {f"{number}.0.0.0/8": {"country": {"iso_code": "DE"}} for number in range(20, 60)}
    return write_mmdb(path, "GeoLite2-Country", networks).read_bytes()


def without_its_middle(content: bytes) -> bytes:
    return content[:40] + content[content.rindex(METADATA_MARKER) :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no country data\n" * 100,
        lambda content: METADATA_MARKER,
        lambda content: content[: len(content) // 2],
        lambda content: content[:-20],
        without_its_middle,
    ],
    ids=["empty", "text", "marker", "half", "cut", "hollow"],
)
def test_a_damaged_file_is_refused_with_its_path(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """An empty, foreign or truncated file is found at the start, not at the first mail."""
    path = tmp_path / "damaged.mmdb"
    path.write_bytes(damage(good_file(tmp_path / "good.mmdb")))
    with pytest.raises(CountryDataError) as caught:
        open_country_data(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused_with_its_path(tmp_path: Path) -> None:
    """The message says which file is missing."""
    with pytest.raises(CountryDataError) as caught:
        open_country_data(tmp_path / "missing.mmdb")
    assert str(tmp_path / "missing.mmdb") in str(caught.value)


def test_a_directory_is_refused_with_its_path(tmp_path: Path) -> None:
    """A directory in the place of the file does not stop the program in another way."""
    with pytest.raises(CountryDataError) as caught:
        open_country_data(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("database_type", "record"),
    [
        ("GeoLite2-ASN", {"autonomous_system_number": 15169}),
        ("GeoIP2-ISP", {"isp": "Example"}),
        ("flat", {"code": "US"}),
        ("flat", {"country_code": 1}),
        ("GeoLite2-Country", {"country": "US"}),
    ],
)
def test_a_file_of_another_type_is_refused_with_its_path(
    tmp_path: Path, database_type: str, record: dict[str, Any]
) -> None:
    """A file whose records tell no country is found at the start: with it, every country would pass."""
    path = write_mmdb(tmp_path / "other.mmdb", database_type, {"8.8.8.0/24": record})
    with pytest.raises(CountryDataError) as caught:
        open_country_data(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "database_type", ["GeoIP2-Enterprise", "DBIP-Location-ISP (compat=Enterprise)", "geolite2 country"]
)
def test_a_file_that_is_not_refused_can_be_asked(tmp_path: Path, database_type: str) -> None:
    """Whatever its type is called: otherwise each look-up would fail, and every country would pass."""
    record = {"country": {"iso_code": "US"}}
    path = write_mmdb(tmp_path / "test.mmdb", database_type, {"8.8.8.0/24": record})
    try:
        data = open_country_data(path)
    except CountryDataError as error:
        assert str(path) in str(error)  # noqa: PT017 - refusing the file is one of the two right answers
    else:
        assert data.lookup(ip_address("8.8.8.8")) == "US"


def test_a_file_without_records_is_refused_with_its_path(tmp_path: Path) -> None:
    """Nobody can have meant it."""
    path = write_mmdb(tmp_path / "test.mmdb", "GeoLite2-Country", {})
    with pytest.raises(CountryDataError) as caught:
        open_country_data(path)
    assert str(path) in str(caught.value)


def test_a_record_of_another_shape_is_a_value_error(tmp_path: Path) -> None:
    """One bad record among good ones fails as CountryData says, not as a bug would."""
    records = {"1.0.0.0/8": {"country": {"iso_code": "AU"}}, "8.8.8.0/24": {"country": "US"}}
    data = open_country_data(write_mmdb(tmp_path / "mixed.mmdb", "GeoLite2-Country", records))

    assert data.lookup(ip_address("1.1.1.1")) == "AU"
    with pytest.raises((ValueError, OSError)):
        data.lookup(ip_address("8.8.8.8"))


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("8.8.8.8", "US"),
        ("84.128.0.1", "DE"),
        ("2001:4860:4860::8888", "US"),
        ("192.0.2.1", ""),
    ],
)
def test_the_built_in_data_knows_the_world(address: str, country: str) -> None:
    """Well-known addresses of both kinds have their countries, a documentation address has none."""
    assert open_built_in().lookup(ip_address(address)) == country


def test_the_built_in_data_is_marked_as_such() -> None:
    """The metric can tell it from a file of the admin's."""
    data = open_built_in()
    assert data.source == "builtin"
    assert data.build_unix_seconds > 1_700_000_000


def test_a_missing_built_in_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package without the data file is an error that can be caught, not a crash."""
    monkeypatch.setattr("decision.country_data._BUILT_IN_FILE", "missing.mmdb")
    with pytest.raises(CountryDataError, match=r"missing\.mmdb"):
        open_built_in()
