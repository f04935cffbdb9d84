"""A changed settings file is taken over by the running service, or refused with the old settings in force.

The file is looked at once a second (a file that was renamed into place has another inode, which a watch on
the old one would miss), and at once on SIGHUP.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

from chassis.config import Config, LastGood, check, read_file
from chassis.logs import Logger
from chassis.metrics import Metrics
from chassis.settings import ServiceSettings, SettingsError, needs_restart
from chassis.tasks import background

INTERVAL_SECONDS = 1.0
# Who writes a file in place empties it first, and an empty one means the defaults: it is read when it rests.
SETTLE_SECONDS = 0.2
# However many SIGHUPs come: to read and check a file takes the event loop some milliseconds.
PAUSE_SECONDS = 0.25

S = TypeVar("S", bound=ServiceSettings)


class Reloader(Generic[S]):
    """Holds the settings in force.

    Args:
        config: what the service has started with.
        path: the file, if there is one.
        last_good: where a good file is kept.
    """

    def __init__(
        self,
        config: Config[S],
        path: Path | None,
        last_good: LastGood,
        *,
        log: Logger,
        metrics: Metrics,
    ) -> None:
        self.config = config
        self._path = path
        self._last_good = last_good
        self._log = log
        self._listeners: list[Callable[[Config[S]], None]] = []
        self._seen = _signature(path)
        self._asked = asyncio.Event()  # by SIGHUP
        self._refused: tuple[str, ...] = ()
        self._good = metrics.gauge(
            "config_last_reload_successful", "1 if the settings file in its present form is in force, else 0."
        )
        self._good.set(1)
        self._time = metrics.gauge(
            "config_last_reload_success_timestamp_seconds", "When the settings in force were read."
        )
        self._time.set(time.time())

    def on_change(self, listener: Callable[[Config[S]], None]) -> None:
        """Call with each new snapshot; what needs a restart has its old value in it."""
        self._listeners.append(listener)

    @property
    def error(self) -> str:
        """Why the file in its present form is not in force; empty: it is."""
        return "; ".join(self._refused)

    def refused(self, error: SettingsError) -> None:
        """Say once for each form of the file what is wrong with it."""
        self._good.set(0)
        if error.lines != self._refused:
            self._refused = error.lines
            for line in error.lines:
                self._log.error("settings_refused", reason=line, in_force=self.config.version)

    def tell_doubts(self) -> None:
        """Log what is allowed in the settings in force but was hardly meant."""
        for doubt in self.config.doubts:
            self._log.warning("settings_doubtful", reason=doubt)

    def reload(self) -> None:
        """Read the file, if there is one, and take it over if it is good."""
        if self._path is None:
            return
        self._seen = _signature(self._path)
        try:
            file = read_file(self._path)
            new = check(type(self.config.settings), file=file)
        except SettingsError as error:
            self.refused(error)
            return
        self._last_good.keep(file)
        self._refused = ()
        self._good.set(1)
        self._time.set(time.time())
        if new.version != self.config.version:
            self._take(new)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch the file and SIGHUP until left."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        try:
            if self._path is None:
                yield
                return
            async with background(self._watch(), died=self._unwatched):
                yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            # Whoever waits for an answer still gets it.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _unwatched(self, reason: str) -> None:
        self._good.set(0)
        self._log.error("settings_no_longer_watched", reason=reason)
        # Whoever asks still has them read.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._asked.wait()
            if self._asked.is_set():
                self._asked.clear()
                self.reload()
                await asyncio.sleep(PAUSE_SECONDS)
            elif (found := _signature(self._path)) != self._seen:
                await asyncio.sleep(SETTLE_SECONDS)
                if _signature(self._path) == found:
                    self.reload()

    def _take(self, new: Config[S]) -> None:
        cls = type(new.settings)
        before, after = self.config.settings, new.settings
        changed = [field for field in cls.model_fields if getattr(before, field) != getattr(after, field)]
        waiting = [field for field in changed if needs_restart(cls, field)]
        if waiting:
            self._log.warning("settings_need_restart", names=",".join(waiting))
        kept = {field: getattr(before, field) for field in waiting}
        self.config = new._replace(settings=after.model_copy(update=kept))
        self._log.warning("settings_changed", version=new.version, names=",".join(changed))
        self.tell_doubts()
        for listener in self._listeners:
            listener(self.config)


def _signature(path: Path | None) -> tuple[int, ...] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    # The time of change, not of writing: access rights that were mended are another form too.
    return (found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size, found.st_mode) if found else None
