"""What an admin sees of the counts, as plain values; protos/quota_admin.proto describes them.

Days are `date.toordinal()`.
"""

from typing import NamedTuple

from quota.overrides import Override


class DayUsage(NamedTuple):
    """One limit's counter of one day; unit 0: the refusals of a rule without a limit."""

    day: int
    name: str
    unit: int
    used: int
    refused: int


class Usage(NamedTuple):
    """What is known of an account."""

    login: bytes  # as typed last; empty: never seen
    days: tuple[DayUsage, ...]  # newest first
    overrides: tuple[Override, ...]  # in force


class TopAccount(NamedTuple):
    """A limit's counter of one account today."""

    account: bytes
    name: str
    unit: int
    used: int
    refused: int
    maximum: int  # an override's in force; 0: there is none


class Top(NamedTuple):
    """The biggest senders of a day."""

    accounts: tuple[TopAccount, ...]  # most units first
    total_used: int  # of all accounts


class RefusalRecord(NamedTuple):
    """What is kept of one refusal; used, maximum and resets_unix_ms are None for a rule without a limit."""

    decision_id: str
    at_unix_ms: int
    account: bytes
    login: bytes
    rule: str
    enforced: bool
    country: str
    address: bytes
    sender: bytes
    recipient: bytes
    recipient_count: int
    used: int | None
    maximum: int | None
    resets_unix_ms: int | None
    settings: str
    detail: str


class OverridePage(NamedTuple):
    """Overrides in force of some accounts."""

    overrides: tuple[Override, ...]  # by account
    next: bytes  # the last account of the page; empty: there are no more


class StoreStatus(NamedTuple):
    """How large the store is, and what is in force."""

    path: str
    size_bytes: int  # with its log
    accounts: int
    limits: int
    permits: int
    locks: int
    notifications_waiting: int


class Rows(NamedTuple):
    """Rows of one of the store's tables, each a JSON object."""

    table: str
    rows: tuple[str, ...]
