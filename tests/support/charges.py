"""Makes charges for tests: what a test does not say is as in a usual mail."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from quota.domain import Charge, Limit, Refusal, Stage, Unit

BERLIN = "Europe/Berlin"
NOON = round(datetime(2026, 11, 23, 12, tzinfo=ZoneInfo(BERLIN)).timestamp() * 1000)
HOUR = 3_600_000
RECIPIENTS = Limit("quota", Unit.RECIPIENTS, 10, enforce=True)
MESSAGES = Limit("messages", Unit.MESSAGES, 10, enforce=True)


def berlin(text: str) -> int:
    """Unix milliseconds of a Berlin wall clock time such as `2026-10-25 02:30`."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN)).timestamp() * 1000)


def utc(text: str) -> int:
    """Unix milliseconds of a UTC time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def charge(
    *,
    account: bytes = b"alice",
    login: bytes | None = None,
    instance: bytes = b"i1",
    recipient: bytes = b"bob@example.net",
    stage: Stage = Stage.RCPT,
    recipient_count: int = 0,
    time_zone: str = BERLIN,
    limits: tuple[Limit, ...] = (RECIPIENTS,),
    address: bytes = b"84.128.0.1",
    country: str = "DE",
    exempt: bool = False,
    decision_id: str = "0123456789",
) -> Charge:
    """A RCPT of alice from Germany for one recipient, limit 10 recipients."""
    return Charge(
        account=account,
        login=account if login is None else login,
        instance=instance,
        recipient=recipient if stage is Stage.RCPT else b"",
        stage=stage,
        recipient_count=recipient_count,
        decision_id=decision_id,
        expires_unix_ms=2**62,
        time_zone=time_zone,
        limits=limits,
        address=address,
        country=country,
        exempt=exempt,
    )


def refusal(
    *,
    account: bytes = b"alice",
    rule: str = "country",
    country: str = "US",
    address: bytes = b"8.8.8.8",
    enforced: bool = True,
    decision_id: str = "",
) -> Refusal:
    """A refusal by the country rule; without a decision id it is another one each time."""
    return Refusal(account, rule, country, address, decision_id, enforced, BERLIN)
