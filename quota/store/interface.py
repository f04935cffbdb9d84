"""The contract of a store of counts. tests/contract runs the same tests on every implementation."""

from collections.abc import Sequence
from typing import Protocol

from quota.domain import ChargeResult, Item, Noted, RefusedNow, Report
from quota.overrides import AuditEntry, Changed, Override, Request
from quota.views import OverridePage, RefusalRecord, Rows, StoreStatus, Top, Usage

KEEP_DAYS = 31  # counts of these last days are never forgotten
REFUSED_MS = 3_600_000  # so long a refusal by a rule without a limit makes an account a refused one
MAX_ADDRESSES = 1000  # addresses that are kept for one account and day
MAX_CHANGES = 20_000  # of one request: they hold all charges up, for half a second or so
SHOWN_BEFORE = 100  # of what was in force before a request


class StoreError(Exception):
    """The store could not do it, and has changed nothing. The cause is chained."""


class StoreBusyError(StoreError):
    """Somebody else holds the store; the same call may succeed a moment later."""


class StoreCorruptError(StoreError):
    """What the store has kept is damaged: it will not heal by trying again."""


class StoreReadOnlyError(StoreError):
    """The store was opened when nobody could write it: it has to be opened anew."""


class TooManyChangesError(StoreError):
    """So much cannot be changed in one step."""


class Store(Protocol):
    """Counts of accounts, and which messages they were counted for.

    All methods are called from one thread, one at a time. None blocks for much longer than 100 ms.
    """

    def apply(self, items: Sequence[Item], now_unix_ms: int) -> list[ChargeResult | Noted]:
        """Do all items in order, each seeing what those before it did, and make them last.

        A charge is decided by `quota.assessment.assess`, in the period of the message's first charge
        (its calendar day in the charge's time zone at that moment), or in today's. Only what was
        CHARGED is remembered for the message, until 6 hours after the message was last asked about or
        longer. A charge without instance is a message of its own and is not remembered. A refusal by an
        enforced limit adds to that limit's `refused` and is recorded like a Refusal of the rule with the
        limit's name, in the message's period. Where no enforced limit refuses, each observed one that would
        have is recorded likewise, as not enforced, unless the sender is exempt.

        What an admin has set for the account holds, until the moment at which it ends. A maximum takes the
        place of that of the limit `quota`. A lock refuses everything, repeats too: nothing is charged, the
        result is LOCKED and has no limits, and it is recorded like a Refusal of the rule `lock`. A Refusal by
        the rule `country` from a permitted country is OVERRIDDEN: nothing is recorded.

        A Refusal that comes again (its account, rule and decision id) within a quarter of an hour or more is
        not recorded again. One without a decision id is always another one.

        A Refusal is counted for (its day in its time zone, account, rule, enforced or not), and so is where
        it came from (country, address). Where accepted mail came from is counted too, in the units that
        were CHARGED on the first limit. Of one account's day, MAX_ADDRESSES (country, address, rule,
        enforced or not) are told apart; any further one is counted without its address.

        Of each account's day the first refusals are kept as they are, and the last ones.

        What people are to be told is written to the outbox with it, once for each account, period and kind
        (quota/store/outbox.py): a refusal by an enforced rule, the first one by an enforced limit, and 80 %
        of one. Nothing is where no channel is on. A Settled takes a notification from its channel.

        When this returns, the results survive the death of this process. Either all items are done or,
        when this raises, none.

        Returns: for each item in order a ChargeResult, or a Noted for any other.

        Raises:
            StoreBusyError: try again.
            StoreCorruptError: see there.
            StoreError: this try has failed for another reason.
        """

    def change(self, request: Request, now_unix_ms: int) -> Changed:
        """Do all changes of a request in order, each with an entry in the audit log, or none.

        They hold for every item that is applied after this. A change that finds nothing to do (an override
        that is set already with the same end and reason, one that is not there to be cleared, an account
        without a count of today) is none, and leaves no entry. What no longer refuses an account makes it one
        that is not refused now: a higher maximum, a permit for the country it came from last, an unlock, a
        reset. A purge forgets every row of the account, its audit entries too, but for a lock that is
        in force, which stays until it is taken away, and entries about purges. `before` has all that was.

        Raises:
            TooManyChangesError: more than MAX_CHANGES, with those that `replace` clears.
            and as `apply`.
        """

    def note(self, entry: AuditEntry) -> None:
        """Write one entry into the audit log. Raises: as `apply`."""

    def expire(self, now_unix_ms: int, most: int) -> int:
        """Forget at most `most` things: messages that are due, counts of days before the last KEEP_DAYS,
        overrides that have ended, notifications of past periods, single refusals and audit entries that are
        too old or too many.

        Returns: how many were forgotten; `most` means that there may be more.

        Raises: as `apply`.
        """

    def close(self) -> None:
        """Release everything. Never raises."""


class Reader(Protocol):
    """Reads what a Store has counted, beside it and without disturbing it."""

    def refused_now(self, now_unix_ms: int, most: int) -> RefusedNow:
        """Who is refused at this moment, by an enforced limit or rule.

        A refusal by a limit counts until its period ends, one by another rule for REFUSED_MS. The cost is
        that of the accounts that are refused, not of those that are counted.

        Args:
            most: accounts to list, the last refused first; all are counted.

        Raises: as `report`.
        """

    def report(self, first_day: int, last_day: int, account: bytes | None = None) -> Report:
        """What was counted in these days, first and last included, as of one moment.

        Called from any thread. What it costs and returns is bounded: the accounts with the most refusals,
        and of each the addresses with the highest counts; what came from others is counted without address.

        Args:
            account: only this one, refused or not; None: all that were or would have been refused.

        Raises:
            StoreError: it cannot be read, or reading took too long.
        """


class AdminReader(Protocol):
    """Reads what a Store keeps, for an admin. As of Reader: from any thread, of one moment, bounded in time.

    All methods raise StoreError: it cannot be read, or reading took too long.
    """

    def status(self, now_unix_ms: int) -> StoreStatus:
        """Its size, and how much of what was set is in force."""

    def usage(self, account: bytes, first_day: int, last_day: int, now_unix_ms: int) -> Usage:
        """The counts of one account in these days, and what is in force for it."""

    def top(self, day: int, most: int, now_unix_ms: int) -> Top:
        """The accounts with the highest counters of a day; an account stands there once for each limit."""

    def explain(self, decision_id: str) -> RefusalRecord | None:
        """What is kept of a refusal, a real one before one that would have been; None: nothing, or no longer.

        `detail` of a lock is its reason, as long as it is set.
        """

    def overrides(self, after: bytes, most: int, now_unix_ms: int) -> OverridePage:
        """What is in force for at most so many accounts whose names lie behind `after`."""

    def overrides_of(self, account: bytes, now_unix_ms: int) -> tuple[Override, ...]:
        """What is in force for one account."""

    def audit(self, most: int, account: bytes | None = None) -> tuple[AuditEntry, ...]:
        """The newest entries first, about one account or all."""

    def export(self, account: bytes) -> tuple[Rows, ...]:
        """All rows of one account; bytes that are no UTF-8 as {"base64": ...}."""
