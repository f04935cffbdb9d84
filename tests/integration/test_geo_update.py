"""`mtpolicyctl geo` as an admin calls it, against a publisher on loopback."""

import asyncio
import contextlib
import gzip
import os
import pty
import re
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import hdrs, web

from decision.country_data import open_country_data
from tests.support.policy import AMERICAN, GERMAN, PolicyClient
from tests.support.publishers import (
    NOVEMBER,
    OCTOBER,
    Handler,
    country_file,
    damaged_inside,
    dbip,
    gives,
    maxmind,
    maxmind_archive,
    mmdb_file,
    publishing,
)
from tests.support.services import NO_AUTHORITIES, running, wait_until

GEO = [sys.executable, "-P", "-c", "from chassis.ctl import main; main()", "geo"]
KEY = "s3cr3tKey_mmk"
MIB = 1024 * 1024


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Admin:
    """Somebody with a directory for country data, where a file of October lies, and an account."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "GeoIP"
        self.directory.mkdir()
        self.dbip = self.directory / "DBIP-Country-Lite.mmdb"
        self.maxmind = self.directory / "GeoLite2-Country.mmdb"
        for path in (self.dbip, self.maxmind):
            path.write_bytes(country_file(OCTOBER))
        (directory / "id").write_text("123456\n")
        (directory / "key").write_text(f"{KEY}\n")
        self.account = {
            "MTPOLICYD_MAXMIND_ACCOUNT_ID_FILE": str(directory / "id"),
            "MTPOLICYD_MAXMIND_LICENSE_KEY_FILE": str(directory / "key"),
        }
        self.environment = {
            name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
        } | {
            "MTPOLICYD_GEOIP_DIRECTORY": str(self.directory),
            "SSL_CERT_FILE": NO_AUTHORITIES,
            "TERM": "xterm",
            "COLUMNS": "120",
        }

    async def start(self, *arguments: str, **how: Any) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        options: dict[str, Any] = {"stdout": pipe, "stderr": pipe, "env": self.environment, **how}
        return await asyncio.create_subprocess_exec(*GEO, *arguments, **options)

    async def run(self, *arguments: str, **how: Any) -> Ended:
        process = await self.start(*arguments, **how)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        assert KEY.encode() not in out + err
        return Ended(process.returncode, out.decode(), err.decode())

    def content(self) -> dict[str, tuple[bytes, int]]:
        """Every file with its time of change."""
        return {path.name: (path.read_bytes(), path.stat().st_ctime_ns) for path in self.directory.iterdir()}


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    return Admin(tmp_path)


async def test_a_new_file_is_fetched_and_the_next_time_it_is_current(admin: Admin) -> None:
    """One line each; the second time the file is not touched."""
    async with publishing(dbip(country_file())) as publisher:
        first = await admin.run("update", "--base-url", publisher.url)
        after = admin.content()
        second = await admin.run("update", "--base-url", publisher.url)

    assert first == (0, f"{admin.dbip} is new, built 2026-11-01, the one before it 2026-10-02\n", "")
    assert second == (0, f"{admin.dbip} is current, built 2026-11-01\n", "")
    assert admin.content() == after
    assert sorted(after) == [admin.dbip.name, admin.maxmind.name]
    assert admin.dbip.read_bytes() == country_file()


async def test_maxmind_s_redirect_is_followed_without_the_credentials(admin: Admin) -> None:
    """As it answers: from a store with an address of its own."""
    admin.environment |= admin.account
    files = maxmind(maxmind_archive(country_file()))
    async with publishing(files) as store:

        async def redirect(request: web.Request) -> web.StreamResponse:
            return web.Response(
                status=302, headers={hdrs.LOCATION: f"{store.url}/signed?{request.query_string}"}
            )

        async with publishing(redirect) as publisher:
            ended = await admin.run("update", "--base-url", publisher.url)

    assert (ended.code, ended.err) == (0, "")
    assert open_country_data(admin.maxmind).build_unix_seconds == NOVEMBER
    assert [(one.authorization or "").split(" ")[0] for one in publisher.asked] == ["Basic", "Basic"]
    assert [one.authorization for one in store.asked] == [None, None]


async def endless(request: web.Request) -> web.StreamResponse:
    """A byte now and then."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"\x1f")
        await asyncio.sleep(0.05)


async def hanging(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(600)
    raise AssertionError


async def truncated(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={hdrs.CONTENT_LENGTH: "1000"})
    await answer.prepare(request)
    await answer.write(b"\x1f\x8b")
    assert request.transport is not None
    request.transport.abort()
    return answer


def bomb(_: web.Request) -> Any:
    """600 MiB of zeros in 600 kB."""
    return gives(gzip.compress(bytes(MIB), 9) * 600)(_)


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (gives(b"<!DOCTYPE html><title>Sign in</title>"), "begins with b'<!DOCTYPE html>"),
        (gives(gzip.compress(country_file())[:-30]), "cut short or damaged"),
        (dbip(damaged_inside(country_file())), "what came cannot be used"),
        (dbip(country_file(OCTOBER - 86400)), "before the one in use"),
        (dbip(mmdb_file(NOVEMBER, {"8.0.0.0/8": {"asn": 15169}}, database_type="ASN")), "tell no country"),
        (bomb, "far more than country data"),
        (gives(b"", status=403), "answers 403"),
        (gives(b"", status=404), "answers 404"),
        (gives(b"", status=429, headers={"Retry-After": "1800"}), "try again in 1800 s"),
        (truncated, "4 times"),
    ],
    ids=["HTML", "truncated", "damaged", "older", "another type", "bomb", "403", "404", "429", "cut"],
)
async def test_a_failure_is_one_line_and_changes_nothing(admin: Admin, handler: Handler, reason: str) -> None:
    """On standard error, with the address; exit code 1, the old files untouched, no litter."""
    before = admin.content()
    async with publishing(handler) as publisher:
        ended = await admin.run("update", "--base-url", publisher.url)

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert f"country data was not updated: {publisher.url}/free/dbip-country-lite-" in ended.err
    assert reason in ended.err
    assert admin.content() == before


@pytest.mark.parametrize("handler", [endless, hanging])
async def test_a_server_that_is_slow_or_hangs_is_given_up(admin: Admin, handler: Handler) -> None:
    """In the time that all of it may take."""
    # Without it the fetch begins at once: no busy machine spends the time on reading what is there.
    admin.dbip.unlink()
    before = admin.content()
    async with publishing(handler) as publisher:
        ended = await admin.run("update", "--base-url", publisher.url, "--timeout", "2")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith(".mmdb.gz: not finished within 2 s\n")
    assert admin.content() == before


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (gives(b"", status=401), "the account id or the licence key is wrong"),
        (maxmind(maxmind_archive(country_file()), checksum="0" * 64), "has another SHA-256"),
    ],
    ids=["401", "checksum"],
)
async def test_what_maxmind_may_answer(admin: Admin, handler: Handler, reason: str) -> None:
    """The key is in no line."""
    admin.environment |= admin.account
    before = admin.content()
    async with publishing(handler) as publisher:
        ended = await admin.run("update", "--base-url", publisher.url)

    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert reason in ended.err
    assert admin.content() == before


async def test_the_key_is_no_argument_of_a_process(admin: Admin) -> None:
    """Nor does a process that is started see it."""
    admin.environment |= admin.account
    commands: list[bytes] = []
    processes: list[asyncio.subprocess.Process] = []

    async def handler(_: web.Request) -> web.StreamResponse:
        pid = processes[0].pid
        commands.extend(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        return web.Response(status=404)

    async with publishing(handler) as publisher:
        processes.append(await admin.start("update", "--base-url", publisher.url))
        await processes[0].communicate()

    assert len(commands) == 2
    assert not any(KEY.encode() in command for command in commands)


def no_room() -> None:
    """No file of more than 1 kB can be written, setrlimit(2)."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


async def test_a_disk_without_room_is_told(admin: Admin) -> None:
    """By the system's reason."""
    admin.dbip.unlink()
    before = admin.content()
    async with publishing(dbip(country_file())) as publisher:
        ended = await admin.run("update", "--base-url", publisher.url, preexec_fn=no_room)

    assert (ended.code, ended.out) == (1, "")
    assert f"{admin.directory} cannot be written to: File too large" in ended.err
    assert admin.content() == before


async def test_a_missing_directory_is_told(admin: Admin) -> None:
    """Nothing is fetched."""
    async with publishing(gives(b"")) as publisher:
        ended = await admin.run("update", "--base-url", publisher.url, "--directory", "/nowhere/GeoIP")

    assert ended.code == 1
    assert "/nowhere/GeoIP cannot be written to: No such file or directory" in ended.err
    assert publisher.asked == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_leaves_no_litter(admin: Admin, number: signal.Signals) -> None:
    """In the middle of a download."""
    before = admin.content()
    asked = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.set()
        return await endless(request)

    async with publishing(handler) as publisher:
        process = await admin.start("update", "--base-url", publisher.url)
        await asyncio.wait_for(asked.wait(), 30)
        assert admin.content() == before, "what is not checked has no name"
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 10)

    assert (process.returncode, out) == (1, b"")
    assert err == b"country data was not updated: interrupted\n"
    assert admin.content() == before


async def test_two_updates_at_once_do_not_hurt_each_other(admin: Admin) -> None:
    """Both end well, and the file is whole."""
    async with publishing(dbip(country_file())) as publisher:
        ended = await asyncio.gather(*(admin.run("update", "--base-url", publisher.url) for _ in range(3)))

    assert [one.code for one in ended] == [0, 0, 0]
    assert sorted(admin.content()) == [admin.dbip.name, admin.maxmind.name]
    assert admin.dbip.read_bytes() == country_file()


async def read_terminal(terminal: int) -> str:
    """Everything that is written to it, until the program has ended."""
    loop = asyncio.get_running_loop()
    shown = b""
    with contextlib.suppress(OSError):  # EIO: nobody writes any more
        while data := await loop.run_in_executor(None, os.read, terminal, 65536):
            shown += data
    return shown.decode()


@pytest.mark.parametrize("quiet", [False, True])
async def test_on_a_terminal_there_is_a_progress_bar(admin: Admin, quiet: bool) -> None:
    """With the bytes that have come and all that will come; it is gone at the end."""
    body = gzip.compress(country_file())

    async def drip(_: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={hdrs.CONTENT_LENGTH: str(len(body))})
        await answer.prepare(_)
        for start in range(0, len(body), 100):
            await answer.write(body[start : start + 100])
            await asyncio.sleep(0.1)
        return answer

    master, slave = pty.openpty()
    async with publishing(drip) as publisher:
        options = ["--quiet"] if quiet else []
        process = await admin.start(
            "update", "--base-url", publisher.url, *options, stdout=slave, stderr=slave, stdin=slave
        )
        os.close(slave)
        shown = await asyncio.wait_for(read_terminal(master), 30)
        os.close(master)
        assert await process.wait() == 0

    if quiet:
        assert shown == ""
        return
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "DB-IP Country Lite: fetching ━" in plain
    assert re.search(rf"\d+/{len(body)} bytes", plain)
    assert plain.rstrip().endswith(f"{admin.dbip} is new, built 2026-11-01, the one before it 2026-10-02")


async def test_a_running_decision_takes_it_over(admin: Admin, tmp_path: Path) -> None:
    """By itself, within seconds; and `geo` says what it will do."""
    moved = {"8.0.0.0/8": "DE", "84.128.0.0/10": "DE", "193.99.144.0/24": "DE", "129.132.0.0/16": "CH"}
    admin.maxmind.unlink()

    def answers(ask: Callable[[], str], start: str) -> bool:
        return ask().startswith(start)

    with running(tmp_path, GEOIP_DIRECTORY=str(admin.directory)) as services:
        with PolicyClient(services.port) as client:
            assert client.ask(client_address=AMERICAN).startswith("REJECT")
        assert (await admin.run(AMERICAN)).code == 1
        async with publishing(dbip(country_file(NOVEMBER, moved))) as publisher:
            assert (await admin.run("update", "--base-url", publisher.url)).code == 0
        assert (await admin.run(AMERICAN, GERMAN)).code == 0

        def asked() -> str:
            with PolicyClient(services.port) as client:
                return client.ask(client_address=AMERICAN)

        wait_until(lambda: answers(asked, "DUNNO"), what="the new data is in force")
