"""Fills a store with users and charges, through quota's own SqliteStore, and weighs what they take."""

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from bench.interface import StateSize
from quota.app import DATABASE
from quota.domain import Charge, Limit, Stage, Unit
from quota.store.batch import REMEMBER_SECONDS
from quota.store.sqlite import SqliteStore

BATCH = 2000
CHECKPOINT_BATCHES = 20
DATED_STEPS = 360
SAMPLE_USERS, SAMPLE_CHARGES = 10_000, 20_000
# The limit's name and unit as decision asks for it (decision.rules.quota).
LIMIT = Limit("quota", Unit.RECIPIENTS, 10**9, enforce=True)


def login(number: int) -> bytes:
    """The login of policyload's user with that number."""
    return b"user%d@example.org" % number


def counters(users: int, units: int, zone: str) -> Iterator[Charge]:
    """Charges that leave no message behind: together `units`, spread evenly over all users."""
    each, more = divmod(units, users)
    for number in range(users):
        count = each + (number < more)
        if count:
            yield _charge(number, b"", Stage.END_OF_MESSAGE, count, zone)


def messages(users: int, count: int, zone: str, *, first_unix: float, last_unix: float) -> Iterator[Charge]:
    """Charges of one recipient each, of users at random, at even distances between two times.

    Their instances are Postfix's: pid.seconds.microseconds.count.
    """
    draw = random.Random(count)
    for number in range(count):
        at = first_unix + (last_unix - first_unix) * number / count
        instance = b"%x.%x.%x.0" % (0x1000 + number % 100, int(at), int(at % 1 * 1_000_000))
        yield _charge(draw.randrange(users), instance, Stage.RCPT, 0, zone)


def fill(
    directory: Path,
    *,
    users: int,
    charges: int,
    remembered: int,
    zone: str,
    now_unix: float,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Write the state of a busy day: all charges counted, the last six hours' messages remembered.

    Args:
        directory: the state directory.
        charges: of the day, with those that are remembered.
        remembered: messages that quota still knows, because they are not older than six hours.
    """
    filler = _Filler(directory, say)
    filler.apply(counters(users, charges - remembered, zone), now_unix, "users")
    # In bites, so that each message expires six hours after its own time.
    first = now_unix - REMEMBER_SECONDS
    recent = messages(users, remembered, zone, first_unix=first, last_unix=now_unix)
    filler.apply_dated(recent, first, now_unix, remembered)
    filler.close()


def state_size(scratch: Path) -> StateSize:
    """Bytes of the database for each user with a count of today, and for each charge that is remembered."""
    sizes = []
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        directory = Path(name)
        # A user with one charge, then charges of known users.
        for users, remembered in ((0, 0), (SAMPLE_USERS, 0), (SAMPLE_USERS, SAMPLE_CHARGES)):
            filler = _Filler(directory, lambda text: None)
            now = 1_800_000_000.0
            if users and not remembered:
                filler.apply(counters(users, users, "UTC"), now, "users")
            if remembered:
                first = now - REMEMBER_SECONDS
                charges = messages(users, remembered, "UTC", first_unix=first, last_unix=now)
                # All at one moment: a charge on another day would be another count.
                filler.apply(charges, now, "charges")
            filler.close()
            sizes.append((directory / DATABASE).stat().st_size)
    empty, with_users, with_charges = sizes
    return StateSize(
        per_user=(with_users - empty) / SAMPLE_USERS, per_charge=(with_charges - with_users) / SAMPLE_CHARGES
    )


class _Filler:
    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self._store = SqliteStore(directory / DATABASE)
        self._say = say
        self._batches = 0

    def apply(self, charges: Iterable[Charge], now_unix: float, what: str) -> None:
        """Charge all at one time."""
        charges = iter(charges)
        done = 0
        while batch := list(islice(charges, BATCH)):
            self._apply(batch, now_unix)
            done += len(batch)
        self._say(f"{done:,} {what} written")

    def apply_dated(self, charges: Iterable[Charge], first: float, last: float, count: int) -> None:
        """Charge each at its time, as `messages` has it, to about a minute in six hours."""
        charges = iter(charges)
        done = 0
        while batch := list(islice(charges, min(BATCH, max(1, count // DATED_STEPS)))):
            self._apply(batch, first + (last - first) * done / count)
            done += len(batch)
        self._say(f"{done:,} messages written")

    def close(self) -> None:
        self._store.close()

    def _apply(self, batch: list[Charge], now_unix: float) -> None:
        self._store.apply(batch, round(now_unix * 1000))
        self._batches += 1
        # As the checkpointer does in quota; otherwise the WAL would grow as large as the store.
        if self._batches % CHECKPOINT_BATCHES == 0:
            self._store.checkpoint()


def _charge(number: int, instance: bytes, stage: Stage, recipient_count: int, zone: str) -> Charge:
    return Charge(
        account=login(number),
        login=login(number),
        instance=instance,
        recipient=b"rcpt0@example.net",
        stage=stage,
        recipient_count=recipient_count,
        decision_id="0000000000",
        expires_unix_ms=2**62,
        time_zone=zone,
        limits=(LIMIT,),
        address=b"84.128.0.1",
        country="DE",
        exempt=False,
    )
