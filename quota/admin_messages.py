"""An admin's messages to plain values and back; what is wrong is said in one sentence."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Protocol

from protos import quota_admin_pb2 as pb
from protos import quota_pb2
from quota.domain import MAX_RECIPIENTS, RefusedAccount
from quota.overrides import AuditEntry, Change, Clear, Kind, Override, Purge, Reset, Set
from quota.periods import zone
from quota.views import DayUsage, RefusalRecord, TopAccount

# A login has at most 320 bytes, and case folding may make it longer.
MAX_ACCOUNT_BYTES = 1024
MAX_REASON = 500  # characters
MAX_WHO = 200
MAX_COUNTRIES = 250
# A message has at most 4 MiB (chassis/grpc_server.py).
MAX_REPLY_BYTES = 3 * 1024 * 1024
_MAX_MS = 253_402_300_799_000  # the end of the year 9999


class _Message(Protocol):
    def ByteSize(self) -> int: ...


def read_change(change: pb.Change, now_unix_ms: int) -> Change:
    """The plain value of a change. Raises ValueError with what is wrong."""
    account, reason = read_account(change.account), read_text(change.reason, "the reason", MAX_REASON)
    match change.WhichOneof("what"):
        case "set_limit":
            if not 1 <= change.set_limit <= MAX_RECIPIENTS:
                raise ValueError(f"a limit is 1 to {MAX_RECIPIENTS}, not {change.set_limit}")
            return Set(account, Kind.LIMIT, str(change.set_limit), _read_until(change, now_unix_ms), reason)
        case "permit":
            codes = _read_codes(change.permit.codes)
            return Set(account, Kind.COUNTRY, codes, _read_until(change, now_unix_ms), reason)
        case "lock":
            return Set(account, Kind.LOCK, "", _read_until(change, now_unix_ms), reason)
        case "clear_limit":
            return Clear(account, Kind.LIMIT, reason)
        case "clear_permit":
            return Clear(account, Kind.COUNTRY, reason)
        case "unlock":
            return Clear(account, Kind.LOCK, reason)
        case "reset":
            zone(change.reset)
            return Reset(account, change.reset, reason)
        case "purge":
            return Purge(account, reason)
        case _:
            raise ValueError("it says nothing that is to be done")


def read_account(account: bytes) -> bytes:
    """The account. Raises ValueError for one that no override can have.

    Control characters are no mistake here: a login that has sent mail with some must be locked and purged as
    any other. Where a person types a name, or a file holds it, they are refused (admin/talk/names.py).
    """
    if not account:
        raise ValueError("the login is empty")
    if len(account) > MAX_ACCOUNT_BYTES:
        raise ValueError(f"the login has more than {MAX_ACCOUNT_BYTES} bytes")
    return account


def read_text(text: str, what: str, most: int) -> str:
    """The text. Raises ValueError."""
    if len(text) > most:
        raise ValueError(f"{what} has more than {most} characters")
    if _has_control(text):
        raise ValueError(f"{what} has control characters")
    return text


def read_most(most: int, highest: int) -> int:
    """How many are asked for. Raises ValueError."""
    if not 1 <= most <= highest:
        raise ValueError(f"1 to {highest} may be asked for, not {most}")
    return most


def _has_control(text: str) -> bool:
    # C0, DEL and C1: ISO/IEC 6429.
    return any(character < " " or "\x7f" <= character < "\xa0" for character in text)


def _read_codes(codes: Sequence[str]) -> str:
    if not codes:
        raise ValueError("no country is named")
    if len(codes) > MAX_COUNTRIES:
        raise ValueError(f"more than {MAX_COUNTRIES} countries are named")
    for code in codes:
        if len(code) != 2 or not (code.isascii() and code.isalpha() and code.isupper()):
            raise ValueError(f"{code!r} is no country code of two capital letters")
    return ",".join(sorted(set(codes)))


def _read_until(change: pb.Change, now_unix_ms: int) -> int:
    if change.until_unix_ms and not now_unix_ms < change.until_unix_ms <= _MAX_MS:
        raise ValueError("its end lies in the past, or beyond the year 9999")
    return change.until_unix_ms


def override_message(override: Override) -> pb.Override:
    message = pb.Override(
        account=override.account,
        until_unix_ms=override.until_unix_ms,
        reason=override.reason,
        who=override.who,
        set_unix_ms=override.set_unix_ms,
    )
    if override.kind is Kind.LIMIT:
        message.maximum = int(override.value)
    elif override.kind is Kind.COUNTRY:
        message.countries.codes.extend(override.value.split(","))
    else:
        message.lock = True
    return message


def entry_message(entry: AuditEntry) -> pb.AuditEntry:
    return pb.AuditEntry(**entry._asdict())


def blocked_message(account: RefusedAccount) -> pb.BlockedAccount:
    return pb.BlockedAccount(
        account=account.account,
        rule=account.rule,
        country=account.country,
        since_unix_ms=account.since_unix_ms,
        until_unix_ms=account.until_unix_ms,
        has_limit=account.maximum is not None,
        used=account.used or 0,
        maximum=account.maximum or 0,
        last_decision_id=account.last_decision_id,
    )


def day_message(usage: DayUsage) -> pb.DayUsage:
    return pb.DayUsage(
        day=date.fromordinal(usage.day).isoformat(),
        name=usage.name,
        unit=quota_pb2.Unit.ValueType(usage.unit),
        used=usage.used,
        refused=usage.refused,
    )


def top_message(account: TopAccount) -> pb.TopAccount:
    return pb.TopAccount(**account._asdict())


def refusal_message(record: RefusalRecord) -> pb.RefusalRecord:
    values = record._asdict()
    enforced = values.pop("enforced")
    return pb.RefusalRecord(
        mode=quota_pb2.MODE_ENFORCE if enforced else quota_pb2.MODE_OBSERVE,
        has_limit=record.maximum is not None,
        **{name: value for name, value in values.items() if value is not None},
    )


def that_fit(messages: Iterable[Any]) -> list[Any]:
    """As many of them, from the first, as one reply can hold."""
    fitting: list[_Message] = []
    room = MAX_REPLY_BYTES
    for message in messages:
        room -= message.ByteSize() + 8
        if room < 0:
            break
        fitting.append(message)
    return fitting
