"""The words that rules, chain and decider share."""

from enum import Enum, IntEnum, StrEnum
from typing import NamedTuple


class Mode(StrEnum):
    """What a rule's objection does."""

    ENFORCE = "enforce"
    OBSERVE = "observe"  # logged and counted as "would have refused"; the mail passes
    OFF = "off"


class Stage(IntEnum):
    """The stage of the SMTP dialogue, Postfix's protocol_state."""

    OTHER = 0
    RCPT = 1
    DATA = 2
    END_OF_MESSAGE = 3


class Verb(StrEnum):
    """What Postfix is told, of access(5). Never OK: before reject_unauth_destination that opens a relay."""

    DUNNO = "DUNNO"
    DEFER = "DEFER"
    REJECT = "REJECT"


class Locked(Enum):
    """An admin has locked the account: everything from it is refused."""

    LOCKED = "lock"


LOCKED = Locked.LOCKED
LOCK = LOCKED.value  # in the place of a rule


class MailEvent(NamedTuple):
    """One policy request of a user who has logged in."""

    stage: Stage
    login: bytes
    account: bytes
    client_address: bytes
    instance: bytes
    recipient: bytes
    recipient_count: int
    sender: bytes
    queue_id: bytes
    policy_context: bytes


class Objection(NamedTuple):
    """Why a rule would refuse.

    `text` is for the user who reads the SMTP reply: ASCII, without the status code and the decision's id.
    """

    verb: Verb
    status: str  # enhanced status code, RFC 3463
    text: str
    country: str = ""


class Limit(NamedTuple):
    """What a limiting rule asks quota to check and charge, in the calendar day of `time_zone`."""

    unit: str  # "recipients" or "messages"
    maximum: int
    time_zone: str


class LimitState(NamedTuple):
    """What quota says of a limit after the charge or its refusal."""

    maximum: int
    used: int
    refused: int
    resets_unix_ms: int
    would_refuse: bool
