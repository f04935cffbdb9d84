"""A wall clock for the services that a test moves while they run: Debian's libfaketime.

Deadlines travel between the services as wall clock times, so all of them are under the same clock. Clocks
that only go forward (timers, time-outs) are left alone, as they are when an admin or NTP sets the time.
"""

import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.support.programs import unmet

BERLIN = ZoneInfo("Europe/Berlin")


class WallClock:
    """Args: directory: for the file that says how far the clock is off."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "faketime"
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not libraries:
            unmet("faketime is missing: apt-get install faketime")
        self.environment = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            # Otherwise each service would notice a change at another time.
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.offset = 0.0
        self.move(0)

    def now(self) -> datetime:
        """What the services' clock shows, in Berlin."""
        return datetime.fromtimestamp(time.time() + self.offset, BERLIN)

    def move(self, seconds: float) -> None:
        """Turn it on, or back."""
        self.offset += seconds
        new = self._file.with_suffix(".new")
        new.write_text(f"{self.offset:+.3f}\n")
        new.replace(self._file)

    def set(self, text: str, *, fold: int = 0) -> None:
        """Turn it to a time of Berlin such as `2026-10-25 02:30`; fold=1 is the second one of that night."""
        wanted = datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold)
        self.move(wanted.timestamp() - time.time() - self.offset)
