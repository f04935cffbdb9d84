"""Publishers of country data: their files, and a web server on loopback that plays them."""

import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from aiohttp import hdrs, web
from aiohttp.test_utils import TestServer

from tests.support.mmdb import write_mmdb

NOVEMBER = 1_793_500_000  # 2026-11-01
OCTOBER = NOVEMBER - 30 * 86400
MAXMIND_PATH = "/geoip/databases/GeoLite2-Country/download"
COUNTRIES = {"8.0.0.0/8": "US", "84.128.0.0/10": "DE", "193.99.144.0/24": "DE", "129.132.0.0/16": "CH"}


def country_file(
    built: int = NOVEMBER,
    countries: Mapping[str, str] = COUNTRIES,
    *,
    database_type: str = "GeoLite2-Country",
) -> bytes:
    """An .mmdb file that was built at this time (Unix seconds)."""
    records = {network: {"country": {"iso_code": code}} for network, code in countries.items()}
    return mmdb_file(built, records, database_type=database_type)


def mmdb_file(built: int, records: Mapping[str, object], *, database_type: str) -> bytes:
    """An .mmdb file with records of any shape."""
    with tempfile.TemporaryDirectory() as directory, mock.patch("mmdb_writer.time.time", return_value=built):
        return write_mmdb(Path(directory) / "made.mmdb", database_type, dict(records)).read_bytes()


def damaged_inside(content: bytes) -> bytes:
    """A file that can be opened, but of which not every record can be read."""
    # The data section begins with the first record's map; a pointer far beyond the file takes its place.
    start = content.index(b"\x00" * 16) + 16
    return content[:start] + b"\x3f\xff\xff\xff\xff" + content[start + 5 :]


def tar_gz(*members: tuple[str, bytes]) -> bytes:
    """As MaxMind packs it: a directory, texts, the file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        folder = tarfile.TarInfo("GeoLite2-Country_20261101")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members:
            member = tarfile.TarInfo(f"GeoLite2-Country_20261101/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def maxmind_archive(content: bytes) -> bytes:
    """The archive with the texts that lie beside the file."""
    return tar_gz(
        ("COPYRIGHT.txt", b"(c)"), ("GeoLite2-Country.mmdb", content), ("LICENSE.txt", b"Use of this")
    )


class Asked(NamedTuple):
    """One request."""

    path: str
    authorization: str | None
    if_modified_since: str | None


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Publisher:
    """Answers every request by `handler`; `asked` are the requests, in order."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[Asked] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        self.asked.append(
            Asked(request.path_qs, headers.get(hdrs.AUTHORIZATION), headers.get(hdrs.IF_MODIFIED_SINCE))
        )
        return await self.handler(request)


@asynccontextmanager
async def publishing(handler: Handler) -> AsyncIterator[Publisher]:
    """A publisher on a port of its own."""
    publisher = Publisher(handler)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", publisher.answer)
    # An answer that hangs is cut off at the end of the test.
    async with TestServer(app, shutdown_timeout=0.01) as server:
        publisher.url = str(server.make_url("")).rstrip("/")
        yield publisher


def gives(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    """The same answer to every request."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return handler


def dbip(content: bytes) -> Handler:
    """This month's file of DB-IP."""
    return gives(gzip.compress(content))


def maxmind(archive: bytes, *, checksum: str | None = None) -> Handler:
    """MaxMind's archive and its checksum, if not another one is told."""
    checksum = checksum or hashlib.sha256(archive).hexdigest()

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.query_string.endswith(".sha256"):
            return web.Response(text=f"{checksum}  GeoLite2-Country_20261101.tar.gz\n")
        return web.Response(body=archive, headers={hdrs.LAST_MODIFIED: "Sun, 01 Nov 2026 04:00:00 GMT"})

    return handler
