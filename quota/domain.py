"""What quota is asked and what it answers, as plain values; protos/quota.proto describes every field."""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

MAX_RECIPIENTS = 10**9
# Names that decision gives to what an admin can override (decision/settings.py, RULE_NAMES).
QUOTA = "quota"  # the limit
COUNTRY = "country"  # the rule
LOCK = "lock"  # in the place of a rule: an admin has locked the account


class Stage(IntEnum):
    """The stage of the SMTP dialogue that a charge belongs to."""

    OTHER = 0
    RCPT = 1
    DATA = 2
    END_OF_MESSAGE = 3


class Unit(IntEnum):
    """What a limit counts."""

    RECIPIENTS = 1
    MESSAGES = 2


class Outcome(IntEnum):
    """What became of a charge."""

    CHARGED = 1
    REPEATED = 2
    REFUSED = 3
    LOCKED = 5  # by an admin: nothing is charged


class Noted(IntEnum):
    """What became of a refusal that decision sent."""

    RECORDED = 1
    OVERRIDDEN = 2  # an admin permits it: nothing is recorded


class Limit(NamedTuple):
    """So many units in one calendar day of the charge's time zone."""

    name: str
    unit: Unit
    maximum: int
    enforce: bool


class Charge(NamedTuple):
    """One policy request of an account, to be charged on all its limits or on none."""

    account: bytes
    login: bytes
    instance: bytes
    recipient: bytes
    stage: Stage
    recipient_count: int
    decision_id: str
    expires_unix_ms: int
    time_zone: str
    limits: tuple[Limit, ...]
    address: bytes
    country: str
    exempt: bool
    sender: bytes = b""
    settings: str = ""


class Refusal(NamedTuple):
    """A refusal by a rule that asks for no charge."""

    account: bytes
    rule: str
    country: str
    address: bytes
    decision_id: str
    enforced: bool
    time_zone: str
    login: bytes = b""
    sender: bytes = b""
    recipient: bytes = b""
    recipient_count: int = 0
    settings: str = ""
    detail: str = ""
    expires_unix_ms: int = 0  # 0: nobody waits for the answer


class Settled(NamedTuple):
    """A notification that a channel need not deliver any more: it is delivered, or given up."""

    channel: str
    notification_id: str

    @property
    def expires_unix_ms(self) -> int:
        """0: nobody waits for the answer, as of a Refusal."""
        return 0


Item = Charge | Refusal | Settled


class LimitState(NamedTuple):
    """One limit after the charge or its refusal; units and booleans as in protos/quota.proto."""

    name: str
    maximum: int
    used: int
    refused: int
    resets_unix_ms: int
    would_refuse: bool
    first_refusal: bool
    crossed_80: bool


class ChargeResult(NamedTuple):
    """The answer to a charge; `units` were added to the first limit."""

    outcome: Outcome
    units: int
    limits: tuple[LimitState, ...]


class RefusedAccount(NamedTuple):
    """An account that a rule refuses now."""

    account: bytes
    rule: str
    country: str  # of its last refusal, or empty
    since_unix_ms: int
    until_unix_ms: int
    used: int | None  # units of the limit; None for a rule without one
    maximum: int | None
    last_decision_id: str


class RefusedNow(NamedTuple):
    """Who is refused now."""

    counts: Mapping[str, int]  # accounts by rule
    accounts: tuple[RefusedAccount, ...]  # the last refused first; perhaps not all


class Refusals(NamedTuple):
    """How often a rule refused an account, or, not enforced, would have."""

    rule: str
    enforced: bool
    total: int
    first_unix_ms: int
    last_unix_ms: int


class Origin(NamedTuple):
    """Where an account's mail came from; an empty rule: accepted. Days are `date.toordinal()`."""

    country: str
    address: bytes
    rule: str
    enforced: bool
    total: int  # accepted: units of the first limit; else refusals
    first_day: int
    last_day: int


class AccountReport(NamedTuple):
    """One account in the days of a report."""

    account: bytes
    login: bytes
    refusals: tuple[Refusals, ...]
    origins: tuple[Origin, ...]


class CountryCount(NamedTuple):
    """What came from a country, of all accounts; counted as in Origin."""

    country: str
    rule: str
    enforced: bool
    total: int


class Report(NamedTuple):
    """What was counted in some days; accounts with most refusals first."""

    recorded_since: int | None  # the first of these days with a count
    accounts: tuple[AccountReport, ...]
    countries: tuple[CountryCount, ...]
    truncated: bool  # there are more accounts
