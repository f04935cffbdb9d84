"""The report as gRPC asks for it."""

import asyncio
import threading
from typing import Any

import pytest

from protos import quota_pb2 as pb
from quota import reporting as module
from quota.domain import AccountReport, CountryCount, Origin, Refusals, Report
from quota.periods import day_of
from quota.reads import Reads, shed_reads
from quota.reporting import Reporter
from quota.store.interface import KEEP_DAYS, StoreError
from tests.support.charges import BERLIN, HOUR, NOON, berlin
from tests.support.observed import Observed
from tests.support.stores import FakeReader

DAY = day_of(NOON, BERLIN)
REPORT = Report(
    DAY - 3,
    (
        AccountReport(
            b"alice\xff",
            b"Alice",
            (Refusals("country", True, 3, 5, 7),),
            (
                Origin("DE", b"84.128.0.1", "", False, 9, DAY - 3, DAY),
                Origin("US", b"", "country", True, 3, DAY, DAY),
                Origin("US", b"8.8.8.8", "quota", False, 1, DAY, DAY),
            ),
        ),
    ),
    (CountryCount("DE", "", False, 9), CountryCount("US", "country", True, 3)),
    True,
)


def one_at_a_time() -> Reads:
    return Reads(1, shed_reads(Observed().metrics))


async def ask(
    reader: FakeReader, *, since: int = NOON, zone: str = BERLIN, account: bytes = b""
) -> pb.ReportReply:
    request = pb.ReportRequest(since_unix_ms=since, time_zone=zone, account=account)
    return await Reporter(reader, one_at_a_time(), clock=lambda: NOON / 1000).answer(request)


async def test_every_field_of_the_report_is_answered() -> None:
    """Days as ISO 8601, modes as those of a charge."""
    today: dict[str, Any] = {"first_day": "2026-11-23", "last_day": "2026-11-23"}
    refusals = pb.Refusals(rule="country", mode=pb.MODE_ENFORCE, count=3, first_unix_ms=5, last_unix_ms=7)
    origins = [
        pb.Origin(
            country="DE", address=b"84.128.0.1", count=9, first_day="2026-11-20", last_day="2026-11-23"
        ),
        pb.Origin(country="US", rule="country", mode=pb.MODE_ENFORCE, count=3, **today),
        pb.Origin(country="US", address=b"8.8.8.8", rule="quota", mode=pb.MODE_OBSERVE, count=1, **today),
    ]

    assert await ask(FakeReader(REPORT), since=NOON - 7 * 24 * HOUR) == pb.ReportReply(
        first_day="2026-11-16",
        last_day="2026-11-23",
        recorded_since="2026-11-20",
        accounts=[
            pb.AccountReport(account=b"alice\xff", login=b"Alice", refusals=[refusals], origins=origins)
        ],
        countries=[
            pb.CountryCount(country="DE", count=9),
            pb.CountryCount(country="US", rule="country", mode=pb.MODE_ENFORCE, count=3),
        ],
        truncated=True,
    )


async def test_without_a_count_there_is_no_first_day_of_one() -> None:
    """The days are said all the same."""
    assert await ask(FakeReader()) == pb.ReportReply(first_day="2026-11-23", last_day="2026-11-23")


@pytest.mark.parametrize(
    ("since", "zone", "first"),
    [
        (NOON, BERLIN, DAY),
        (berlin("2026-11-23 00:00"), BERLIN, DAY),
        (berlin("2026-11-23 00:00") - 1, BERLIN, DAY - 1),
        (berlin("2026-11-23 00:30"), "UTC", DAY - 1),
        (NOON + 400 * 24 * HOUR, BERLIN, DAY),
        (0, BERLIN, DAY - KEEP_DAYS),
        (-(2**63), BERLIN, DAY - KEEP_DAYS),
        (2**63 - 1, BERLIN, DAY),
    ],
)
async def test_it_begins_with_the_calendar_day_of_the_moment(since: int, zone: str, first: int) -> None:
    """In the zone that was asked for, not before what is kept, and to tomorrow, where another zone may be."""
    reader = FakeReader()
    await ask(reader, since=since, zone=zone)

    assert reader.asked == [(first, DAY + 1, None)]


async def test_one_account_may_be_asked_for() -> None:
    """By its normalised name."""
    reader = FakeReader()
    await ask(reader, account=b"alice")

    assert reader.asked[0][2] == b"alice"


@pytest.mark.parametrize("zone", ["", "Europe/Bonn", "Europe"])
async def test_an_unknown_time_zone_is_an_error(zone: str) -> None:
    """The store is not asked."""
    reader = FakeReader()
    with pytest.raises(ValueError, match="no time zone"):
        await ask(reader, zone=zone)
    assert reader.asked == []


async def test_what_the_store_raises_is_raised() -> None:
    """And the next request is answered."""
    reader = FakeReader(StoreError("interrupted"))
    reporter = Reporter(reader, one_at_a_time())
    with pytest.raises(StoreError):
        await reporter.answer(pb.ReportRequest(time_zone=BERLIN))
    reader.answer = REPORT

    assert (await reporter.answer(pb.ReportRequest(time_zone=BERLIN))).truncated


async def test_the_event_loop_does_not_wait_and_reports_come_one_by_one() -> None:
    """However many ask at a time."""
    reader = FakeReader()
    reporter = Reporter(reader, one_at_a_time())
    request = pb.ReportRequest(time_zone=BERLIN)
    await asyncio.gather(*(reporter.answer(request) for _ in range(5)))

    assert (len(reader.asked), reader.most_inside) == (5, 1)
    assert threading.current_thread().name not in reader.threads


async def test_a_reply_has_as_many_accounts_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins may be long; what is left out is said."""
    accounts = tuple(AccountReport(b"%d" % number * 1000, b"", (), ()) for number in range(5))
    monkeypatch.setattr(module, "MAX_ACCOUNT_BYTES", 3100)
    reply = await ask(FakeReader(Report(DAY, accounts, (), False)))

    assert [account.account[:1] for account in reply.accounts] == [b"0", b"1", b"2"]
    assert reply.truncated
