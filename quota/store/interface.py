"""The contract of a store of counts. tests/contract runs the same tests on every implementation."""

from collections.abc import Sequence
from typing import Protocol

from quota.domain import Charge, ChargeResult, Refusal


class StoreError(Exception):
    """The store could not do it, and has changed nothing. The cause is chained."""


class StoreBusyError(StoreError):
    """Somebody else holds the store; the same call may succeed a moment later."""


class Store(Protocol):
    """Counts of accounts, and which messages they were counted for.

    All methods are called from one thread, one at a time. None blocks for much longer than 100 ms.
    """

    def apply(self, items: Sequence[Charge | Refusal], now_unix_ms: int) -> list[ChargeResult | None]:
        """Do all items in order, each seeing what those before it did, and make them last.

        A charge is decided by `quota.assessment.assess`, in the period of the message's first charge
        (its calendar day in the charge's time zone at that moment), or in today's. Only what was
        CHARGED is remembered for the message, until 6 hours after the message was last asked about or
        longer. A charge without instance is a message of its own and is not remembered. A refusal by an
        enforced limit adds to that limit's `refused` and is recorded like a Refusal of the rule with the
        limit's name, without a country.

        A Refusal is counted for (its day in its time zone, account, rule, enforced or not).

        When this returns, the results survive the death of this process. Either all items are done or,
        when this raises, none.

        Returns: for each item in order a ChargeResult, or None for a Refusal.

        Raises:
            StoreBusyError: try again.
            StoreError: this try has failed for another reason.
        """

    def expire(self, now_unix_ms: int, most: int) -> int:
        """Forget at most `most` messages that are due, and counts of days long past; never of the last two.

        Returns: how many messages or counts were forgotten; `most` means that there may be more.

        Raises: as `apply`.
        """

    def close(self) -> None:
        """Release everything. Never raises."""
