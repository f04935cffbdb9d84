"""What an admin sets for an account, as plain values; protos/quota_admin.proto describes them.

An override is in force until the moment of its `until_unix_ms`, exactly; 0: it has no end.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What can be set; an account has at most one of each."""

    LIMIT = "limit"  # a maximum for the limit `quota`
    COUNTRY = "country"  # countries that are permitted beside the allowed ones
    LOCK = "lock"  # everything is refused


class Override(NamedTuple):
    """One thing that is set."""

    account: bytes
    kind: Kind
    value: str  # a maximum, sorted country codes with commas, or empty for a lock
    until_unix_ms: int
    reason: str
    who: str
    set_unix_ms: int


class Set(NamedTuple):
    """Set an override, in the place of any other of its kind. Fields as in Override."""

    account: bytes
    kind: Kind
    value: str
    until_unix_ms: int
    reason: str


class Clear(NamedTuple):
    """Take an override away."""

    account: bytes
    kind: Kind
    reason: str


class Reset(NamedTuple):
    """Today's counters become 0; what messages under way have been charged stays charged."""

    account: bytes
    time_zone: str
    reason: str


class Purge(NamedTuple):
    """Forget all that is kept of an account, but for a lock that is in force."""

    account: bytes
    reason: str


Change = Set | Clear | Reset | Purge


class Request(NamedTuple):
    """Changes that are done in this order, all or none."""

    changes: Sequence[Change]
    who: str
    replace: bool = False  # limits and permits of whoever is not in the changes are cleared; locks stay


class Changed(NamedTuple):
    """What became of a request."""

    done: int  # changes that were not in force before
    before: tuple[Override, ...]  # what was in force before, of the first changes


class AuditEntry(NamedTuple):
    """One thing that somebody did, or tried."""

    at_unix_ms: int
    who: str
    what: str
    account: bytes = b""
    value: str = ""
    until_unix_ms: int = 0
    reason: str = ""
