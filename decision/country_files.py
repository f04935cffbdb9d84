"""The databases in force: opened as the settings name them, and replaced while the service runs.

A file is copied, opened and read as a whole by another process, compared with the one in use and then
swapped; one that fails is refused, and the old one stays. Each form of a file is examined once. At the start,
which cannot wait for that, the other process only opens the file; it is read as a whole right after.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from chassis.logs import Logger
from chassis.metrics import Metrics
from decision.country_check import check_opening, check_whole
from decision.country_data import (
    CountryData,
    CountryDataError,
    NotExaminedError,
    check_successor,
    descriptor_path,
    is_newer,
    open_built_in,
    open_in_place,
    private_copy,
)
from decision.data import BUILT_IN
from decision.origins import RESULTS, Origins
from decision.settings import COUNTRY_FILES

INTERVAL_SECONDS = 2.0
BUILT_IN_NAME = "built-in"  # to people; the settings and metrics call it `builtin`
AGAIN_SECONDS = 60.0  # until a file is tried again that could not be examined

Signature = tuple[int, ...]


class _Seen(NamedTuple):
    """A form of a file that was examined, or that could not be: then `again` says when to try once more."""

    form: Signature
    said: str = ""
    again: float = math.inf  # of time.monotonic()


class Slot:
    """One place in the list of databases: a named file, or the newest that matches in a directory.

    Args:
        path: the file, or the directory.
    """

    def __init__(self, path: Path, *, newest: bool = False) -> None:
        self.path = path
        self.newest = newest
        self.in_use: CountryData | None = None
        self.looked = False  # whether `renew` has ended once
        self._file: tuple[Path, Signature] | None = None  # that in_use is a copy of
        self._unread = False  # whether it was only opened
        self._seen: dict[Path, _Seen] = {}
        self._missing = ""  # why the file in use, or a named one, is not there

    @property
    def error(self) -> str:
        """Why files that there are now are not in use, or which one is missing; empty: all is well."""
        said = [seen.said for seen in self._seen.values()]
        return "; ".join(filter(None, [*said, self._missing]))

    async def renew(self, *, whole: bool = True) -> tuple[bool, list[str]]:
        """Take a changed file.

        Args:
            whole: False for a start: the files are opened, and the next call reads what is in use to its end.

        Returns:
            Whether `in_use` is another one, and why other files were not taken.
        """
        before = self.in_use
        # Texts: an error holds the frames that it came through, and with them the database that was refused.
        errors: list[str] = []
        files = await asyncio.to_thread(self._files)
        self._seen = {path: seen for path, seen in self._seen.items() if path in files}
        for path, form in files.items():
            seen = self._seen.get(path)
            if seen is not None and seen.form == form and time.monotonic() < seen.again:
                continue
            now = _Seen(form)
            try:
                await self._look(path, form, whole=whole)
            except NotExaminedError as error:
                now = _Seen(form, str(error), time.monotonic() + AGAIN_SECONDS)
                if seen is None or seen[:2] != now[:2]:
                    errors.append(str(error))
            except CountryDataError as error:
                errors.append(str(error))
                now = _Seen(form, str(error))
                if self._unread and (path, form) == self._file:
                    # What was only opened turns out to be damaged; an older one, seen before, may be whole.
                    self.in_use = self._file = None
                    self._seen = {}
            if whole or (path, form) != self._file:
                self._seen[path] = now
        errors += await self._tell_missing(files)
        self.looked = True
        return self.in_use is not before, errors

    async def _look(self, path: Path, form: Signature, *, whole: bool) -> None:
        data = await examine(path, whole=whole)
        if (path, form) == self._file:
            self._unread = self._unread and not whole
            return
        if self.in_use is not None and self._file is not None:
            if path != self._file[0] and not is_newer(data, self.in_use):
                return
            check_successor(data, self.in_use)
        self.in_use, self._file, self._unread = data, (path, form), not whole

    async def _tell_missing(self, files: Iterable[Path]) -> list[str]:
        """Say once that the file in use, or a named one, is not there."""
        path = self._file[0] if self._file is not None else None if self.newest else self.path
        if path is None or path in files:
            self._missing = ""
            return []
        if self._missing:
            return []
        if self._file is not None:
            self._missing = f"{path} is gone"
        else:
            self._missing = f"{path}: {await asyncio.to_thread(_why_missing, path)}"
        return [self._missing]

    def _files(self) -> dict[Path, Signature]:
        paths = [self.path]
        if self.newest:
            try:
                paths = sorted(self.path.glob(COUNTRY_FILES))
            except OSError:  # the directory vanished while it was read, or its server is away
                paths = []
        files: dict[Path, Signature] = {}
        for path in paths:
            with suppress(OSError):
                found = path.stat()
                # The time of change, not of writing: access rights that were mended are a new form too.
                files[path] = (found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size)
        return files


def _why_missing(path: Path) -> str:
    try:
        path.stat()
    except OSError as error:
        return error.strerror or str(error)
    return "it came too late"


def choose(names: Sequence[str], directory: Path) -> list[Slot | None]:
    """The places of the databases that the settings name, not opened yet; None is the built-in one.

    Args:
        names: files, or "builtin"; none: the newest in the directory, or else the built-in database.
    """
    if not names:
        return [Slot(directory, newest=True)]
    return [None if name == BUILT_IN else Slot(Path(name)) for name in names]


def in_force(slots: Sequence[Slot | None], built_in: Callable[[], CountryData | None]) -> list[CountryData]:
    """What the opened places hold, in their order; the built-in database where they hold nothing."""
    databases = [built_in() if slot is None else slot.in_use for slot in slots]
    if None not in slots and not any(databases):
        databases = [built_in()]
    return [data for data in databases if data is not None]


async def open_databases(names: Sequence[str], directory: Path) -> tuple[list[CountryData], list[str]]:
    """What a decision that starts now has in force, and what is wrong. Args: as `choose` has them."""
    slots = choose(names, directory)
    found = await asyncio.gather(*(slot.renew(whole=False) for slot in slots if slot is not None))
    errors = [error for _, errors in found for error in errors]

    def built_in() -> CountryData | None:
        try:
            return open_built_in()
        except CountryDataError as error:
            errors.append(str(error))
            return None

    return in_force(slots, built_in), errors


class Database(NamedTuple):
    """One place in the list of databases, for an admin who asks."""

    source: str  # the file's path, the directory of which the newest is taken, or `built-in`
    build_unix_seconds: int  # 0: nothing is in use here
    error: str  # why another file is not in use; empty: none


class CountryFiles:
    """Holds the databases in force. Args: changed: called when a replaced file is in force."""

    def __init__(self, *, log: Logger, metrics: Metrics, changed: Callable[[], None]) -> None:
        self._log = log
        self._changed = changed
        self._usable = metrics.gauge(
            "geoip_db_usable", "1 if there is country data, 0 if every country passes."
        )
        self._missing = metrics.gauge(
            "geoip_db_missing", "Databases that the settings name and that are not in use."
        )
        self._built = metrics.gauge(
            "geoip_db_build_timestamp_seconds", "When a database in use was built.", ("source",)
        )
        self._loaded = metrics.gauge(
            "geoip_db_loaded_timestamp_seconds", "When a database in use was opened.", ("source",)
        )
        self._refused = metrics.counter("geoip_db_refused_total", "Files that were not taken into use.")
        self._lookups = metrics.counter(
            "geoip_lookups_total", "Looked-up client addresses by result.", result=RESULTS
        )
        self._slots: list[Slot | None] = []  # None: the built-in database
        self._waiting = False  # whether the settings name what is not examined yet
        self._named = asyncio.Event()
        self._shown: dict[str, CountryData] = {}
        self.origins = Origins((), self._lookups)

    async def open(self, names: Sequence[str], directory: Path) -> None:
        """Open what the settings name, for the first time. Args: as `choose` has them."""
        self._slots = self._slots_of(names, directory)
        for _, errors in await asyncio.gather(*(slot.renew(whole=False) for slot in self._named_slots())):
            self._tell(errors)
        self._put_in_force()

    def use(self, names: Sequence[str], directory: Path) -> None:
        """`open` for changed settings: what is open stays open.

        What is new is in force when `watch` has examined it; until then it is what was before.
        """
        self._slots = self._slots_of(names, directory)
        self._waiting = not all(slot.looked for slot in self._named_slots())
        if self._waiting:
            self._named.set()
        else:
            self._put_in_force()

    def databases(self) -> list[Database]:
        """What is in use, and what is wrong with what is not; the built-in data only where it is in use."""
        found = [
            Database(
                str(data.path if data else slot.path), data.build_unix_seconds if data else 0, slot.error
            )
            for slot in self._named_slots()
            for data in [slot.in_use]
            if data is not None or slot.error
        ]
        built_in = self._shown.get(BUILT_IN)
        if built_in is not None:
            found.append(Database(BUILT_IN_NAME, built_in.build_unix_seconds, ""))
        return found

    async def watch(self) -> None:
        """Take replaced files over until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._named.wait()
            self._named.clear()
            await self.renew()

    async def renew(self) -> None:
        """Look at all files once."""
        for slot in self._named_slots():
            taken, errors = await slot.renew()
            slots = self._named_slots()
            if slot not in slots:  # the settings have changed meanwhile
                break
            self._tell(errors)
            if (taken or self._waiting) and all(slot.looked for slot in slots):
                self._put_in_force()
                self._changed()

    def _slots_of(self, names: Sequence[str], directory: Path) -> list[Slot | None]:
        """Those of the settings; a slot that there is stays."""
        before = {(slot.path, slot.newest): slot for slot in self._named_slots()}
        return [slot and before.get((slot.path, slot.newest), slot) for slot in choose(names, directory)]

    def _named_slots(self) -> list[Slot]:
        return [slot for slot in self._slots if slot is not None]

    def _tell(self, errors: Iterable[str]) -> None:
        for error in errors:
            self._refused.inc()
            self._log.error("country_data_refused", reason=error)

    def _put_in_force(self) -> None:
        self._waiting = False
        self._missing.set(sum(slot.in_use is None and not slot.newest for slot in self._named_slots()))
        usable = in_force(self._slots, self._built_in)
        self._usable.set(bool(usable))
        self._show({data.source: data for data in usable})
        self.origins = Origins(usable, self._lookups)

    def _show(self, databases: dict[str, CountryData]) -> None:
        for source in self._shown.keys() - databases.keys():
            self._built.remove(source)
            self._loaded.remove(source)
        for source, data in databases.items():
            if self._shown.get(source) is not data:
                self._built.labels(source).set(data.build_unix_seconds)
                self._loaded.labels(source).set(time.time())
                self._log.notice("country_data_in_use", source=source, built=data.build_unix_seconds)
        self._shown = databases

    def _built_in(self) -> CountryData | None:
        if self._shown.get(BUILT_IN) is not None:
            return self._shown[BUILT_IN]
        try:
            return open_built_in()
        except CountryDataError as error:
            self._log.error("no_country_data", reason=error, consequence="mail from every country passes")
            return None


async def examine(path: Path, *, whole: bool = True) -> CountryData:
    """Open a file that another process has opened before, and read as a whole. Raises CountryDataError."""
    with ExitStack() as stack:
        # In threads: the event loop has questions to answer.
        descriptor = await asyncio.to_thread(stack.enter_context, private_copy(path))
        copy = descriptor_path(descriptor)
        await (check_whole if whole else check_opening)(copy, name=path, keep_open=[descriptor])
        return await asyncio.to_thread(open_in_place, copy, name=path)
