"""How much the fault tests do, and how patient they are; each by a variable of the environment.

`make test` does a few rounds of everything, `make test-faults` the full number, and
MTPOLICYD_TEST_LONG=1 what takes minutes.
"""

import os
import secrets

# Read before any test clears the environment.
LONG = os.environ.get("MTPOLICYD_TEST_LONG") == "1"
FULL = LONG or os.environ.get("MTPOLICYD_TEST_FULL") == "1"
# What chooses victims and moments; the summary names it, so that a run can be repeated.
SEED = int(os.environ.get("MTPOLICYD_TEST_SEED") or secrets.randbelow(10**6))
# What a loaded machine may add to a time that is measured from outside. On an idle one 0.1 s is enough, the
# number that the README's deadlines are meant with: MTPOLICYD_TEST_SLACK=0.1 asks for that.
SLACK_SECONDS = float(os.environ.get("MTPOLICYD_TEST_SLACK") or 1.0)
USED_SEED: list[int] = []


def seed() -> int:
    """The seed, noted as used."""
    if not USED_SEED:
        USED_SEED.append(SEED)
    return SEED
