"""The quota rule."""

import pytest

from decision.rules.quota import QuotaRule
from decision.verdict import Limit, LimitState, Objection, Verb
from tests.support.charges import utc


def rule(*, count: str = "recipients", time_zone: str = "Europe/Berlin", reject: bool = False) -> QuotaRule:
    return QuotaRule(maximum=1000, count=count, time_zone=time_zone, reject=reject)


def state(*, would_refuse: bool, resets: str = "2026-11-23 23:00", maximum: int = 1000) -> LimitState:
    """Args: resets is in UTC."""
    return LimitState(maximum, 1000, 1, utc(resets), would_refuse)


@pytest.mark.parametrize("count", ["recipients", "messages"])
def test_the_limit_is_that_of_the_settings(count: str) -> None:
    """Quota is asked for one limit."""
    assert rule(count=count).limit == Limit(count, 1000, "Europe/Berlin")


def test_below_the_limit_there_is_no_objection() -> None:
    """Quota says whether the charge is over the limit; the rule does not count itself."""
    assert rule().judge(state(would_refuse=False)) is None


def test_over_the_limit_mail_is_deferred() -> None:
    """DEFER 4.7.1 with the limit and when it ends."""
    assert rule().judge(state(would_refuse=True)) == Objection(
        Verb.DEFER, "4.7.1", "Daily limit of 1000 recipients reached, it ends 2026-11-24 00:00 CET"
    )


def test_over_the_limit_mail_can_be_rejected() -> None:
    """REJECT 5.7.1, with the unit that is counted."""
    assert rule(count="messages", reject=True).judge(state(would_refuse=True)) == Objection(
        Verb.REJECT, "5.7.1", "Daily limit of 1000 messages reached, it ends 2026-11-24 00:00 CET"
    )


@pytest.mark.parametrize(
    ("time_zone", "resets", "shown"),
    [
        ("Europe/Berlin", "2026-07-01 22:00", "2026-07-02 00:00 CEST"),
        ("America/New_York", "2026-07-01 04:00", "2026-07-01 00:00 EDT"),
        ("Asia/Kathmandu", "2026-07-01 18:15", "2026-07-02 00:00 +0545"),
        ("UTC", "2026-07-02 00:00", "2026-07-02 00:00 UTC"),
        # Midnight does not exist on this day.
        ("America/Santiago", "2024-09-08 04:00", "2024-09-08 01:00 -03"),
    ],
)
def test_the_end_is_shown_in_the_configured_zone(time_zone: str, resets: str, shown: str) -> None:
    """The user reads the wall clock of the admin's time zone, with its name."""
    objection = rule(time_zone=time_zone).judge(state(would_refuse=True, resets=resets))
    assert objection is not None
    assert objection.text.endswith(f"reached, it ends {shown}")
    assert objection.text.isascii()


def test_the_limit_shown_is_the_one_in_force() -> None:
    """Quota's answer counts, should it differ from what was asked."""
    objection = rule().judge(state(would_refuse=True, maximum=77))
    assert objection is not None
    assert "limit of 77 recipients" in objection.text
