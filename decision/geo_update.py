"""`mtpolicyctl geo update` without the command line: fetch, check, swap.

Until everything is checked, what was fetched has no name in the directory: whatever ends the process, no
litter stays. Then it takes the name of the old file in one step, and a running decision takes it over.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from io import BufferedRandom, BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import aiohttp
from yarl import URL

from decision.country_check import check_whole
from decision.country_data import (
    CountryData,
    CountryDataError,
    NotExaminedError,
    check_successor,
    descriptor_path,
    open_in_place,
)
from decision.country_files import examine
from decision.geo_archive import ArchiveError
from decision.geo_fetch import BOUNDS, Bounds, Fetched, FetchError, NotThereError, fetch, session
from decision.geo_providers import Provider

# A file that was not put there within this time of its build has another time of its own, such as that of
# a copy: the server's Last-Modified is not compared with it.
PUBLISHED_WITHIN_SECONDS = 7 * 86400.0
_LOCK_POLL_SECONDS = 0.05
_MODE = 0o644

# Called with a step in words, and the bytes of a download that have come and that will come, if known.
Report = Callable[[str, int, int | None], None]


class UpdateError(Exception):
    """The file is as it was; the message says why and what to do."""


class Updated(NamedTuple):
    """What is in the directory now."""

    path: Path
    build_unix_seconds: int
    replaced_unix_seconds: int | None  # the build of the file that was replaced, if there was a usable one
    is_new: bool  # else the file that was there is the newest
    unusable: str  # why a file that was there could not be compared, if so


async def update(
    provider: Provider,
    directory: Path,
    *,
    base_url: URL,
    authorization: str | None = None,
    bounds: Bounds = BOUNDS,
    report: Report = lambda step, done, total: None,
) -> Updated:
    """Bring the provider's file in a directory up to date.

    Raises:
        UpdateError: of whatever kind the failure is.
    """
    update = _Update(provider, directory, base_url, authorization, bounds, report)
    try:
        async with asyncio.timeout(bounds.total_seconds):
            return await update.run()
    except TimeoutError:
        raise UpdateError(f"{update.url}: not finished within {bounds.total_seconds:g} s") from None
    except FetchError as error:
        raise UpdateError(str(error)) from error
    except ArchiveError as error:
        raise UpdateError(f"{update.url}: what came is {error}") from error
    except CountryDataError as error:
        raise UpdateError(f"{update.url}: what came cannot be used: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UpdateError(
            f"{directory} cannot be written to: {reason}; is it there, may you write to it, is there room?"
        ) from error


class _Update:
    def __init__(
        self,
        provider: Provider,
        directory: Path,
        base_url: URL,
        authorization: str | None,
        bounds: Bounds,
        report: Report,
    ) -> None:
        self._provider = provider
        self._target = directory / provider.file_name
        self._base = str(base_url).rstrip("/")
        self._authorization = authorization
        self._bounds = bounds
        self._report = report
        self.url = base_url  # what is being fetched

    async def run(self) -> Updated:
        directory = self._target.parent
        with (
            tempfile.TemporaryFile(dir=directory) as archive,
            tempfile.TemporaryFile(dir=directory) as unpacked,
        ):
            there, _ = await self._examine_target()
            async with session(self._bounds) as client:
                fetched = await self._fetch(client, archive, self._newer_than(there))
                if fetched is None:
                    assert there is not None, "it was asked for a newer one"
                    return Updated(self._target, there.build_unix_seconds, None, False, "")
                if self._provider.checksum_suffix:
                    await self._check_sum(client, archive)
            self._report("unpacking", 0, None)
            await asyncio.to_thread(self._provider.unpack, archive, unpacked)
            new = await self._check(unpacked)
            async with _locked(directory):
                # Another update may have been quicker.
                there, unusable = await self._examine_target()
                if there is not None:
                    self._compare(new, there)
                    if new.build_unix_seconds == there.build_unix_seconds:
                        return Updated(self._target, there.build_unix_seconds, None, False, "")
                put_in_place(unpacked, self._target, fetched.modified_unix_seconds)
            replaced = there.build_unix_seconds if there is not None else None
            return Updated(self._target, new.build_unix_seconds, replaced, True, unusable)

    async def _examine_target(self) -> tuple[CountryData | None, str]:
        """The file that is there, read as a whole; None and the reason if there is none that is usable.

        Raises:
            UpdateError: it may be usable, so it is not replaced by what cannot be compared with it.
        """
        if not self._target.exists():
            return None, ""
        self._report(f"reading the {self._target.name} that is there", 0, None)
        try:
            return await examine(self._target), ""
        except NotExaminedError as error:
            raise UpdateError(f"the file that is there cannot be compared: {error}") from error
        except CountryDataError as error:
            return None, str(error)

    def _newer_than(self, there: CountryData | None) -> float | None:
        if there is None:
            return None
        modified = self._target.stat().st_mtime
        soon = 0 <= modified - there.build_unix_seconds <= PUBLISHED_WITHIN_SECONDS
        return modified if soon else None

    async def _fetch(
        self, client: aiohttp.ClientSession, archive: BinaryIO, newer_than: float | None
    ) -> Fetched | None:
        paths = self._provider.paths(datetime.now(UTC).date())
        for path in paths:
            self.url = URL(self._base + path)
            try:
                return await fetch(
                    client,
                    self.url,
                    archive,
                    authorization=self._authorization,
                    newer_than_unix_seconds=newer_than,
                    bounds=self._bounds,
                    progress=lambda done, total: self._report("fetching", done, total),
                )
            except NotThereError:
                if path is paths[-1]:
                    raise
        raise AssertionError("the last address gives a file or raises")

    async def _check_sum(self, client: aiohttp.ClientSession, archive: BufferedRandom) -> None:
        """Compare the archive with the checksum that lies beside it, in the form of sha256sum(1)."""
        url = URL(str(self.url) + self._provider.checksum_suffix)
        text = BytesIO()
        await fetch(
            client, url, text, authorization=self._authorization, bounds=self._bounds._replace(bytes=1024)
        )
        found = re.match(rb"[0-9a-fA-F]{64}(?=\s|$)", text.getvalue())
        if found is None:
            raise FetchError(f"{url}: what came is no checksum")
        archive.seek(0)
        if hashlib.file_digest(archive, "sha256").hexdigest() != found[0].decode().lower():
            raise FetchError(f"{self.url}: what came has another SHA-256 than {url} says; try again")

    async def _check(self, unpacked: BinaryIO) -> CountryData:
        self._report("reading it as a whole", 0, None)
        path, name = descriptor_path(unpacked.fileno()), Path(self._target.name)
        await check_whole(path, name=name, keep_open=[unpacked.fileno()])
        return open_in_place(path, name=name)

    def _compare(self, new: CountryData, there: CountryData) -> None:
        try:
            check_successor(new, there)
        except CountryDataError as error:
            raise CountryDataError(f"{error}; if that one is wrong, remove {self._target}") from error


@asynccontextmanager
async def _locked(directory: Path) -> AsyncIterator[None]:
    """One update at a time compares and swaps, flock(2).

    Where the file system has no locks, the worst is an older file in the place of a newer one.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def put_in_place(content: BinaryIO, target: Path, modified_unix_seconds: float | None) -> None:
    """Let a file appear under its name in one step, on the disk, readable by everybody. Raises OSError."""
    # The ending is no .mmdb: nobody takes it for country data.
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            content.seek(0)
            shutil.copyfileobj(content, file, 1024 * 1024)
            file.flush()
            os.fchmod(descriptor, _MODE)
            if modified_unix_seconds is not None:
                os.utime(descriptor, (modified_unix_seconds, modified_unix_seconds))
            os.fsync(descriptor)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
