"""An admin's messages: what is wrong is said, what is right is read whole."""

import pytest

from protos import quota_admin_pb2 as pb
from protos import quota_pb2
from quota.admin_messages import (
    MAX_REPLY_BYTES,
    blocked_message,
    day_message,
    override_message,
    read_change,
    read_most,
    refusal_message,
    that_fit,
    top_message,
)
from quota.domain import RefusedAccount
from quota.overrides import Change, Clear, Kind, Override, Purge, Reset, Set
from quota.views import DayUsage, RefusalRecord, TopAccount

NOW = 1_800_000_000_000
LONGEST = b"x" * 1024


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (pb.Change(set_limit=1), Set(b"a", Kind.LIMIT, "1", 0, "")),
        (pb.Change(set_limit=10**9), Set(b"a", Kind.LIMIT, "1000000000", 0, "")),
        (pb.Change(permit=pb.Countries(codes=["IT", "FR", "IT"])), Set(b"a", Kind.COUNTRY, "FR,IT", 0, "")),
        (pb.Change(lock=True), Set(b"a", Kind.LOCK, "", 0, "")),
        (pb.Change(lock=True, until_unix_ms=NOW + 1), Set(b"a", Kind.LOCK, "", NOW + 1, "")),
        (pb.Change(clear_limit=True), Clear(b"a", Kind.LIMIT, "")),
        (pb.Change(clear_permit=True), Clear(b"a", Kind.COUNTRY, "")),
        (pb.Change(unlock=True), Clear(b"a", Kind.LOCK, "")),
        (pb.Change(reset="Europe/Berlin"), Reset(b"a", "Europe/Berlin", "")),
        (pb.Change(purge=True), Purge(b"a", "")),
    ],
)
def test_a_change_is_read_whole(message: pb.Change, change: Change) -> None:
    """With its login and reason, whatever characters they have."""
    for account, reason in (
        (b"a", ""),
        (b"-'; \" \xc3\xa4\xff", "Grüße"),
        (b"a\n\x1b\x7f\xc2\x85", ""),
        (LONGEST, "r" * 500),
    ):
        message.account, message.reason = account, reason
        assert read_change(message, NOW) == change._replace(account=account, reason=reason)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (pb.Change(account=b"a"), "nothing that is to be done"),
        (pb.Change(lock=True), "the login is empty"),
        (pb.Change(account=LONGEST + b"x", lock=True), "more than 1024 bytes"),
        (pb.Change(account=b"a", lock=True, reason="r" * 501), "the reason has more than 500"),
        (pb.Change(account=b"a", lock=True, reason="a\x1bb"), "the reason has control characters"),
        (pb.Change(account=b"a", set_limit=0), "a limit is 1 to 1000000000, not 0"),
        (pb.Change(account=b"a", set_limit=-5), "not -5"),
        (pb.Change(account=b"a", set_limit=10**9 + 1), "not 1000000001"),
        (pb.Change(account=b"a", lock=True, until_unix_ms=NOW), "lies in the past"),
        (pb.Change(account=b"a", lock=True, until_unix_ms=-1), "lies in the past"),
        (pb.Change(account=b"a", lock=True, until_unix_ms=2**62), "beyond the year 9999"),
        (pb.Change(account=b"a", permit=pb.Countries()), "no country is named"),
        (pb.Change(account=b"a", permit=pb.Countries(codes=["FR", "fr"])), "'fr' is no country code"),
        (pb.Change(account=b"a", permit=pb.Countries(codes=["F,"])), "is no country code"),
        (pb.Change(account=b"a", permit=pb.Countries(codes=["ÄÖ"])), "is no country code"),
        (pb.Change(account=b"a", permit=pb.Countries(codes=["FR"] * 251)), "more than 250 countries"),
        (pb.Change(account=b"a", reset="Europe/Bonn"), "no time zone"),
        (pb.Change(account=b"a", reset=""), "no time zone"),
    ],
)
def test_what_is_wrong_is_said(message: pb.Change, said: str) -> None:
    """In one line."""
    with pytest.raises(ValueError, match=said) as caught:
        read_change(message, NOW)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("most", [0, -1, 11])
def test_how_much_may_be_asked_for_is_bounded(most: int) -> None:
    """And nothing is silently cut."""
    assert read_most(10, 10) == 10
    with pytest.raises(ValueError, match="1 to 10 may be asked for"):
        read_most(most, 10)


@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [
        (Kind.LIMIT, "500", pb.Override(maximum=500)),
        (Kind.COUNTRY, "FR,IT", pb.Override(countries=pb.Countries(codes=["FR", "IT"]))),
        (Kind.LOCK, "", pb.Override(lock=True)),
    ],
)
def test_an_override_is_told_whole(kind: Kind, value: str, what: pb.Override) -> None:
    """What is set, until when, by whom and why."""
    what.MergeFrom(pb.Override(account=b"a", until_unix_ms=3, reason="why", who="root@mail", set_unix_ms=2))

    assert override_message(Override(b"a", kind, value, 3, "why", "root@mail", 2)) == what


def test_a_limit_is_told_only_where_there_is_one() -> None:
    """A refusal by country has none."""
    country = blocked_message(RefusedAccount(b"a", "country", "US", 1, 2, None, None, "id"))
    quota = blocked_message(RefusedAccount(b"a", "quota", "DE", 1, 2, 12, 10, "id"))

    assert country == pb.BlockedAccount(
        account=b"a",
        rule="country",
        country="US",
        since_unix_ms=1,
        until_unix_ms=2,
        last_decision_id="id",
    )
    assert (quota.has_limit, quota.used, quota.maximum) == (True, 12, 10)


def test_a_refusal_is_told_whole() -> None:
    """Enforced or not, with a limit or without."""
    record = RefusalRecord(
        "id", 1, b"a", b"A", "quota", True, "DE", b"8.8.8.8", b"s", b"r", 2, 9, 10, 3, "5e77", "text"
    )
    assert refusal_message(record) == pb.RefusalRecord(
        decision_id="id",
        at_unix_ms=1,
        account=b"a",
        login=b"A",
        rule="quota",
        mode=quota_pb2.MODE_ENFORCE,
        country="DE",
        address=b"8.8.8.8",
        sender=b"s",
        recipient=b"r",
        recipient_count=2,
        has_limit=True,
        used=9,
        maximum=10,
        resets_unix_ms=3,
        settings="5e77",
        detail="text",
    )
    without = refusal_message(record._replace(enforced=False, used=None, maximum=None, resets_unix_ms=None))
    assert (without.has_limit, without.mode, without.maximum) == (False, quota_pb2.MODE_OBSERVE, 0)


def test_counters_are_told_whole() -> None:
    """A rule without a limit has no unit."""
    assert day_message(DayUsage(739943, "quota", 1, 5, 2)) == pb.DayUsage(
        day="2026-11-23", name="quota", unit=quota_pb2.UNIT_RECIPIENTS, used=5, refused=2
    )
    assert day_message(DayUsage(739943, "country", 0, 0, 2)).unit == quota_pb2.UNIT_UNSPECIFIED
    assert top_message(TopAccount(b"a", "quota", 2, 5, 2, 9)) == pb.TopAccount(
        account=b"a", name="quota", unit=quota_pb2.UNIT_MESSAGES, used=5, refused=2, maximum=9
    )


def test_a_reply_holds_what_fits() -> None:
    """Names may be long, and a message has a bound."""
    long = [pb.TopAccount(account=b"x" * 65536) for _ in range(100)]
    fitting = that_fit(long)

    assert 0 < len(fitting) < 100
    assert pb.TopReply(accounts=fitting).ByteSize() <= MAX_REPLY_BYTES
    assert that_fit(long[:3]) == long[:3]
