"""How much the fault tests do, and how patient they are; each by a variable of the environment.

`make test` does a few rounds of some tests of each kind of fault, `make test-faults` the full number of all.
"""

import os
import secrets
import threading
import time

# Read before any test clears the environment.
FULL = os.environ.get("MTPOLICYD_TEST_FULL") == "1"
# What chooses victims and moments; the summary names it, so that a run can be repeated.
SEED = int(os.environ.get("MTPOLICYD_TEST_SEED") or secrets.randbelow(10**6))
# What a loaded machine may add to a time that is measured from outside. On an idle one 0.1 s is enough, the
# number that the README's deadlines are meant with: MTPOLICYD_TEST_SLACK=0.1 asks for that.
SLACK_SECONDS = float(os.environ.get("MTPOLICYD_TEST_SLACK") or 1.0)
USED_SEED: list[int] = []


class Standstill(threading.Thread):
    """Notices when the whole machine stands still: as long as that lasts no service can answer in time."""

    STEP_SECONDS = 0.05

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0

    def run(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(self.STEP_SECONDS)
            now = time.monotonic()
            self.longest = max(self.longest, now - before - self.STEP_SECONDS)
            before = now


STANDSTILL = Standstill()


def slack() -> float:
    """What this machine may add to a time measured in this test."""
    return SLACK_SECONDS + STANDSTILL.longest


def seed() -> int:
    """The seed, noted as used."""
    if not USED_SEED:
        USED_SEED.append(SEED)
    return SEED
