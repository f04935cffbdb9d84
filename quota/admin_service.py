"""The gRPC face of quota for an admin: reads beside the writer, and changes through it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc

from chassis.logs import Logger
from chassis.metrics import Metrics
from chassis.printable import printable
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminServicer
from quota.admin_messages import (
    MAX_WHO,
    blocked_message,
    day_message,
    entry_message,
    override_message,
    read_change,
    read_most,
    read_text,
    refusal_message,
    that_fit,
    top_message,
)
from quota.admin_token import (
    AUDITED_TRIES,
    MIN_TOKEN_BYTES,
    SECONDS_AN_ENTRY,
    TOKEN_METADATA,
    Bucket,
    TokenGuard,
    Try,
)
from quota.overrides import AuditEntry, Change, Request
from quota.periods import day_of
from quota.reads import Reads, TooManyReadsError
from quota.reporting import origin_message
from quota.store.interface import (
    KEEP_DAYS,
    MAX_CHANGES,
    AdminReader,
    Reader,
    Store,
    StoreError,
    TooManyChangesError,
)
from quota.writer import TooManyActsError, Writer

CHANGE_SECONDS = 30.0  # a client that sends its changes so slowly is not waited for
MAX_LISTED = 5000
MAX_ACCOUNTS = 1000
_NO_TOKEN = f"quota has no token of at least {MIN_TOKEN_BYTES} bytes to compare with: see admin_token_file"

_CODES: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (TooManyChangesError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooManyActsError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooManyReadsError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (StoreError, grpc.StatusCode.UNAVAILABLE),
    (ValueError, grpc.StatusCode.INVALID_ARGUMENT),
    (TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED),
)


class About(NamedTuple):
    """What quota tells of itself."""

    version: str
    started_unix_ms: int
    settings: str
    settings_error: str
    store_up: bool
    setting_lines: tuple[str, ...]


class AdminService(QuotaAdminServicer):
    """See protos/quota_admin.proto.

    Args:
        about: asked at each `Status`.
        clock: the wall clock, in seconds since the epoch.
    """

    def __init__(
        self,
        writer: Writer,
        reader: AdminReader,
        reports: Reader,
        reads: Reads,
        guard: TokenGuard,
        about: Callable[[], About],
        *,
        log: Logger,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._reports = reports
        self._guard = guard
        self._about = about
        self._log = log
        self._clock = clock
        self._read = reads.do
        self._entries = Bucket(AUDITED_TRIES, SECONDS_AN_ENTRY)
        self._unaudited = 0
        self._wrong = metrics.counter("admin_tokens_refused_total", "Changes without the right token.")
        self._changes = metrics.counter("admin_changes_total", "Changes by admins that were done.")

    @property
    def _now_ms(self) -> int:
        return round(self._clock() * 1000)

    async def Status(self, request: pb.QuotaStatusRequest, context: Any) -> pb.QuotaStatus:
        async with _told(context):
            store = await self._read(self._reader.status, self._now_ms)
        about = self._about()
        return pb.QuotaStatus(
            version=about.version,
            started_unix_ms=about.started_unix_ms,
            settings=about.settings,
            settings_error=about.settings_error,
            store=store.path,
            store_bytes=store.size_bytes,
            store_up=about.store_up,
            accounts=store.accounts,
            limits=store.limits,
            permits=store.permits,
            locks=store.locks,
            notifications_waiting=store.notifications_waiting,
            setting_lines=about.setting_lines,
        )

    async def Blocked(self, request: pb.BlockedRequest, context: Any) -> pb.BlockedReply:
        async with _told(context):
            most = read_most(request.most, MAX_ACCOUNTS)
            refused = await self._read(self._reports.refused_now, self._now_ms, most)
        return pb.BlockedReply(
            accounts=that_fit(map(blocked_message, refused.accounts)), total=sum(refused.counts.values())
        )

    async def Usage(self, request: pb.UsageRequest, context: Any) -> pb.UsageReply:
        account, now_ms = request.account, self._now_ms
        async with _told(context):
            if not account:
                raise ValueError("the login is empty")
            days = read_most(request.days, KEEP_DAYS)
            today = day_of(now_ms, request.time_zone)
            usage = await self._read(self._reader.usage, account, today - days + 1, today, now_ms)
            report = await self._read(self._reports.report, today, today, account)
        return pb.UsageReply(
            account=account,
            login=usage.login,
            days=map(day_message, usage.days),
            origins=[origin_message(origin) for of in report.accounts for origin in of.origins[:200]],
            overrides=map(override_message, usage.overrides),
        )

    async def Top(self, request: pb.TopRequest, context: Any) -> pb.TopReply:
        now_ms = self._now_ms
        async with _told(context):
            most = read_most(request.most, MAX_ACCOUNTS)
            today = day_of(now_ms, request.time_zone)
            top = await self._read(self._reader.top, today, most, now_ms)
        return pb.TopReply(accounts=that_fit(map(top_message, top.accounts)), total_used=top.total_used)

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.RefusalRecord:
        async with _told(context):
            record = await self._read(self._reader.explain, request.decision_id)
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "nothing is kept of this refusal, or no longer")
            raise AssertionError("abort raises")
        return refusal_message(record)

    async def ListOverrides(self, request: pb.ListOverridesRequest, context: Any) -> pb.ListOverridesReply:
        async with _told(context):
            if request.account:
                found = await self._read(self._reader.overrides_of, request.account, self._now_ms)
                return pb.ListOverridesReply(overrides=map(override_message, found))
            most = read_most(request.most, MAX_LISTED)
            page = await self._read(self._reader.overrides, request.after, most, self._now_ms)
        fitting = that_fit(map(override_message, page.overrides))
        if len(fitting) == len(page.overrides):
            return pb.ListOverridesReply(overrides=fitting, next=page.next)
        # The account that does not fit, or only in part, begins the next page.
        beyond = page.overrides[len(fitting)].account
        whole = [override for override in fitting if override.account != beyond]
        return pb.ListOverridesReply(overrides=whole, next=whole[-1].account)

    async def Audit(self, request: pb.AuditRequest, context: Any) -> pb.AuditReply:
        async with _told(context):
            most = read_most(request.most, MAX_LISTED)
            entries = await self._read(self._reader.audit, most, request.account or None)
        return pb.AuditReply(entries=that_fit(map(entry_message, entries)))

    async def ExportAccount(
        self, request: pb.ExportAccountRequest, context: Any
    ) -> AsyncIterator[pb.ExportPart]:
        async with _told(context):
            if not request.account:
                raise ValueError("the login is empty")
            parts = await self._read(self._reader.export, request.account)
        for part in parts:
            yield pb.ExportPart(table=part.table, rows=part.rows)

    async def Change(self, request_iterator: Any, context: Any) -> pb.ChangeReply:
        await self._authenticate(context)
        async with _told(context):
            async with asyncio.timeout(CHANGE_SECONDS):
                request = await self._request(request_iterator)
            changed = await self._writer.do(lambda store, now_ms: store.change(request, now_ms))
        self._changes.inc(changed.done)
        self._log.notice("changed_by_admin", who=request.who, asked=len(request.changes), done=changed.done)
        return pb.ChangeReply(done=changed.done, before=map(override_message, changed.before))

    async def _request(self, messages: Any) -> Request:
        """Raises ValueError, TooManyChangesError."""
        changes: list[Change] = []
        who, replace = None, False
        async for message in messages:
            if who is None:
                who, replace = read_text(message.who, "who it is", MAX_WHO), message.replace
            if len(changes) + len(message.changes) > MAX_CHANGES:
                raise TooManyChangesError(f"more than {MAX_CHANGES} changes in one request")
            # Beside the event loop, which answers charges meanwhile.
            changes += await asyncio.to_thread(_read_changes, message, len(changes), self._now_ms)
        if not who:
            raise ValueError("it does not say who it is")
        return Request(changes, who, replace)

    async def _authenticate(self, context: Any) -> None:
        """Aborts the call without the right token."""
        metadata = dict(context.invocation_metadata() or ())
        token = metadata.get(TOKEN_METADATA, "")
        tried = self._guard.check(token.encode() if isinstance(token, str) else token)
        if tried is Try.RIGHT:
            return
        self._wrong.inc()
        if tried is Try.NO_TOKEN:
            self._log.error("no_admin_token", reason=_NO_TOKEN)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, _NO_TOKEN)
        peer = printable(str(context.peer()).encode())
        if tried is Try.WRONG:  # what comes beyond the bound is counted alone: a flood fills no log
            self._log.warning("admin_token_refused", peer=peer)
        await self._audit_try(peer)
        if tried is Try.TOO_MANY:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "too many wrong tokens: try again in a minute"
            )
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED, "the token is missing" if not token else "the token is wrong"
        )

    async def _audit_try(self, peer: str) -> None:
        """Write it to the audit log, at a rate that no flood fills the disk with."""
        if not self._entries.take():
            self._unaudited += 1
            return
        more, self._unaudited = self._unaudited, 0
        value = f"and {more} more since the last entry" if more else ""
        entry = AuditEntry(self._now_ms, peer, "token-refused", value=value)
        try:
            await self._writer.do(lambda store, _: _note(store, entry))
        except (StoreError, TooManyActsError) as error:
            self._log.error("audit_failed", reason=error)


def _note(store: Store, entry: AuditEntry) -> None:
    store.note(entry)


def _read_changes(message: pb.Changes, before: int, now_unix_ms: int) -> list[Change]:
    changes = []
    for number, change in enumerate(message.changes, before + 1):
        try:
            changes.append(read_change(change, now_unix_ms))
        except ValueError as error:
            raise ValueError(f"change {number}: {error}") from error
    return changes


@asynccontextmanager
async def _told(context: Any) -> AsyncIterator[None]:
    """Ends the call with the status code of what went wrong inside."""
    try:
        yield
    except tuple(kind for kind, _ in _CODES) as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        details = str(error) or "too much waits, or takes too long"
        await context.abort(code, details)
