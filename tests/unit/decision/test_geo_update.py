"""Fetch, check, swap, against a publisher on loopback."""

import asyncio
import fcntl
import gzip
import io
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from decision import geo_update
from decision.country_check import check_whole
from decision.country_data import CountryData, NotExaminedError, open_country_data
from decision.geo_archive import unpack_gzip
from decision.geo_fetch import Bounds
from decision.geo_providers import PROVIDERS, ProviderName
from decision.geo_update import PUBLISHED_WITHIN_SECONDS, Updated, UpdateError, put_in_place, update
from tests.support.publishers import (
    NOVEMBER,
    OCTOBER,
    Handler,
    Publisher,
    country_file,
    damaged_inside,
    dbip,
    gives,
    maxmind,
    maxmind_archive,
    mmdb_file,
    publishing,
    tar_gz,
)

SOON = Bounds(total_seconds=20, stall_seconds=5, retries=0, pause_seconds=0.01)
NAMES: dict[ProviderName, str] = {"maxmind": "GeoLite2-Country.mmdb", "dbip": "DBIP-Country-Lite.mmdb"}
BASIC = "Basic MTIzNDU2OmtleQ=="


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the machine is not asked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Place:
    """A directory with the file of one publisher, if there is one already."""

    directory: Path
    name: ProviderName = "dbip"
    steps: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.directory / NAMES[self.name]

    def put(self, content: bytes, *, modified: float | None = None) -> bytes:
        """Let a file be there that was not fetched."""
        self.file.write_bytes(content)
        if modified is not None:
            os.utime(self.file, (modified, modified))
        return content

    async def update(self, publisher: Publisher | str, *, bounds: Bounds = SOON) -> Updated:
        return await update(
            PROVIDERS[self.name],
            self.directory,
            base_url=URL(publisher if isinstance(publisher, str) else publisher.url),
            authorization=BASIC if self.name == "maxmind" else None,
            bounds=bounds,
            report=lambda step, done, total: self.steps.append(step),
        )

    async def refusal(self, handler: Handler, *, bounds: Bounds = SOON) -> str:
        """The error; the directory is as it was before."""
        before = self.content()
        async with publishing(handler) as publisher:
            with pytest.raises(UpdateError) as caught:
                await self.update(publisher, bounds=bounds)
        assert self.content() == before
        return str(caught.value).replace(publisher.url, "URL")

    def content(self) -> dict[str, tuple[bytes, int]]:
        """Every file with its time of change."""
        return {path.name: (path.read_bytes(), path.stat().st_ctime_ns) for path in self.directory.iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    directory = tmp_path / "GeoIP"
    directory.mkdir()
    return Place(directory)


# A new file


async def test_the_first_file_is_put_in_place(place: Place) -> None:
    """Readable by everybody, whatever the umask; nothing else is in the directory."""
    os.umask(0o077)
    content = country_file()
    async with publishing(dbip(content)) as publisher:
        done = await place.update(publisher)

    assert done == Updated(place.file, NOVEMBER, None, True, "")
    assert list(place.directory.iterdir()) == [place.file]
    assert place.file.read_bytes() == content
    assert place.file.stat().st_mode & 0o7777 == 0o644
    assert place.steps[0] == "fetching"
    assert list(dict.fromkeys(place.steps)) == ["fetching", "unpacking", "reading it as a whole"]


async def test_a_newer_one_takes_its_place(place: Place) -> None:
    """In one step: whoever has the old one open keeps it."""
    old = place.put(country_file(OCTOBER))
    with place.file.open("rb") as opened:
        async with publishing(dbip(country_file())) as publisher:
            done = await place.update(publisher)
        assert opened.read() == old

    assert done == Updated(place.file, NOVEMBER, OCTOBER, True, "")
    assert open_country_data(place.file).build_unix_seconds == NOVEMBER


async def test_maxmind_s_archive_is_checked_by_its_checksum(place: Place) -> None:
    """Both are asked for with the account; the file has the time of the server's."""
    place.name = "maxmind"
    archive = maxmind_archive(country_file())
    async with publishing(maxmind(archive)) as publisher:
        done = await place.update(publisher)

    assert done == Updated(place.file, NOVEMBER, None, True, "")
    path = "/geoip/databases/GeoLite2-Country/download?suffix=tar.gz"
    assert [(one.path, one.authorization) for one in publisher.asked] == [
        (path, BASIC),
        (f"{path}.sha256", BASIC),
    ]
    assert place.file.stat().st_mtime == NOVEMBER + 5600  # 04:00


async def test_a_base_url_may_have_a_path(place: Place) -> None:
    """A mirror's; a slash at its end is forgiven."""
    async with publishing(dbip(country_file())) as publisher:
        await place.update(f"{publisher.url}/mirror/geo/")
    assert publisher.asked[0].path.startswith("/mirror/geo/free/dbip-country-lite-")


async def test_the_month_before_is_taken_while_this_one_s_is_not_there(place: Place) -> None:
    """As in the first hours of a month."""
    months: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        months.append(request.path)
        return await (gives(b"", status=404) if len(months) == 1 else dbip(country_file(OCTOBER)))(request)

    async with publishing(handler) as publisher:
        done = await place.update(publisher)

    assert done.build_unix_seconds == OCTOBER
    assert months == list(PROVIDERS["dbip"].paths(datetime.now(UTC).date()))


# What is current


async def test_the_same_build_is_left_alone(place: Place) -> None:
    """The running services need not look at it."""
    place.put(country_file())
    before = place.content()
    async with publishing(dbip(country_file())) as publisher:
        assert await place.update(publisher) == Updated(place.file, NOVEMBER, None, False, "")
    assert place.content() == before


async def test_the_server_is_asked_for_something_newer(place: Place) -> None:
    """Than the file that it gave the last time; if there is nothing, nothing is fetched."""
    place.name = "maxmind"
    async with publishing(maxmind(maxmind_archive(country_file()))) as publisher:
        await place.update(publisher)
    before = place.content()
    async with publishing(gives(b"", status=304)) as publisher:
        done = await place.update(publisher)

    assert done == Updated(place.file, NOVEMBER, None, False, "")
    assert [one.if_modified_since for one in publisher.asked] == ["Sun, 01 Nov 2026 04:00:00 GMT"]
    assert place.content() == before


@pytest.mark.parametrize("age", [-1, PUBLISHED_WITHIN_SECONDS + 1])
async def test_a_file_with_a_time_of_its_own_is_not_taken_for_current(place: Place, age: float) -> None:
    """An old one that was copied just now is replaced."""
    place.put(country_file(OCTOBER), modified=OCTOBER + age)
    async with publishing(dbip(country_file())) as publisher:
        assert (await place.update(publisher)).is_new
    assert publisher.asked[0].if_modified_since is None


@pytest.mark.parametrize("content", [b"", b"text", damaged_inside(country_file(NOVEMBER + 1))])
async def test_an_unusable_file_is_replaced(place: Place, content: bytes) -> None:
    """Though it says of itself that it is newer, or was changed late; and it is told."""
    place.put(content, modified=NOVEMBER + 1)
    async with publishing(dbip(country_file())) as publisher:
        done = await place.update(publisher)

    assert done[:4] == (place.file, NOVEMBER, None, True)
    assert str(place.file) in done.unusable
    assert publisher.asked[0].if_modified_since is None


async def test_a_file_that_cannot_be_examined_is_not_replaced(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be newer than what would come: nothing is fetched."""

    async def examine(path: Path) -> CountryData:
        raise NotExaminedError(f"{path}: no room for a copy")

    monkeypatch.setattr(geo_update, "examine", examine)
    place.put(country_file(OCTOBER))
    text = await place.refusal(dbip(country_file()))

    assert text == f"the file that is there cannot be compared: {place.file}: no room for a copy"


# What is refused


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (gives(b"<!DOCTYPE html>"), "what came is no gzip file, it begins with b'<!DOCTYPE html>'"),
        (gives(gzip.compress(country_file())[:-20]), "what came is cut short or damaged"),
        (dbip(country_file()[:-200]), "what came cannot be used: DBIP-Country-Lite.mmdb: "),
        (dbip(b""), "what came cannot be used: DBIP-Country-Lite.mmdb: "),
        (dbip(damaged_inside(country_file())), "what came cannot be used: DBIP-Country-Lite.mmdb: "),
        (dbip(country_file(OCTOBER - 1)), "if that one is wrong, remove "),
        (dbip(country_file(countries={"8.0.0.0/8": "DE", "84.0.0.0/8": "US"})), "well-known addresses"),
        (
            dbip(mmdb_file(NOVEMBER, {"8.0.0.0/8": {"autonomous_system_number": 1}}, database_type="ASN")),
            "tell no country",
        ),
        (gives(b"", status=401), "answers 401: the account id or the licence key is wrong"),
        (gives(b"", status=404), "answers 404"),
        (gives(b"", status=500), "answers 500"),
    ],
)
async def test_what_cannot_be_trusted_changes_nothing(place: Place, handler: Handler, reason: str) -> None:
    """The address and the reason are told; the old file stays, and nothing beside it."""
    place.put(country_file(OCTOBER))
    text = await place.refusal(handler)

    assert text.startswith("URL/free/dbip-country-lite-")
    assert reason in text


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (maxmind(maxmind_archive(country_file()), checksum="0" * 64), "has another SHA-256"),
        (maxmind(maxmind_archive(country_file()), checksum="not found"), "what came is no checksum"),
        (maxmind(maxmind_archive(country_file()), checksum="0" * 63), "what came is no checksum"),
        (maxmind(maxmind_archive(country_file()), checksum="0" * 65), "what came is no checksum"),
        (maxmind(tar_gz(("README.txt", b""))), "what came is an archive without an .mmdb file"),
    ],
)
async def test_an_archive_that_is_not_what_it_should_be(place: Place, handler: Handler, reason: str) -> None:
    """Of MaxMind."""
    place.name = "maxmind"
    place.put(country_file(OCTOBER))
    text = await place.refusal(handler)

    assert text.startswith("URL/geoip/databases/GeoLite2-Country/download?suffix=tar.gz")
    assert reason in text


async def test_all_of_it_has_one_bound_in_time(place: Place) -> None:
    """Though a byte comes every now and then."""

    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x")
            await asyncio.sleep(0.02)

    text = await place.refusal(drip, bounds=SOON._replace(total_seconds=0.3))

    assert text.endswith(".mmdb.gz: not finished within 0.3 s")


async def test_a_bomb_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it would be unpacked."""
    bounded = PROVIDERS["dbip"]._replace(unpack=partial(unpack_gzip, max_bytes=1000))
    monkeypatch.setitem(PROVIDERS, "dbip", bounded)

    assert "far more than country data" in await place.refusal(dbip(bytes(100_000)))


# The directory


async def test_a_missing_directory_is_told_before_anything_is_fetched(place: Place) -> None:
    """Nor is it made: it would be one that decision does not read."""
    place.directory.rmdir()
    async with publishing(gives(b"")) as publisher:
        with pytest.raises(UpdateError, match="GeoIP cannot be written to: No such file or directory"):
            await place.update(publisher)
    assert publisher.asked == []


async def test_a_directory_in_the_place_of_the_file_is_told(place: Place) -> None:
    """And no temporary file stays."""
    place.file.mkdir()
    async with publishing(dbip(country_file())) as publisher:
        with pytest.raises(UpdateError, match="cannot be written to: Is a directory"):
            await place.update(publisher)
    assert list(place.directory.iterdir()) == [place.file]


def failing(_: object, *__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
async def test_a_full_disk_leaves_no_litter(place: Place, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Even in the last step."""
    place.put(country_file(OCTOBER))
    before = place.content()
    async with publishing(dbip(country_file())) as publisher:
        monkeypatch.setattr(f"decision.geo_update.os.{call}", failing)
        with pytest.raises(UpdateError, match="cannot be written to: No space left on device"):
            await place.update(publisher)
    assert place.content() == before


async def test_an_update_that_is_ended_leaves_no_litter(place: Place) -> None:
    """While it waits for the server."""
    place.put(country_file(OCTOBER))
    before = place.content()
    asked = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(60)
        raise AssertionError

    async with publishing(hang) as publisher:
        task = asyncio.create_task(place.update(publisher))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert place.content() == before


# Two at once


async def test_the_older_of_two_updates_does_not_win(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was asked for first and comes last."""
    newer_is_there = asyncio.Event()

    async def late(*args: Any, **how: Any) -> None:
        await check_whole(*args, **how)
        if not newer_is_there.is_set():
            async with publishing(dbip(country_file(NOVEMBER))) as publisher:
                newer_is_there.set()
                await place.update(publisher)

    monkeypatch.setattr(geo_update, "check_whole", late)
    async with publishing(dbip(country_file(OCTOBER))) as publisher:
        with pytest.raises(UpdateError, match="before the one in use"):
            await place.update(publisher)

    assert open_country_data(place.file).build_unix_seconds == NOVEMBER
    assert list(place.directory.iterdir()) == [place.file]


async def test_they_compare_and_swap_one_after_the_other(place: Place) -> None:
    """The second waits for the first, but not for ever."""
    descriptor = os.open(place.directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        text = await place.refusal(dbip(country_file()), bounds=SOON._replace(total_seconds=1))
    finally:
        os.close(descriptor)

    assert text.endswith("not finished within 1 s")
    async with publishing(dbip(country_file())) as publisher:
        assert (await place.update(publisher)).is_new


async def test_a_file_system_without_locks_is_no_obstacle(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as some of a network."""
    monkeypatch.setattr("decision.geo_update.fcntl.flock", failing)
    async with publishing(dbip(country_file())) as publisher:
        assert (await place.update(publisher)).is_new


# put_in_place


def test_what_is_put_in_place_is_whole(tmp_path: Path) -> None:
    """From its beginning, wherever the reading stands; with the server's time if there is one."""
    content = io.BytesIO(b"0123456789")
    content.seek(5)
    target = tmp_path / "file.mmdb"
    put_in_place(content, target, 1_000_000.5)

    assert target.read_bytes() == b"0123456789"
    assert target.stat().st_mtime == 1_000_000.5


def test_before_it_has_its_name_nobody_takes_it_for_country_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """decision looks for *Country*.mmdb every two seconds."""
    seen: list[str] = []

    def fsync(_: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir())

    monkeypatch.setattr("decision.geo_update.os.fsync", fsync)
    put_in_place(io.BytesIO(b"x"), tmp_path / "GeoLite2-Country.mmdb", None)

    assert [Path(name).suffix == ".mmdb" for name in seen] == [False, True]
