"""Country data files."""

import errno
import os
import resource
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from decision.country_data import (
    CountryData,
    CountryDataError,
    NotExaminedError,
    check_successor,
    descriptor_path,
    is_newer,
    open_built_in,
    open_country_data,
    open_in_place,
    private_copy,
)
from tests.support.mails import broken_data, country_data
from tests.support.mmdb import METADATA_MARKER, country_file, write_mmdb
from tests.support.observed import open_descriptors, private_mappings

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
        ("flat", {"country_code": "United States"}),
        ("flat", {"country_code": "U\n"}),
        ("GeoLite2-Country", {"country": "US"}),
        ("GeoLite2-Country", {"country": {"iso_code": "USA"}}),
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


@pytest.mark.parametrize(
    ("database_type", "record"),
    [
        ("GeoLite2-Country", {"country": {"iso_code": "US\n\naction=OK"}}),
        ("GeoLite2-Country", {"country": {"iso_code": 1}}),
        ("flat", {"country": {"iso_code": "-"}}),
    ],
)
def test_what_is_no_country_code_never_leaves_a_file(
    tmp_path: Path, database_type: str, record: dict[str, Any]
) -> None:
    """It would stand in the reply to Postfix; no list of allowed countries could ever hold it."""
    records = {"9.0.0.0/8": {"country": {"iso_code": "DE"}}, "8.8.8.0/24": record}
    data = open_country_data(write_mmdb(tmp_path / "test.mmdb", database_type, records))

    with pytest.raises(ValueError, match="no country code"):
        data.lookup(ip_address("8.8.8.8"))


def test_a_code_in_small_letters_is_the_same_country(tmp_path: Path) -> None:
    """Nobody can mean another one by it."""
    path = write_mmdb(tmp_path / "test.mmdb", "flat", {"8.8.8.0/24": {"country_code": "us"}})
    assert open_country_data(path).lookup(ip_address("8.8.8.8")) == "US"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("GeoLite2-Country.mmdb", "GeoLite2-Country"),
        ("dbip-country-lite-2026-11.mmdb", "dbip-country-lite-2026-11"),
        ("without an ending", "without an ending"),
        (os.fsdecode(b"L\xe4nder\n.mmdb"), r"L\udce4nder\n"),
    ],
)
def test_a_source_is_called_by_its_file_in_printable_characters(
    tmp_path: Path, name: str, source: str
) -> None:
    """A name of other bytes than UTF-8 must not spoil the page of all metrics."""
    assert open_country_data(country_file(tmp_path / name, {"8.8.8.0/24": "US"})).source == source


def overwrite(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize(
    "harm", [lambda path: os.truncate(path, 0), overwrite, Path.unlink], ids=["cut", "overwritten", "deleted"]
)
def test_what_happens_to_a_file_in_use_does_no_harm(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    """Cutting a mapped file would end the process by SIGBUS: what is used is a copy."""
    path = tmp_path / "test.mmdb"
    records = {f"{number}.0.0.0/8": {"country_code": "DE"} for number in range(20, 60)}
    data = open_country_data(write_mmdb(path, "flat", records))
    harm(path)

    assert data.lookup(ip_address("20.1.1.1")) == "DE"
    assert data.lookup(ip_address("59.1.1.1")) == "DE"


def test_a_copy_has_no_name_and_no_reader_but_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can find it, and nothing is left behind, however the process ends."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = country_file(tmp_path / "test.mmdb", {"8.8.8.0/24": "US"})
    with private_copy(path) as descriptor:
        assert list((tmp_path / "tmp").iterdir()) == []
        assert descriptor_path(descriptor).read_bytes() == path.read_bytes()
        assert os.fstat(descriptor).st_mode & 0o077 == 0


def looped(path: Path) -> None:
    path.symlink_to(path)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def garbage(path: Path) -> None:
    """A hole of 100 MB with a few bytes in it."""
    with path.open("wb") as file:
        file.truncate(100_000_000)
        file.seek(50_000_000)
        file.write(os.urandom(1000))


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def marked_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(100_000) + METADATA_MARKER + os.urandom(1000))


HOSTILE = {
    "fifo": os.mkfifo,
    "directory": Path.mkdir,
    "loop": looped,
    "dangling": dangling,
    "garbage": garbage,
    "huge": huge,
    "marked": marked_garbage,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_file_of_country_data_is_refused_and_leaves_nothing_open(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """It takes no time, no disk and no descriptor."""
    path = tmp_path / "hostile.mmdb"
    make(path)
    before = open_descriptors()
    started = time.monotonic()
    with pytest.raises(CountryDataError, match=r"hostile\.mmdb: "):
        open_country_data(path)

    assert time.monotonic() - started < 5
    assert open_descriptors() == before


def test_a_file_that_grows_while_it_is_copied_ends_at_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size at the beginning promises nothing."""
    monkeypatch.setattr("decision.country_data.MAX_FILE_BYTES", 1000)
    path = tmp_path / "growing.mmdb"
    path.write_bytes(b"x" * 900)
    sendfile = os.sendfile

    def grow_and_send(*arguments: int) -> int:
        with path.open("ab") as file:
            file.write(b"x" * 900)
        return sendfile(*arguments)

    monkeypatch.setattr(os, "sendfile", grow_and_send)
    with pytest.raises(CountryDataError, match="larger than 1000 bytes"):
        open_country_data(path)


@pytest.mark.usefixtures("rights_hold_for_root")
def test_an_unreadable_file_may_be_good(tmp_path: Path) -> None:
    """Its rights may be mended."""
    path = country_file(tmp_path / "test.mmdb", {"8.8.8.0/24": "US"})
    path.chmod(0)
    with pytest.raises(NotExaminedError, match=r"test\.mmdb: Permission denied"):
        open_country_data(path)


def test_a_file_that_finds_no_room_may_be_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no directory for temporary files that could be written to."""

    def fail(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    path = country_file(tmp_path / "test.mmdb", {"8.8.8.0/24": "US"})
    with pytest.raises(NotExaminedError, match="no room for a copy: No space left on device"):
        open_country_data(path)


def test_a_disk_that_becomes_full_meanwhile_is_an_error_that_can_be_caught(tmp_path: Path) -> None:
    """Also when the copy is closed."""
    path = tmp_path / "test.mmdb"
    path.write_bytes(b"x" * 100_000)
    before, limits = open_descriptors(), resource.getrlimit(resource.RLIMIT_FSIZE)
    # For no longer than the call: the limit holds for the output of the test run too.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(NotExaminedError, match=r"test\.mmdb: File too large"):
            open_country_data(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert open_descriptors() == before


def test_a_path_that_is_too_long_is_refused() -> None:
    """As every other one that leads nowhere."""
    with pytest.raises(CountryDataError, match="File name too long"):
        open_country_data(Path("/" + "x" * 5000))


def test_an_open_file_keeps_no_descriptor_and_a_dropped_one_no_memory(tmp_path: Path) -> None:
    """A copy is one mapping, which ends with the last who asks it."""
    path = country_file(tmp_path / "test.mmdb", {"8.8.8.0/24": "US"})
    descriptors, before = open_descriptors(), private_mappings()
    data = open_country_data(path)
    assert (open_descriptors(), private_mappings()) == (descriptors, before + 1)
    assert data.lookup(ip_address("8.8.8.8")) == "US"

    del data
    assert private_mappings() == before


def test_a_build_time_that_is_no_date_is_refused(tmp_path: Path) -> None:
    """The format has 64 bits for it, and `mtpolicyctl geo` shows it as a date."""
    last = country_file(tmp_path / "last.mmdb", {"8.8.8.0/24": "US"}, built=253_402_300_799)
    none = country_file(tmp_path / "none.mmdb", {"8.8.8.0/24": "US"}, built=2**62)

    assert open_in_place(last, name=last).build_unix_seconds == 253_402_300_799
    with pytest.raises(CountryDataError, match=r"none\.mmdb: its build time is in no year"):
        open_in_place(none, name=none)


def test_metadata_of_another_type_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a name occurs twice for can be a number to one reader and a text to another."""
    path = country_file(tmp_path / "test.mmdb", {"8.8.8.0/24": "US"}, built=1_700_000_000)
    content = path.read_bytes()
    at = content.rindex(METADATA_MARKER) + len(METADATA_MARKER)
    # One more entry in the map, the last of its name: libmaxminddb takes the first, a dict the last one.
    twice = bytes([content[at] + 1]) + content[at + 1 :] + b"\x4bbuild_epoch\x42no"
    path.write_bytes(content[:at] + twice)

    with pytest.raises(CountryDataError, match="metadata"):
        open_country_data(path)


NOW = 1_800_000_000
FAR = NOW + 100 * 365 * 24 * 3600


def built(seconds: int) -> CountryData:
    """Data with a build time."""
    return country_data()._replace(build_unix_seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is NOW."""
    monkeypatch.setattr("decision.country_data.time.time", lambda: float(NOW))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        (NOW, NOW, ""),
        (NOW, NOW - 1, ""),
        (NOW - 1, NOW, f"test: built {NOW - 1}, before the one in use \\({NOW}\\)"),
        (0, NOW, "before the one in use|in the future"),
        (FAR, NOW, f"test: built {FAR}, in the future"),
        # Otherwise one file with a wrong time would be the last.
        (NOW, FAR, ""),
        (FAR, FAR, ""),
    ],
)
def test_a_successor_is_not_older(new: int, old: int, why: str) -> None:
    """As far as the times can be believed: none is built in the future."""
    if why:
        with pytest.raises(CountryDataError, match=why):
            check_successor(built(new), built(old))
    else:
        check_successor(built(new), built(old))
    assert is_newer(built(new), built(old)) is (not why and (new, old) not in ((NOW, NOW), (FAR, FAR)))


CANARIES = {
    "8.8.8.8": "US",
    "17.0.0.1": "US",
    "84.128.0.1": "DE",
    "193.99.144.80": "DE",
    "133.11.0.1": "JP",
    "2003::1": "DE",
}


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({}, False),
        ({"8.8.8.8": "DE"}, False),
        ({"8.8.8.8": "", "17.0.0.1": "", "84.128.0.1": ""}, False),
        ({"8.8.8.8": "DE", "17.0.0.1": "", "84.128.0.1": "US", "193.99.144.80": "US"}, True),
        (dict.fromkeys(CANARIES, ""), True),
        (dict.fromkeys(CANARIES, "DE") | {"84.128.0.1": "US"}, True),
    ],
)
def test_a_successor_knows_the_addresses_that_everybody_knows(changed: dict[str, str], refused: bool) -> None:
    """Half of those that the old file knows have the same country; files of two providers agree in more."""
    old, new = country_data(CANARIES), country_data(CANARIES | changed)
    if refused:
        with pytest.raises(CountryDataError, match=r"of 6 well-known addresses it tells [0-2] as"):
            check_successor(new, old)
    else:
        check_successor(new, old)


def test_a_file_of_ones_own_networks_may_follow_another() -> None:
    """Where the old file knows no well-known address, the new one need not either."""
    check_successor(country_data({}), country_data({"20.0.0.1": "DE"}))


def test_a_broken_successor_is_refused_and_a_broken_predecessor_is_not_followed() -> None:
    """An address that cannot be looked up is an unknown one."""
    broken = broken_data(maxminddb.InvalidDatabaseError("bad"))
    with pytest.raises(CountryDataError, match="of 6 well-known addresses it tells 0"):
        check_successor(broken, country_data(CANARIES))
    check_successor(country_data(CANARIES), broken)


def test_the_built_in_data_may_follow_itself() -> None:
    """It knows every canary."""
    check_successor(open_built_in(), open_built_in())


def test_an_error_never_shows_the_name_of_the_copy(tmp_path: Path) -> None:
    """The admin knows no /proc/self/fd/7."""
    path = tmp_path / "test.mmdb"
    marked_garbage(path)
    with pytest.raises(CountryDataError) as caught:
        open_country_data(path)
    assert "/proc" not in str(caught.value)


def test_a_source_may_be_given(tmp_path: Path) -> None:
    """Then the file's name does not matter."""
    path = country_file(tmp_path / "test.mmdb", {"8.8.8.0/24": "US"})
    assert open_in_place(path, name=path, source="mine").source == "mine"
