"""The databases in force, from the start through every change of the files and the settings."""

import asyncio
import errno
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from decision import country_data, country_files
from decision.country_check import check_whole
from decision.country_data import CountryDataError, NotExaminedError, open_in_place
from decision.country_files import CountryFiles, Database
from tests.support.loops import in_uvloop, until
from tests.support.mmdb import country_file, write_mmdb
from tests.support.observed import Observed, children, open_descriptors, private_mappings

Patch = pytest.MonkeyPatch

ADDRESS = b"50.1.1.1"  # in every file of these tests, and in the built-in data in US
CHANGED = "country_data_in_use"
REFUSED = "country_data_refused"


class Service:
    """What decision has of country data, and what it has told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seen = Observed()
        self.changes = 0
        self.files = CountryFiles(log=self.seen.log.logger, metrics=self.seen.metrics, changed=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def open(self, *names: object) -> None:
        await self.files.open([str(name) for name in names], self.directory)

    def use(self, *names: object) -> None:
        self.files.use([str(name) for name in names], self.directory)

    def answers(self) -> str:
        return str(self.files.origins.of(ADDRESS))

    def refusals(self) -> list[str]:
        """What was refused; the counter says the same."""
        reasons = [str(line["reason"]) for line in self.seen.log.lines if line["event"] == REFUSED]
        assert self.seen.sample("geoip_db_refused_total") == len(reasons)
        return reasons

    def sources(self) -> set[str]:
        """Those with a build time; they are those with a load time."""
        built, loaded = (
            {label for (label,) in self.seen.samples(f"geoip_db_{name}_timestamp_seconds")}
            for name in ("build", "loaded")
        )
        assert built == loaded
        return built

    def gauges(self) -> tuple[float | None, float | None]:
        """Usable, missing."""
        return self.seen.sample("geoip_db_usable"), self.seen.sample("geoip_db_missing")


@pytest.fixture
def service(tmp_path: Path) -> Service:
    (tmp_path / "GeoIP").mkdir()
    return Service(tmp_path / "GeoIP")


@pytest.fixture
def examined(monkeypatch: Patch) -> list[str]:
    """Files are read by this process, which is quicker; holds the names of those that were."""
    names: list[str] = []

    async def check(path: Path, *, name: Path, keep_open: Sequence[int]) -> None:
        names.append(name.name)
        open_in_place(path, name=name)

    monkeypatch.setattr(country_files, "check_whole", check)
    monkeypatch.setattr(country_files, "check_opening", check)
    return names


quickly = pytest.mark.usefixtures("examined")


def put(path: Path, country: str, *, built: int | None = None) -> Path:
    """Replace the file in one step, as geoipupdate does."""
    new = path.with_name(f"{path.name}.temporary")
    country_file(new, {"20.0.0.0/8": "DE", "50.0.0.0/8": country}, built=built)
    new.replace(path)
    return path


def half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


# The start


@quickly
async def test_without_files_the_built_in_data_are_in_force(service: Service) -> None:
    """Nothing is missing: nothing was named."""
    await service.open()

    assert service.answers() == "builtin:US"
    assert (service.gauges(), service.sources()) == ((1, 0), {"builtin"})
    assert service.seen.log.events == [CHANGED]
    loaded = service.seen.sample("geoip_db_loaded_timestamp_seconds", source="builtin")
    assert loaded is not None
    assert abs(loaded - time.time()) < 100


@quickly
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
async def test_the_newest_country_file_of_the_directory_is_in_force(
    service: Service, order: tuple[int, ...]
) -> None:
    """By its own build time, whatever it is called; files of other names are none."""
    for name, number in zip(("A-Country", "GeoLite2-Country", "dbip-Country-lite"), order, strict=True):
        put(service.directory / f"{name}.mmdb", f"X{'ABC'[number - 1]}", built=1_700_000_000 + number)
    put(service.directory / "GeoLite2-City.mmdb", "XX")
    put(service.directory / "GeoLite2-Country.mmdb.old", "XX")
    await service.open()

    assert service.answers().endswith(":XC")
    assert len(service.sources()) == 1
    assert service.seen.sample("geoip_db_build_timestamp_seconds", source=service.sources().pop()) == (
        1_700_000_003
    )
    assert service.refusals() == []


@quickly
async def test_an_unusable_newest_file_gives_way_to_the_next(service: Service) -> None:
    """And is told."""
    put(service.directory / "Good-Country.mmdb", "XA", built=1_700_000_000)
    half(put(service.directory / "New-Country.mmdb", "XB"))
    await service.open()

    assert service.answers() == "Good-Country:XA"
    assert len(service.refusals()) == 1


@quickly
@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: path.write_text("a file"),
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/proc/self/mem"),
    ],
    ids=["missing", "file", "loop", "device"],
)
async def test_a_directory_that_is_none_is_an_empty_one(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """geoipupdate need not be installed."""
    make(tmp_path / "GeoIP")
    service = Service(tmp_path / "GeoIP")
    await service.open()
    await service.files.renew()

    assert (service.answers(), service.refusals()) == ("builtin:US", [])


@quickly
async def test_a_directory_that_cannot_be_read_is_an_empty_one(service: Service, monkeypatch: Patch) -> None:
    """Its file server is away, or it vanishes that moment: nobody dies of it."""

    def fail(*_: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    path = put(service.directory / "A-Country.mmdb", "XA")
    await service.open()
    monkeypatch.setattr(Path, "glob", fail)
    await service.files.renew()
    await service.files.renew()

    assert service.answers() == "A-Country:XA"
    assert service.refusals() == [f"{path} is gone"]
    long = Service(Path("/" + "x" * 5000))
    await long.open()
    assert long.answers() == "builtin:US"


@quickly
async def test_named_databases_are_in_force_in_their_order(service: Service, tmp_path: Path) -> None:
    """The directory is not looked at."""
    one, two = put(tmp_path / "one.mmdb", "XA"), put(tmp_path / "two.mmdb", "XB")
    put(service.directory / "C-Country.mmdb", "XC")
    await service.open(two, "builtin", one)

    assert service.answers() == "two:XB,builtin:US,one:XA"
    assert (service.gauges(), service.sources()) == ((1, 0), {"one", "two", "builtin"})


@quickly
async def test_one_file_may_have_two_names(service: Service, tmp_path: Path) -> None:
    """It counts as two that agree."""
    one = put(tmp_path / "one.mmdb", "XA")
    (tmp_path / "two.mmdb").hardlink_to(one)
    (tmp_path / "three.mmdb").symlink_to(one)
    await service.open(one, tmp_path / "two.mmdb", tmp_path / "three.mmdb")

    assert service.answers() == "one:XA,two:XA,three:XA"


HOSTILE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "fifo": os.mkfifo,
    "directory": Path.mkdir,
    "loop": lambda path: path.symlink_to(path),
    "dangling": lambda path: path.symlink_to(path.with_name("nothing")),
    "binary": lambda path: path.write_bytes(os.urandom(10_000)),
    "half": lambda path: half(put(path, "XA")),
    "unreadable": lambda path: put(path, "XA").chmod(0),
}


@quickly
@pytest.mark.usefixtures("rights_hold_for_root")
@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
async def test_an_unusable_named_file_is_told_once_and_taken_when_it_is_mended(
    service: Service, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """Until then the other databases decide; neither time nor a change of other settings tells it again."""
    one, two = tmp_path / "one.mmdb", put(tmp_path / "two.mmdb", "XB")
    make(one)
    descriptors = open_descriptors()
    await service.open(one, two)
    for _ in range(3):
        await service.files.renew()
        service.use(one, two)

    assert (service.answers(), service.gauges(), service.sources()) == ("two:XB", (1, 1), {"two"})
    (reason,) = service.refusals()
    assert reason.startswith(f"{one}: ")
    assert [(found.source, found.error) for found in service.files.databases()] == [
        (str(one), reason),
        (str(two), ""),
    ]
    assert (service.changes, open_descriptors()) == (0, descriptors)

    if one.is_dir():
        one.rmdir()
    put(one, "XA")
    await service.files.renew()
    assert (service.answers(), service.gauges(), service.sources()) == (
        "one:XA,two:XB",
        (1, 0),
        {"one", "two"},
    )
    assert [found.error for found in service.files.databases()] == ["", ""]
    assert (service.changes, len(service.refusals())) == (1, 1)


@quickly
async def test_without_any_usable_file_the_built_in_data_decide(service: Service, tmp_path: Path) -> None:
    """And leave the metrics when one appears."""
    await service.open(tmp_path / "one.mmdb")
    assert (service.answers(), service.gauges(), service.sources()) == ("builtin:US", (1, 1), {"builtin"})
    missing, built_in = service.files.databases()
    assert missing == Database(f"{tmp_path}/one.mmdb", 0, f"{tmp_path}/one.mmdb: No such file or directory")
    assert (built_in.source, built_in.error) == ("built-in", "")
    assert built_in.build_unix_seconds > 1_700_000_000

    put(tmp_path / "one.mmdb", "XA")
    await service.files.renew()
    assert (service.answers(), service.gauges(), service.sources()) == ("one:XA", (1, 0), {"one"})


@quickly
async def test_without_any_data_every_country_passes_and_it_is_told(
    service: Service, monkeypatch: Patch
) -> None:
    """The package lacks its file."""
    monkeypatch.setattr(country_data, "_BUILT_IN_FILE", "missing.mmdb")
    await service.open()

    assert (service.answers(), service.gauges(), service.sources()) == ("", (0, 0), set())
    assert service.seen.log.events == ["no_country_data"]
    assert service.seen.sample("geoip_lookups_total", result="no_data") == 1


@quickly
async def test_a_name_of_any_bytes_does_not_spoil_the_metrics(service: Service) -> None:
    """It is shown in escapes."""
    put(service.directory / os.fsdecode(b"\xff\n Country.mmdb"), "XA")
    await service.open()

    assert service.sources() == {r"\udcff\n Country"}
    assert b"Country" in generate_latest(service.seen.registry)


# Replaced files


@quickly
@pytest.mark.parametrize("named", [True, False])
async def test_a_replaced_file_is_taken_over(service: Service, named: bool) -> None:
    """Whether it is named or found, renamed into place or written over."""
    path = put(service.directory / "A-Country.mmdb", "XA")
    names = [path] if named else []
    await service.open(*names)
    put(path, "XB")
    await service.files.renew()
    assert (service.answers(), service.changes) == ("A-Country:XB", 1)

    path.write_bytes(put(path.with_name("other"), "XC").read_bytes() + b"\0")
    await service.files.renew()
    assert (service.answers(), service.changes) == ("A-Country:XC", 2)
    assert service.seen.log.events == [CHANGED] * 3
    assert (service.refusals(), service.sources()) == ([], {"A-Country"})


@quickly
async def test_times_are_those_of_the_file_in_use(
    service: Service, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Its building and its opening."""
    path = put(tmp_path / "one.mmdb", "XA", built=1_700_000_000)

    def times() -> list[float | None]:
        return [
            service.seen.sample(f"geoip_db_{name}_timestamp_seconds", source="one")
            for name in ("build", "loaded")
        ]

    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    await service.open(path)
    assert times() == [1_700_000_000, 1_800_000_000]
    monkeypatch.setattr(time, "time", lambda: 1_800_000_002.0)
    await service.files.renew()
    assert times() == [1_700_000_000, 1_800_000_000]
    put(path, "XB", built=1_700_000_001)
    await service.files.renew()
    assert times() == [1_700_000_001, 1_800_000_002]


def other_type(path: Path) -> None:
    write_mmdb(path, "GeoLite2-ASN", {"50.0.0.0/8": {"isp": "Example"}})


def other_world(path: Path) -> None:
    country_file(path, {"8.8.8.0/24": "XX", "17.0.0.0/8": "XX", "50.0.0.0/8": "XX"})


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "half": (half, ""),
    "empty": (lambda path: path.write_bytes(b""), ""),
    "text": (lambda path: path.write_text("no data"), ""),
    "older": (
        lambda path: put(path, "XX", built=1_600_000_000),
        "A-Country: built 1600000000, before the one in use",
    ),
    "future": (
        lambda path: put(path, "XX", built=4_000_000_000),
        "A-Country: built 4000000000, in the future",
    ),
    "type": (other_type, "tell no country"),
    "world": (other_world, "of 2 well-known addresses it tells 0 as the one in use does"),
}


@pytest.mark.parametrize("damage", [item[0] for item in BAD.values()], ids=BAD.keys())
@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
async def test_a_bad_successor_is_refused_once_and_the_old_one_stays(
    service: Service,
    examined: list[str],
    named: bool,
    damage: Callable[[Path], object],
    request: pytest.FixtureRequest,
) -> None:
    """One line and one count for each form of the file; the same one is not examined twice."""
    path = service.directory / "A-Country.mmdb"
    country_file(path, {"8.8.8.0/24": "US", "17.0.0.0/8": "US", "50.0.0.0/8": "XA"}, built=1_700_000_000)
    await service.open(*([path] if named else []))
    await service.files.renew()
    examined.clear()
    damage(path)
    before = service.files.origins
    for _ in range(3):
        await service.files.renew()

    (reason,) = service.refusals()
    assert service.files.databases() == [Database(str(path), 1_700_000_000, reason)]
    assert BAD[request.node.callspec.id.split("-")[-1]][1] in reason
    assert service.files.origins is before
    assert (service.answers(), service.changes, service.gauges()) == ("A-Country:XA", 0, (1, 0))
    assert examined == ["A-Country.mmdb"]

    os.utime(path)
    await service.files.renew()
    assert (len(examined), len(service.refusals())) == (2, 2)


@quickly
async def test_a_newer_file_of_another_name_is_taken_and_an_older_one_is_not(service: Service) -> None:
    """The label of the one that is no longer in use is gone."""
    put(service.directory / "B-Country.mmdb", "XB", built=1_700_000_002)
    await service.open()
    put(service.directory / "A-Country.mmdb", "XA", built=1_700_000_001)
    await service.files.renew()
    assert (service.answers(), service.changes) == ("B-Country:XB", 0)

    put(service.directory / "C-Country.mmdb", "XC", built=1_700_000_003)
    await service.files.renew()
    assert (service.answers(), service.sources()) == ("C-Country:XC", {"C-Country"})
    assert service.refusals() == []


@quickly
async def test_a_newer_file_of_another_name_must_be_credible_too(service: Service) -> None:
    """It takes the place of the one in use."""
    path = service.directory / "A-Country.mmdb"
    country_file(path, {"8.8.8.0/24": "US", "50.0.0.0/8": "XA"}, built=1_700_000_000)
    await service.open()
    other_world(service.directory / "B-Country.mmdb")
    await service.files.renew()

    assert service.answers() == "A-Country:XA"
    assert "of 1 well-known addresses it tells 0" in service.refusals()[0]


@quickly
async def test_a_build_time_in_the_future_does_not_hold_up_honest_files(service: Service) -> None:
    """Neither a successor nor one of another name."""
    path = put(service.directory / "B-Country.mmdb", "XB", built=4_000_000_000)
    await service.open()
    assert service.answers() == "B-Country:XB"
    put(service.directory / "A-Country.mmdb", "XA", built=1_700_000_000)
    await service.files.renew()
    assert service.answers() == "A-Country:XA"

    named = Service(service.directory)
    await named.open(path)
    put(path, "XC", built=1_700_000_000)
    await named.files.renew()
    assert (named.answers(), named.refusals()) == ("B-Country:XC", [])


@quickly
async def test_a_deleted_file_stays_in_use_until_it_is_back(service: Service, tmp_path: Path) -> None:
    """It is told once that it is gone."""
    path = put(tmp_path / "one.mmdb", "XA")
    await service.open(path)
    path.unlink()
    for _ in range(3):
        await service.files.renew()
    assert (service.answers(), service.gauges()) == ("one:XA", (1, 0))
    assert service.refusals() == [f"{path} is gone"]

    put(path, "XB")
    await service.files.renew()
    assert (service.answers(), len(service.refusals())) == ("one:XB", 1)
    path.unlink()
    await service.files.renew()
    assert service.refusals() == [f"{path} is gone"] * 2


@quickly
async def test_a_file_that_was_away_for_a_moment_is_the_one_in_use(
    service: Service, tmp_path: Path, monkeypatch: Patch
) -> None:
    """A mount that comes back, for example: nothing is taken over."""

    def away(_: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    path = put(tmp_path / "one.mmdb", "XA")
    await service.open(path)
    await service.files.renew()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", away)
        await service.files.renew()
    await service.files.renew()

    assert (service.changes, service.seen.log.events) == (0, [CHANGED, REFUSED])


@quickly
@pytest.mark.usefixtures("rights_hold_for_root")
async def test_an_unreadable_file_is_taken_as_soon_as_its_rights_are_mended(
    service: Service, tmp_path: Path
) -> None:
    """The content need not change."""
    path = put(tmp_path / "one.mmdb", "XA")
    await service.open(path)
    put(path, "XB").chmod(0)
    await service.files.renew()
    await service.files.renew()
    assert (service.answers(), service.refusals()) == ("one:XA", [f"{path}: Permission denied"])

    path.chmod(0o644)
    await service.files.renew()
    assert service.answers() == "one:XB"


@quickly
@pytest.mark.parametrize("hindrance", ["room", "process"])
async def test_a_file_that_cannot_be_examined_now_is_tried_again(
    service: Service, tmp_path: Path, monkeypatch: Patch, hindrance: str
) -> None:
    """A full disk or a lack of processes says nothing about the file; it is told once."""
    path = put(tmp_path / "one.mmdb", "XA")
    await service.open(path)
    put(path, "XB")

    def no_room(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if hindrance == "room":
            patch.setattr(tempfile, "TemporaryFile", no_room)
        else:
            patch.setattr(country_files, "check_whole", check_whole)
            patch.setattr(sys, "executable", "/nonexistent/python")
        await service.files.renew()
        patch.setattr(country_files, "AGAIN_SECONDS", 0.0)
        patch.setattr(time, "monotonic", lambda: float("1e12"))
        await service.files.renew()
        await service.files.renew()
        assert service.answers() == "one:XA"
        (reason,) = service.refusals()
        assert ("no room for a copy" if hindrance == "room" else "no process to check it") in reason
    monkeypatch.setattr(time, "monotonic", lambda: float("1e13"))
    await service.files.renew()
    assert (service.answers(), len(service.refusals())) == ("one:XB", 1)


async def test_what_cannot_be_examined_is_left_alone_for_a_while(
    service: Service, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Not every two seconds: a check that takes too long would never pause."""
    tries = 0

    async def hang(*_: Any, **__: Any) -> None:
        nonlocal tries
        tries += 1
        raise NotExaminedError("not read within 600 s")

    monkeypatch.setattr(country_files, "check_opening", hang)
    monkeypatch.setattr(country_files, "check_whole", hang)
    await service.open(put(tmp_path / "one.mmdb", "XA"))
    for _ in range(5):
        await service.files.renew()
    assert (tries, len(service.refusals())) == (1, 1)


# Damaged files, and the process that reads them


def crashing(path: Path) -> None:
    """maxminddb 3.2 takes a key that is no text for an address in memory."""
    content = path.read_bytes()
    assert content.count(b"\x48iso_code") == 1
    path.write_bytes(content.replace(b"\x48iso_code", b"\x08iso_code"))


async def test_a_file_that_crashes_its_reader_does_not_end_the_service(
    service: Service, tmp_path: Path
) -> None:
    """Neither at the start, where it would end each new one too, nor later."""
    path = put(tmp_path / "one.mmdb", "XA")
    crashing(path)
    await service.open(path)
    assert (service.answers(), service.gauges()) == ("builtin:US", (1, 1))
    put(path, "XB")
    await service.files.renew()
    crashing(path)
    await service.files.renew()

    assert service.answers() == "one:XB"
    assert [reason[:-2] for reason in service.refusals()] == [f"{path}: reading it crashed (signal 1"] * 2


def damaged_late(path: Path, *, built: int) -> Path:
    """A record behind those that are looked at on opening is no UTF-8."""
    countries = {f"20.{number // 250}.{number % 250}.0/24": "DE" for number in range(1500)}
    country_file(path, countries | {"50.0.0.0/8": "US", "60.0.0.0/8": "@@"}, built=built)
    path.write_bytes(path.read_bytes().replace(b"@@", b"\xff\xff"))
    return path


async def test_a_file_that_is_found_damaged_after_the_start_is_used_no_longer(service: Service) -> None:
    """What a running service refuses must not come in by a restart; the next good file has its turn."""
    bad = damaged_late(service.directory / "B-Country.mmdb", built=1_700_000_001)
    put(service.directory / "A-Country.mmdb", "XA", built=1_700_000_000)
    await service.open()
    assert service.answers() == "B-Country:US"
    for _ in range(3):
        await service.files.renew()

    assert (service.answers(), service.sources()) == ("A-Country:XA", {"A-Country"})
    assert [reason.split(": ")[0] for reason in service.refusals()] == [str(bad)]


async def test_a_named_file_that_is_found_damaged_after_the_start_is_missing(
    service: Service, tmp_path: Path
) -> None:
    """Until it is replaced."""
    path = damaged_late(tmp_path / "one.mmdb", built=1_700_000_000)
    await service.open(path)
    assert (service.answers(), service.gauges()) == ("one:US", (1, 0))
    await service.files.renew()
    await service.files.renew()
    assert (service.answers(), service.gauges(), service.changes) == ("builtin:US", (1, 1), 1)
    assert len(service.refusals()) == 1

    put(path, "XA")
    await service.files.renew()
    assert (service.answers(), service.gauges()) == ("one:XA", (1, 0))


async def test_a_good_file_is_read_as_a_whole_once_after_the_start(
    service: Service, tmp_path: Path, examined: list[str]
) -> None:
    """Which is no change."""
    await service.open(put(tmp_path / "one.mmdb", "XA"))
    for _ in range(3):
        await service.files.renew()

    assert examined == ["one.mmdb"] * 2  # opened, read
    assert (service.changes, service.seen.log.events) == (0, [CHANGED])


async def test_a_file_in_use_stays_if_nobody_has_time_to_read_it(
    service: Service, tmp_path: Path, examined: list[str], monkeypatch: Patch
) -> None:
    """That is no proof of damage."""

    async def hang(*_: Any, name: Path, **__: Any) -> None:
        raise NotExaminedError(f"{name}: not read within 600 s")

    monkeypatch.setattr(country_files, "check_whole", hang)
    await service.open(put(tmp_path / "one.mmdb", "XA"))
    for _ in range(3):
        await service.files.renew()

    assert (service.answers(), len(service.refusals())) == ("one:XA", 1)


async def test_a_stop_ends_a_check_that_is_under_way(
    service: Service, tmp_path: Path, monkeypatch: Patch
) -> None:
    """At once, and without a process that is left over."""
    monkeypatch.setattr(country_files, "INTERVAL_SECONDS", 0.001)
    path = put(tmp_path / "one.mmdb", "XA")
    await service.open(path)
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    watch = asyncio.create_task(service.files.watch())
    await until(lambda: children() != [])
    watch.cancel()
    started = time.monotonic()
    await asyncio.gather(watch, return_exceptions=True)

    assert (time.monotonic() - started < 5, children()) == (True, [])


async def test_the_event_loop_does_not_read_files(
    service: Service, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Threads and processes do: questions are answered meanwhile."""
    readers: set[threading.Thread] = set()

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            readers.add(threading.current_thread())
            return function(*arguments, **more)

        return call

    monkeypatch.setattr(os, "sendfile", noted(os.sendfile))
    monkeypatch.setattr(country_files, "open_in_place", noted(open_in_place))
    monkeypatch.setattr(Path, "glob", noted(Path.glob))
    put(service.directory / "A-Country.mmdb", "XA")
    await service.open()
    put(service.directory / "A-Country.mmdb", "XB")
    await service.files.renew()

    assert service.answers() == "A-Country:XB"
    assert readers
    assert threading.current_thread() not in readers


# Changed settings


@quickly
async def test_changed_settings_are_in_force_when_what_they_name_was_examined(
    service: Service, tmp_path: Path
) -> None:
    """Until then it is what was before, not the built-in data."""
    one, two = put(tmp_path / "one.mmdb", "XA"), put(tmp_path / "two.mmdb", "XB")
    await service.open(one)
    service.use(one, two)
    assert (service.answers(), service.changes) == ("one:XA", 0)
    await service.files.renew()
    assert (service.answers(), service.changes, service.sources()) == ("one:XA,two:XB", 1, {"one", "two"})

    service.use(two)
    assert (service.answers(), service.sources()) == ("two:XB", {"two"})
    service.use("builtin")
    assert (service.answers(), service.sources()) == ("builtin:US", {"builtin"})
    service.use(tmp_path / "three.mmdb")
    await service.files.renew()
    assert (service.answers(), service.gauges()) == ("builtin:US", (1, 1))
    service.use()
    await service.files.renew()
    assert (service.answers(), service.gauges()) == ("builtin:US", (1, 0))


async def test_settings_that_name_the_same_files_open_nothing(
    service: Service, tmp_path: Path, examined: list[str]
) -> None:
    """A change of the threshold, say."""
    one, three = put(tmp_path / "one.mmdb", "XA"), tmp_path / "three.mmdb"
    await service.open(one, "builtin", three)
    before = service.files.origins.databases
    lines = len(service.seen.log.lines)
    service.use(one, "builtin", three)

    assert [id(data) for data in service.files.origins.databases] == [id(data) for data in before]
    assert (examined, len(service.seen.log.lines)) == (["one.mmdb"], lines)


class Paused:
    """A check that waits until it may go on."""

    def __init__(self, monkeypatch: Patch) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(country_files, "check_whole", self)

    async def __call__(self, path: Path, *, name: Path, keep_open: Sequence[int]) -> None:
        self.begun.set()
        await self.go_on.wait()
        open_in_place(path, name=name)


@quickly
@pytest.mark.parametrize("also_new", [False, True])
async def test_a_file_is_taken_though_the_settings_change_meanwhile(
    service: Service, tmp_path: Path, monkeypatch: Patch, also_new: bool
) -> None:
    """If they still name it."""
    one, two = put(tmp_path / "one.mmdb", "XA"), put(tmp_path / "two.mmdb", "XB")
    await service.open(one)
    put(one, "XC")
    paused = Paused(monkeypatch)
    renewal = asyncio.create_task(service.files.renew())
    await paused.begun.wait()
    service.use(one, *([two] if also_new else ["builtin"]))
    paused.go_on.set()
    await renewal
    await service.files.renew()

    assert service.answers() == ("one:XC,two:XB" if also_new else "one:XC,builtin:US")


@quickly
@pytest.mark.parametrize("bad", [False, True])
async def test_a_file_that_the_settings_name_no_longer_is_not_taken(
    service: Service, tmp_path: Path, monkeypatch: Patch, bad: bool
) -> None:
    """Nor is it told what is wrong with it."""
    one, two = put(tmp_path / "one.mmdb", "XA"), put(tmp_path / "two.mmdb", "XB")
    await service.open(one)
    put(one, "XC")
    if bad:
        other_type(one)
    paused = Paused(monkeypatch)
    renewal = asyncio.create_task(service.files.renew())
    await paused.begun.wait()
    service.use(two)
    paused.go_on.set()
    await renewal
    await service.files.renew()

    assert (service.answers(), service.sources(), service.refusals()) == ("two:XB", {"two"}, [])


@quickly
async def test_a_change_of_the_settings_wakes_the_watch(
    service: Service, tmp_path: Path, monkeypatch: Patch
) -> None:
    """New names do not wait for the next round."""
    monkeypatch.setattr(country_files, "INTERVAL_SECONDS", 3600.0)
    await service.open()
    changed = asyncio.Event()
    monkeypatch.setattr(service.files, "_changed", changed.set)
    watch = asyncio.create_task(service.files.watch())
    await asyncio.sleep(0)
    service.use(put(tmp_path / "one.mmdb", "XA"))
    await asyncio.wait_for(changed.wait(), 10)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)

    assert service.answers() == "one:XA"


# All at once


@quickly
async def test_replaced_databases_leave_nothing_behind(service: Service, tmp_path: Path) -> None:
    """No descriptor, and no mapping as soon as nobody asks them any more."""
    path = put(tmp_path / "one.mmdb", "XA")
    gc.collect()  # what other tests have left
    descriptors, mappings = open_descriptors(), private_mappings()
    await service.open(path)
    for number in range(20):
        put(path, f"X{'ABCDEFGHIJ'[number % 10]}")
        service.answers()
        await service.files.renew()

    await until(lambda: private_mappings() == mappings + 1)  # a thread may hold one for a moment
    assert open_descriptors() == descriptors


@in_uvloop
async def test_a_file_that_is_replaced_a_hundred_times_a_second_does_no_harm() -> None:
    """Good, half-written, garbage, gone: there is always an answer, and the last good file counts."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(country_files, "INTERVAL_SECONDS", 0.01)
        service = Service(Path(directory) / "GeoIP")
        service.directory.mkdir()
        path = put(service.directory / "A-Country.mmdb", "XA")
        contents = [put(Path(directory) / "x", country).read_bytes() for country in ("XA", "XB")]
        await service.open()
        await service.files.renew()
        gc.collect()  # what other tests have left
        descriptors, mappings = open_descriptors(), private_mappings()
        answers = set()
        watch = asyncio.create_task(service.files.watch())
        for number in range(250):
            content = contents[number % 2]
            if number % 5 == 1:
                path.write_bytes(content[: len(content) // 2])
            elif number % 5 == 2:
                path.unlink()
            elif number % 5 == 3:
                path.write_bytes(os.urandom(1000))
            else:
                new = path.with_suffix(".new")
                new.write_bytes(content)
                new.replace(path)
            await asyncio.sleep(0.01)
            answers.add(service.answers())
            assert not watch.done()
        put(path, "XC")
        await until(lambda: service.answers() == "A-Country:XC")
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

        assert answers <= {"A-Country:XA", "A-Country:XB"}
        # A thread may still have held one when they were counted first.
        assert private_mappings() <= mappings
        assert (open_descriptors(), children()) == (descriptors, [])


async def test_an_examination_that_is_broken_off_leaves_nothing_open(
    service: Service, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Also in the middle of the copy, in another thread."""
    path = put(tmp_path / "one.mmdb", "XA")
    sendfile = os.sendfile
    copying = threading.Event()

    def slow(*arguments: int) -> int:
        copying.set()
        time.sleep(0.1)
        return sendfile(*arguments)

    monkeypatch.setattr(os, "sendfile", slow)
    await asyncio.to_thread(lambda: None)
    before = open_descriptors()
    examination = asyncio.create_task(country_files.examine(path))
    await asyncio.to_thread(copying.wait)
    examination.cancel()
    with pytest.raises(asyncio.CancelledError):
        await examination
    await until(lambda: open_descriptors() == before)


async def test_an_examined_file_is_a_copy(tmp_path: Path) -> None:
    """Of what was checked, whatever has happened to the file meanwhile."""
    path = put(tmp_path / "one.mmdb", "XA")
    data = await country_files.examine(path)
    os.truncate(path, 0)
    with pytest.raises(CountryDataError):
        await country_files.examine(path)

    assert data.source == "one"
