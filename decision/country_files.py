"""The databases in force: opened as the settings name them, and replaced while the service runs.

A file that was changed is copied, read as a whole by another process, compared with the one in use and
then swapped; one that fails is refused, and the old one stays. Each form of a file is examined once.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from chassis.logs import Logger
from chassis.metrics import Metrics
from decision.country_check import check_whole
from decision.country_data import (
    CountryData,
    CountryDataError,
    check_successor,
    descriptor_path,
    open_built_in,
    open_country_data,
    open_in_place,
    private_copy,
)
from decision.origins import RESULTS, Origins
from decision.settings import BUILT_IN, COUNTRY_FILES

INTERVAL_SECONDS = 2.0

Signature = tuple[int, ...]


class Slot:
    """One place in the list of databases: a named file, or the newest that matches in a directory.

    Args:
        path: the file, or the directory.
    """

    def __init__(self, path: Path, *, newest: bool = False) -> None:
        self.path = path
        self.newest = newest
        self.in_use: CountryData | None = None
        self._in_use_path: Path | None = None
        self._seen: dict[Path, Signature] = {}
        self._missing = False

    def open(self) -> list[CountryDataError]:
        """Take the newest file that can be opened; returns why the others cannot."""
        errors = []
        for path, signature in self._files():
            self._seen[path] = signature
            try:
                data = open_country_data(path)
            except CountryDataError as error:
                errors.append(error)
                continue
            if self.in_use is None or data.build_unix_seconds > self.in_use.build_unix_seconds:
                self._take(path, data)
        if not self.newest and self.in_use is None and not errors:
            self._missing = True
            errors.append(CountryDataError(f"{self.path}: {_why_missing(self.path)}"))
        return errors

    async def renew(self) -> tuple[bool, list[CountryDataError]]:
        """Whether a changed file was taken, and why others were not."""
        taken = False
        errors = []
        files = await asyncio.to_thread(lambda: list(self._files()))
        for path, signature in files:
            if self._seen.get(path) == signature:
                continue
            self._seen[path] = signature
            try:
                data = await examine(path)
                if self.in_use is None:
                    pass
                elif path == self._in_use_path:
                    check_successor(data, self.in_use)
                elif data.build_unix_seconds <= self.in_use.build_unix_seconds:
                    continue
            except CountryDataError as error:
                errors.append(error)
            else:
                self._take(path, data)
                taken = True
        in_use_is_gone = self._in_use_path is not None and all(path != self._in_use_path for path, _ in files)
        if in_use_is_gone and not self._missing:
            errors.append(CountryDataError(f"{self._in_use_path} is gone"))
        self._missing = in_use_is_gone or (self._missing and not files)
        return taken, errors

    def _take(self, path: Path, data: CountryData) -> None:
        self.in_use, self._in_use_path = data, path

    def _files(self) -> Iterable[tuple[Path, Signature]]:
        for path in sorted(self.path.glob(COUNTRY_FILES)) if self.newest else [self.path]:
            try:
                found = path.stat()
            except OSError:
                continue
            # The time of change, not of writing: access rights that were mended are a new form too.
            yield path, (found.st_ino, found.st_ctime_ns, found.st_size)


def _why_missing(path: Path) -> str:
    try:
        path.stat()
    except OSError as error:
        return error.strerror or str(error)
    return "it came too late"


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
        self._shown: dict[str, CountryData] = {}
        self.origins = Origins((), self._lookups)

    def use(self, names: Sequence[str], directory: Path) -> None:
        """Open what the settings name; what is open already stays open.

        Args:
            names: files, or "builtin"; none: the newest in the directory, or else the built-in database.
        """
        before = {(slot.path, slot.newest): slot for slot in self._slots if slot is not None}
        wanted: list[Slot | None] = [None if name == BUILT_IN else Slot(Path(name)) for name in names]
        self._slots = [
            slot and before.get((slot.path, slot.newest), slot)
            for slot in wanted or [Slot(directory, newest=True)]
        ]
        for slot in self._slots:
            if slot is not None and slot.in_use is None:
                self._tell(slot.open())
        self._put_in_force()

    async def watch(self) -> None:
        """Take replaced files over until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            slots = self._slots
            for slot in filter(None, list(slots)):
                taken, errors = await slot.renew()
                self._tell(errors)
                # The settings may have changed meanwhile.
                if taken and slots is self._slots:
                    self._put_in_force()
                    self._changed()

    def _tell(self, errors: Iterable[CountryDataError]) -> None:
        for error in errors:
            self._refused.inc()
            self._log.error("country_data_refused", reason=error)

    def _put_in_force(self) -> None:
        built_in = any(slot is None for slot in self._slots)
        databases = [self._built_in() if slot is None else slot.in_use for slot in self._slots]
        usable = [data for data in databases if data is not None]
        self._missing.set(
            sum(slot is not None and not slot.newest and slot.in_use is None for slot in self._slots)
        )
        if not usable and not built_in:
            usable = [data for data in [self._built_in()] if data is not None]
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


async def examine(path: Path) -> CountryData:
    """Open a file that has been read as a whole. Raises CountryDataError."""
    with private_copy(path) as descriptor:
        copy = descriptor_path(descriptor)
        await check_whole(copy, name=path, keep_open=[descriptor])
        return open_in_place(copy, name=path)
