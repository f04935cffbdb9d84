"""Where mail came from: counts per day, account, country, address, and rule that objected.

They are written blindly, since every charge pays for it. Only an account that comes from very many addresses
in one day is looked at, so that no botnet fills the disk.
"""

import sqlite3
from collections.abc import Mapping

from quota.store.interface import MAX_ADDRESSES

ACCEPTED = ""  # in the place of a rule
CACHED_DAYS = 16384  # days of accounts

_PUT = (
    "INSERT INTO origin (day, account, country, address, rule, enforced, count) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
_ADDRESSES = "SELECT count(*) FROM origin WHERE day = ? AND account = ? AND address != x''"
_KNOWN = (
    "SELECT 1 FROM origin"
    " WHERE day = ? AND account = ? AND country = ? AND address = ? AND rule = ? AND enforced = ?"
)
OLD_ORIGINS = "SELECT day, account, country, address, rule, enforced FROM origin WHERE day < ? LIMIT ?"
FORGET_ORIGIN = (
    "DELETE FROM origin"
    " WHERE day = ? AND account = ? AND country = ? AND address = ? AND rule = ? AND enforced = ?"
)

# day, account, country, address, rule or ACCEPTED, enforced (0 or 1)
OriginKey = tuple[int, int, str, bytes, str, int]


class OriginTable:
    """The table of the store that `db` is the writing connection of; used within its transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        # (day, account) -> rows with an address: never too few, and once there might be too many, exactly.
        self._at_most: dict[tuple[int, int], int] = {}
        self._exactly: dict[tuple[int, int], int] = {}

    def add(self, counts: Mapping[OriginKey, int]) -> None:
        """Add the counts; beyond MAX_ADDRESSES of an account's day, to the row without an address."""
        rows: list[tuple[object, ...]] = []
        known_room = self._at_most
        for key, count in counts.items():
            day, account, country, address, rule, enforced = key
            at_most = known_room.get((day, account), MAX_ADDRESSES)
            if at_most < MAX_ADDRESSES:
                known_room[day, account] = at_most + 1
            elif address and not self._has_room(key, rows):
                address = b""
            rows.append((day, account, country, address, rule, enforced, count))
        self._write(rows)

    def forget(self) -> None:
        """What was added has been rolled back."""
        self._at_most.clear()
        self._exactly.clear()

    def _has_room(self, key: OriginKey, rows: list[tuple[object, ...]]) -> bool:
        """Whether there is, or may be, a row of this key. Args: rows: to be written; may be written here."""
        owner = key[:2]
        exactly = self._exactly.get(owner)
        if exactly is None:
            self._write(rows)
            (exactly,) = self._db.execute(_ADDRESSES, owner).fetchone()
            self._make_place()
            if owner not in self._at_most and exactly < MAX_ADDRESSES:
                self._at_most[owner] = exactly + 1
                return True
        known = self._db.execute(_KNOWN, key).fetchone() is not None
        has_room = known or exactly < MAX_ADDRESSES
        self._exactly[owner] = exactly if known or not has_room else exactly + 1
        return has_room

    def _make_place(self) -> None:
        if len(self._at_most) + len(self._exactly) >= CACHED_DAYS:
            self.forget()

    def _write(self, rows: list[tuple[object, ...]]) -> None:
        self._db.executemany(_PUT, rows)
        rows.clear()
