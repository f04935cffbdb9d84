"""The process that opens a file first."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import maxminddb
import pytest

from decision import country_check
from decision.country_check import check_opening, check_whole
from decision.country_data import CountryDataError, NotExaminedError, descriptor_path, private_copy
from tests.support.loops import in_uvloop
from tests.support.mmdb import METADATA_MARKER, country_file, write_mmdb
from tests.support.observed import children, open_descriptors

HERE = [pytest.param(check_opening, id="opening"), pytest.param(check_whole, id="whole")]
Check = Callable[..., Awaitable[None]]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Forty networks and their countries."""
    return country_file(tmp_path / "good.mmdb", {f"{number}.0.0.0/8": "DE" for number in range(20, 60)})


def with_a_bad_record(directory: Path) -> Path:
    """The last of many records is no UTF-8: behind what is sampled on opening."""
    records = {f"20.{number // 250}.{number % 250}.0/24": {"country_code": "DE"} for number in range(1500)}
    path = write_mmdb(directory / "bad.mmdb", "flat", records | {"50.0.0.0/8": {"country_code": "@@"}})
    path.write_bytes(path.read_bytes().replace(b"@@", b"\xff\xff"))
    return path


def with_a_key_that_is_no_text(path: Path, good: Path) -> Path:
    """maxminddb takes the number for the address of a text: a look-up crashes (maxminddb 3.2)."""
    content = good.read_bytes()
    assert content.count(b"\x48iso_code") == 1
    path.write_bytes(content.replace(b"\x48iso_code", b"\x08iso_code"))
    return path


def with_a_tree_that_leads_back(path: Path, good: Path) -> Path:
    """A record of the search tree leads back to its beginning: whoever walks through it never ends."""
    content = bytearray(good.read_bytes())
    with maxminddb.open_database(good) as reader:
        metadata = reader.metadata()
    size = metadata.record_size // 8
    last = 2 * size * (metadata.node_count - 1)
    content[last : last + size] = (1).to_bytes(size)
    path.write_bytes(content)
    return path


async def test_it_may_run_on_any_processor(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parent keeps to one of its own."""
    released: list[int] = []
    monkeypatch.setattr(country_check, "run_anywhere", released.append)
    await check_opening(good, name=good)
    assert len(released) == 1
    assert released[0] not in (0, os.getpid())


@pytest.mark.parametrize("check", HERE)
async def test_a_good_file_is_good(good: Path, check: Check) -> None:
    """Nothing is raised, and no process or descriptor is left."""
    await check(good, name=good)
    before = open_descriptors()
    await check(good, name=good)

    assert open_descriptors() == before
    assert children() == []


@in_uvloop
async def test_a_copy_without_a_name_is_handed_over(good: Path) -> None:
    """In the loop that the services run in."""
    with private_copy(good) as descriptor:
        await check_whole(descriptor_path(descriptor), name=good, keep_open=[descriptor])


async def test_a_record_that_cannot_be_read_is_found_wherever_it_is(tmp_path: Path) -> None:
    """The start does not look so far; the whole file is read at once after it."""
    path = with_a_bad_record(tmp_path)
    await check_opening(path, name=path)
    with pytest.raises(CountryDataError, match=r"bad\.mmdb: 'utf-?8' codec can't decode"):
        await check_whole(path, name=path)


@pytest.mark.parametrize("check", HERE)
@pytest.mark.parametrize(
    "content",
    [b"", b"no country data\n" * 100, METADATA_MARKER, os.urandom(10_000) + METADATA_MARKER + b"\xe1Aa\x41b"],
    ids=["empty", "text", "marker", "metadata"],
)
async def test_what_cannot_be_opened_is_refused_by_the_name_that_the_admin_knows(
    tmp_path: Path, check: Check, content: bytes
) -> None:
    """Once, and not by that of the copy."""
    path = tmp_path / "foreign.mmdb"
    path.write_bytes(content)
    with private_copy(path) as descriptor, pytest.raises(CountryDataError) as caught:
        await check(descriptor_path(descriptor), name=path, keep_open=[descriptor])
    message = str(caught.value)

    assert message.startswith(f"{path}: ")
    assert message.count(str(path)) == 1
    assert "/proc" not in message
    assert not isinstance(caught.value, NotExaminedError)


@pytest.mark.parametrize("check", HERE)
async def test_a_file_without_countries_is_refused(tmp_path: Path, check: Check) -> None:
    """As the service itself would refuse it."""
    path = write_mmdb(tmp_path / "asn.mmdb", "GeoLite2-ASN", {"8.8.8.0/24": {"isp": "Example"}})
    with pytest.raises(CountryDataError, match=r"asn\.mmdb: its records \(GeoLite2-ASN\) tell no country"):
        await check(path, name=path)


@pytest.mark.parametrize("check", HERE)
async def test_a_file_that_crashes_its_reader_is_refused(
    tmp_path: Path, good: Path, check: Check, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is the other process that dies, and nobody hears it."""
    path = with_a_key_that_is_no_text(tmp_path / "damaged.mmdb", good)
    with pytest.raises(CountryDataError, match=r"damaged\.mmdb: reading it crashed \(signal (6|11)\)"):
        await check(path, name=path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("check", HERE)
async def test_a_tree_without_an_end_is_refused(tmp_path: Path, good: Path, check: Check) -> None:
    """Its reader writes beyond its memory (maxminddb 3.2), and crashes, takes it all, or finds nonsense."""
    path = with_a_tree_that_leads_back(tmp_path / "damaged.mmdb", good)
    with pytest.raises(CountryDataError, match=r"damaged\.mmdb: "):
        await check(path, name=path)


def program(directory: Path, text: str) -> str:
    """A program in the place of Python."""
    path = directory / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def gone(before: int) -> None:
    """Until no process is left, nor a descriptor more than before, for which a busy machine takes its time.

    Args:
        before: descriptors that were open.
    """
    deadline = time.monotonic() + 5
    while (children() or open_descriptors() != before) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert (children(), open_descriptors()) == ([], before)


async def test_a_process_that_hangs_is_ended(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may be good: the machine may have had no time for it."""
    monkeypatch.setattr(country_check, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(sys, "executable", program(tmp_path, "exec sleep 60"))
    before = open_descriptors()
    with pytest.raises(NotExaminedError, match=r"good\.mmdb: not read within 0\.1 s"):
        await check_whole(good, name=good)

    await gone(before)


@pytest.mark.parametrize("seconds", [0, 0.001, 0.01, 0.1, 0.3])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_nothing_is_left_of_a_check_that_nobody_waits_for(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, loop: str
) -> None:
    """The service is stopped meanwhile: no process, no zombie, no delay."""

    async def cancelled() -> None:
        await check_whole(good, name=good)  # what a loop opens once
        monkeypatch.setattr(sys, "executable", program(tmp_path, "exec sleep 60"))
        before = open_descriptors()
        started = time.monotonic()
        check = asyncio.create_task(check_whole(good, name=good))
        await asyncio.sleep(seconds)
        check.cancel()
        await asyncio.gather(check, return_exceptions=True)

        assert check.cancelled()
        assert time.monotonic() - started < 5
        await gone(before)

    if loop == "uvloop":
        in_uvloop(cancelled)()
    else:
        asyncio.run(cancelled())


async def test_without_a_process_the_file_may_be_good(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory, too many processes, a Python that is being upgraded."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(NotExaminedError, match=r"good\.mmdb: no process to check it: No such file"):
        await check_whole(good, name=good)


@pytest.mark.parametrize("number", [9, 15])
async def test_a_process_that_others_have_ended_says_nothing_about_the_file(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A stop of the whole group, no memory. (Other signals may be ignored by whoever runs the tests.)"""
    monkeypatch.setattr(sys, "executable", program(tmp_path, f"kill -{number} $$; sleep 60"))
    with pytest.raises(NotExaminedError, match=rf"was ended \(signal {number}\)"):
        await check_whole(good, name=good)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("exit 1", "it cannot be read"),
        ("echo one >&2; echo two >&2; exit 3", "two"),
        ("printf '\\377' >&2; exit 1", "\N{REPLACEMENT CHARACTER}"),
    ],
)
async def test_the_last_line_is_the_reason(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    """The one of a trace too, if there is a bug."""
    monkeypatch.setattr(sys, "executable", program(tmp_path, text))
    with pytest.raises(CountryDataError) as caught:
        await check_whole(good, name=good)
    assert str(caught.value) == f"{good}: {reason}"


async def test_a_file_that_takes_all_memory_is_refused(
    good: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The machine has other things to do with it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import maxminddb\nmaxminddb.open_database = lambda *_: bytearray(3 << 30)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CountryDataError, match=r"good\.mmdb: MemoryError"):
        await check_whole(good, name=good)
