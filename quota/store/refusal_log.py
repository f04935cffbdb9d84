"""Single refusals, for those who ask why. Of an account's day the first ones are kept, and the very last.

So a flood from one account pushes out none of another's, and costs few rows a transaction. Over all there is
a bound too: then the oldest go.
"""

import sqlite3
from collections.abc import Iterable

from quota.domain import Charge, LimitState, Refusal

KEPT_FIRST = 40  # of an account and day
KEPT_LAST = 10
MAX_ROWS = 100_000
MAX_BYTES = 512  # of a name that Postfix sent; what is longer is cut
MAX_CHARACTERS = 500
CACHED_DAYS = 16384  # days of accounts

_COUNT = "SELECT coalesce(sum(count), 0) FROM refusal WHERE day = ? AND account = ?"
_PUT = (
    "INSERT OR REPLACE INTO refusal_log"
    " (account, day, place, at_ms, decision_id, login, rule, enforced, country, address,"
    " sender, recipient, recipient_count, used, maximum, resets_ms, settings, detail)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ROWS = "SELECT count(*) FROM refusal_log"
_OLDEST = "SELECT id FROM refusal_log ORDER BY id LIMIT ?"
_OLDEST_BEFORE = "SELECT id FROM (SELECT id, at_ms FROM refusal_log ORDER BY id LIMIT ?) WHERE at_ms < ?"
_FORGET = "DELETE FROM refusal_log WHERE id = ?"

# account, day, and a place among those of this day
Place = tuple[int, int, int]


class RefusalLog:
    """The table of the store that `db` is the writing connection of; used within its transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._counts: dict[
            tuple[int, int], int
        ] = {}  # (account, day) -> refusals, with those not yet written

    def begin(self) -> None:
        """A transaction begins."""
        if len(self._counts) >= CACHED_DAYS:
            self._counts.clear()

    def place(self, account: int, day: int) -> Place:
        """The place of one more refusal; to be asked before it is counted in the table `refusal`."""
        number = self._counts.get((account, day))
        if number is None:
            (number,) = self._db.execute(_COUNT, (day, account)).fetchone()
        self._counts[account, day] = number + 1
        if number < KEPT_FIRST:
            return account, day, number
        return account, day, KEPT_FIRST + (number - KEPT_FIRST) % KEPT_LAST

    def write(self, rows: Iterable[tuple[object, ...]]) -> None:
        """Args: rows: from `row`."""
        self._db.executemany(_PUT, rows)

    def forget(self) -> None:
        """What was added has been rolled back, or rows of an account were deleted."""
        self._counts.clear()

    def expire(self, before_ms: int, most: int) -> int:
        """Remove at most so many that are older, or too many; returns how many."""
        old = self._db.execute(_OLDEST_BEFORE, (most, before_ms)).fetchall()
        self._db.executemany(_FORGET, old)
        (rows,) = self._db.execute(_ROWS).fetchone()
        beyond: int = max(min(rows - MAX_ROWS, most - len(old)), 0)
        self._db.executemany(_FORGET, self._db.execute(_OLDEST, (beyond,)).fetchall())
        return len(old) + beyond


def row(
    place: Place,
    now_ms: int,
    item: Charge | Refusal,
    rule: str,
    enforced: bool,
    state: LimitState | None,
) -> tuple[object, ...]:
    """A row of the table. Args: state: of the limit that refused, if it was one."""
    return (
        *place,
        now_ms,
        item.decision_id[:MAX_CHARACTERS],
        (item.login or item.account)[:MAX_BYTES],
        rule,
        enforced,
        item.country,
        item.address,
        item.sender[:MAX_BYTES],
        item.recipient[:MAX_BYTES],
        min(max(item.recipient_count, -1), 2**62),
        state and state.used,
        state and state.maximum,
        state and state.resets_unix_ms,
        item.settings[:MAX_CHARACTERS],
        item.detail[:MAX_CHARACTERS] if isinstance(item, Refusal) else "",
    )
