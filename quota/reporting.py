"""The report as gRPC asks for it: moments to calendar days, and plain values to messages."""

import time
from collections.abc import Callable
from datetime import date

from protos import quota_pb2 as pb
from quota.domain import AccountReport, CountryCount, Origin, Report
from quota.periods import day_of
from quota.reads import Reads
from quota.store.interface import KEEP_DAYS, Reader

# A message has at most 4 MiB (chassis/grpc_server.py), and a login may be long.
MAX_ACCOUNT_BYTES = 3 * 1024 * 1024
_DAY_MS = 24 * 3600 * 1000


class Reporter:
    """Answers requests.

    Args:
        clock: the wall clock, in seconds since the epoch.
    """

    def __init__(self, reader: Reader, reads: Reads, clock: Callable[[], float] = time.time) -> None:
        self._reader = reader
        self._reads = reads
        self._clock = clock

    async def answer(self, request: pb.ReportRequest) -> pb.ReportReply:
        """Raises ValueError for an unknown time zone; StoreError, TooManyReadsError."""
        now_ms = round(self._clock() * 1000)
        today = day_of(now_ms, request.time_zone)
        since_ms = min(max(request.since_unix_ms, now_ms - KEEP_DAYS * _DAY_MS), now_ms)
        first_day = day_of(since_ms, request.time_zone)
        return await self._reads.do(self._read, first_day, today, request.account or None)

    def _read(self, first_day: int, today: int, account: bytes | None) -> pb.ReportReply:
        # A charge of another time zone may already be counted to tomorrow.
        report = self._reader.report(first_day, today + 1, account)
        return reply_message(report, first_day, today)


def reply_message(report: Report, first_day: int, last_day: int) -> pb.ReportReply:
    """The message; of so many accounts as it can hold."""
    reply = pb.ReportReply(
        first_day=_iso(first_day),
        last_day=_iso(last_day),
        recorded_since="" if report.recorded_since is None else _iso(report.recorded_since),
        countries=[_country(country) for country in report.countries],
        truncated=report.truncated,
    )
    room = MAX_ACCOUNT_BYTES
    for account in report.accounts:
        message = _account(account)
        room -= message.ByteSize()
        if room < 0:
            reply.truncated = True
            break
        reply.accounts.append(message)
    return reply


def _account(account: AccountReport) -> pb.AccountReport:
    return pb.AccountReport(
        account=account.account,
        login=account.login,
        refusals=[
            pb.Refusals(
                rule=refusals.rule,
                mode=_mode(refusals.rule, refusals.enforced),
                count=refusals.total,
                first_unix_ms=refusals.first_unix_ms,
                last_unix_ms=refusals.last_unix_ms,
            )
            for refusals in account.refusals
        ],
        origins=[origin_message(origin) for origin in account.origins],
    )


def origin_message(origin: Origin) -> pb.Origin:
    """The message."""
    return pb.Origin(
        country=origin.country,
        address=origin.address,
        rule=origin.rule,
        mode=_mode(origin.rule, origin.enforced),
        count=origin.total,
        first_day=_iso(origin.first_day),
        last_day=_iso(origin.last_day),
    )


def _country(country: CountryCount) -> pb.CountryCount:
    return pb.CountryCount(
        country=country.country,
        rule=country.rule,
        mode=_mode(country.rule, country.enforced),
        count=country.total,
    )


def _mode(rule: str, enforced: bool) -> "pb.Mode.ValueType":
    if not rule:
        return pb.MODE_UNSPECIFIED
    return pb.MODE_ENFORCE if enforced else pb.MODE_OBSERVE


def _iso(day: int) -> str:
    return date.fromordinal(day).isoformat()
