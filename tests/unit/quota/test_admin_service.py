"""The gRPC face of quota for an admin, with a real store and its writer behind it."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos import quota_admin_pb2 as pb
from quota import admin_service as module
from quota.admin_service import About, AdminService
from quota.admin_token import AUDITED_TRIES, WRONG_TRIES, TokenGuard
from quota.domain import ChargeResult, Outcome
from quota.reads import Reads, shed_reads
from quota.store.admin_reader import SqliteAdminReader
from quota.store.interface import StoreError
from quota.store.reader import SqliteReader
from quota.store.sqlite import SqliteStore
from quota.writer import Writer
from tests.support.charges import BERLIN, HOUR, NOON, charge, refusal
from tests.support.observed import Observed

TOKEN = "the-right-and-long-token"
ABOUT = About("1.2", 3, "5e77", "", True, ("threshold = 7",))
LOCK = pb.Change(account=b"alice", lock=True, reason="phished")


class EndedError(Exception):
    """What `abort` raises."""


class Context:
    """One call. Args: token: in its metadata."""

    def __init__(self, token: str | None = TOKEN) -> None:
        self.token = token
        self.code: grpc.StatusCode | None = None
        self.details = ""

    def invocation_metadata(self) -> Iterable[tuple[str, str]]:
        return [("user-agent", "x")] + ([] if self.token is None else [("mtpolicyd-token", self.token)])

    def peer(self) -> str:
        return "ipv4:127.0.0.1:4711"

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.code, self.details = code, details
        raise EndedError


class Case:
    def __init__(self, service: AdminService, store: SqliteStore, seen: Observed) -> None:
        self.service = service
        self.store = store
        self.seen = seen

    async def change(self, *messages: pb.Changes, token: str | None = TOKEN) -> pb.ChangeReply:
        return await self.service.Change(each(messages), Context(token))

    async def refused(self, *messages: pb.Changes, token: str | None = TOKEN) -> tuple[grpc.StatusCode, str]:
        """What a change was ended with."""
        context = Context(token)
        with pytest.raises(EndedError):
            await self.service.Change(each(messages), context)
        assert context.code is not None
        return context.code, context.details

    async def audit(self) -> list[str]:
        reply = await self.service.Audit(pb.AuditRequest(most=100), Context())
        return [entry.what for entry in reply.entries]

    def outcome(self) -> Outcome:
        (result,) = self.store.apply([charge(instance=b"")], NOON)
        assert isinstance(result, ChargeResult)
        return result.outcome


async def each(messages: Iterable[pb.Changes]) -> AsyncIterator[pb.Changes]:
    for message in messages:
        yield message


def changes(*some: pb.Change, who: str = "root@mail", replace: bool = False) -> pb.Changes:
    return pb.Changes(changes=some, who=who, replace=replace)


@pytest.fixture
async def case(seen: Observed, tmp_path: Path) -> AsyncIterator[Case]:
    (tmp_path / "token").write_text(TOKEN + "\n")
    path = tmp_path / "quota.sqlite3"
    store = SqliteStore(path)
    writer = Writer(
        store,
        log=seen.log.logger,
        metrics=seen.metrics,
        died=lambda reason: pytest.fail(reason),
        clock=lambda: NOON / 1000,
    )
    service = AdminService(
        writer,
        SqliteAdminReader(path),
        SqliteReader(path),
        Reads(2, shed_reads(seen.metrics)),
        TokenGuard(lambda: tmp_path / "token"),
        lambda: ABOUT,
        log=seen.log.logger,
        metrics=seen.metrics,
        clock=lambda: NOON / 1000,
    )
    yield Case(service, store, seen)
    await writer.close()


async def test_a_change_is_in_force_when_it_is_answered(case: Case) -> None:
    """And what was before is told; a second one has nothing to do."""
    limit = pb.Change(account=b"alice", set_limit=5, until_unix_ms=NOON + HOUR, reason="newsletter")
    first = await case.change(changes(limit), changes(LOCK))
    locked = case.outcome()
    again = await case.change(changes(LOCK, pb.Change(account=b"alice", clear_limit=True, reason="x")))

    assert (first.done, list(first.before)) == (2, [])
    assert locked is Outcome.LOCKED
    assert again.done == 1
    (before,) = again.before
    assert before == pb.Override(
        account=b"alice",
        maximum=5,
        until_unix_ms=NOON + HOUR,
        reason="newsletter",
        who="root@mail",
        set_unix_ms=NOON,
    )
    assert await case.audit() == ["limit-clear", "lock", "limit"]
    assert case.seen.sample("admin_changes_total") == 3


async def test_a_change_is_a_line_in_the_log(case: Case) -> None:
    """With who has changed, and how much; what of whom stands in the audit log alone."""
    await case.change(changes(LOCK, LOCK))

    assert case.seen.log.lines == [
        {"event": "changed_by_admin", "level": "notice", "who": "root@mail", "asked": 2, "done": 1}
    ]


async def test_all_changes_of_a_request_are_done_or_none(case: Case) -> None:
    """The one that is wrong is named by its number, over all messages."""
    wrong = pb.Change(account=b"bob", set_limit=-5)
    code, details = await case.refused(changes(LOCK, LOCK), changes(LOCK, wrong))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "change 4: a limit is 1 to 1000000000, not -5"
    assert case.outcome() is Outcome.CHARGED
    assert await case.audit() == []


@pytest.mark.parametrize(
    ("who", "said"),
    [("", "does not say who"), ("a\nb", "control characters"), ("x" * 201, "more than 200 characters")],
)
async def test_a_change_says_who_it_is(case: Case, who: str, said: str) -> None:
    """For the audit log."""
    code, details = await case.refused(changes(LOCK, who=who))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert said in details
    assert case.outcome() is Outcome.CHARGED


async def test_too_many_changes_are_refused(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are all read."""
    monkeypatch.setattr(module, "MAX_CHANGES", 3)
    code, details = await case.refused(changes(LOCK, LOCK), changes(LOCK, LOCK))

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "more than 3 changes" in details
    assert case.outcome() is Outcome.CHARGED


@pytest.mark.parametrize(("token", "said"), [(None, "missing"), ("", "missing"), ("wrong", "wrong")])
async def test_without_the_token_nothing_is_changed(case: Case, token: str | None, said: str) -> None:
    """It is counted, logged and written to the audit log, and appears in none of them."""
    code, details = await case.refused(changes(LOCK), token=token)
    reply = await case.service.Audit(pb.AuditRequest(most=9), Context())

    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert details == f"the token is {said}"
    assert case.outcome() is Outcome.CHARGED
    assert [(entry.what, entry.who) for entry in reply.entries] == [("token-refused", "ipv4:127.0.0.1:4711")]
    assert case.seen.sample("admin_tokens_refused_total") == 1
    assert case.seen.log.events == ["admin_token_refused"]
    assert not any(TOKEN in str(line) for line in case.seen.log.lines)


async def test_a_flood_of_wrong_tokens_fills_nothing(case: Case) -> None:
    """Neither the audit log nor quota's own; and the right one passes meanwhile."""
    codes = [(await case.refused(changes(LOCK), token="x"))[0] for _ in range(WRONG_TRIES + 30)]
    audited, logged = await case.audit(), case.seen.log.events

    assert codes[:WRONG_TRIES] == [grpc.StatusCode.UNAUTHENTICATED] * WRONG_TRIES
    assert {*codes[WRONG_TRIES:]} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(audited) == AUDITED_TRIES
    assert logged == ["admin_token_refused"] * WRONG_TRIES
    assert case.seen.sample("admin_tokens_refused_total") == WRONG_TRIES + 30
    assert (await case.change(changes(LOCK))).done == 1


async def test_without_a_token_of_its_own_quota_changes_nothing(case: Case, tmp_path: Path) -> None:
    """It says so."""
    (tmp_path / "token").unlink()
    code, details = await case.refused(changes(LOCK), token="")

    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "quota has no token" in details
    assert case.seen.log.events == ["no_admin_token"]
    assert case.seen.sample("admin_tokens_refused_total") == 1


async def test_a_wrong_token_is_refused_though_it_cannot_be_audited(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says so."""

    def full(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(case.store, "note", full)
    code, _ = await case.refused(changes(LOCK), token="wrong")

    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert "audit_failed" in case.seen.log.events


async def test_reading_needs_no_token(case: Case) -> None:
    """Each call answers what the readers read."""
    over = charge(
        recipient=b"x", login=b"Alice", limits=(charge().limits[0]._replace(maximum=1),), decision_id="over"
    )
    case.store.apply([charge(login=b"Alice"), over, refusal(decision_id="abroad")], NOON)
    await case.change(changes(LOCK))
    context, service = Context(None), case.service
    status = await service.Status(pb.QuotaStatusRequest(), context)
    blocked = await service.Blocked(pb.BlockedRequest(most=1), context)
    usage = await service.Usage(pb.UsageRequest(account=b"alice", time_zone=BERLIN, days=7), context)
    top = await service.Top(pb.TopRequest(time_zone=BERLIN, most=5), context)
    record = await service.Explain(pb.ExplainRequest(decision_id="over"), context)
    listed = await service.ListOverrides(pb.ListOverridesRequest(most=5), context)
    one = await service.ListOverrides(pb.ListOverridesRequest(account=b"alice"), context)
    parts = [part async for part in service.ExportAccount(pb.ExportAccountRequest(account=b"alice"), context)]

    assert (status.version, status.locks, status.store_up) == ("1.2", 1, True)
    assert list(status.setting_lines) == ["threshold = 7"]
    assert (len(blocked.accounts), blocked.total) == (1, 2)
    assert (usage.login, usage.days[0].used, len(usage.overrides)) == (b"Alice", 1, 1)
    assert {(origin.country, origin.rule) for origin in usage.origins} == {
        ("DE", ""),
        ("DE", "quota"),
        ("US", "country"),
    }
    assert (top.accounts[0].account, top.total_used) == (b"alice", 1)
    assert (record.rule, record.maximum) == ("quota", 1)
    assert list(listed.overrides) == list(one.overrides)
    assert listed.next == b""
    assert {part.table for part in parts} >= {"account", "counter", "origin", "refusal_log", "override"}


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("Blocked", pb.BlockedRequest()),
        ("Usage", pb.UsageRequest(time_zone=BERLIN, days=7)),
        ("Usage", pb.UsageRequest(account=b"a", time_zone="Europe/Bonn", days=7)),
        ("Usage", pb.UsageRequest(account=b"a", time_zone=BERLIN, days=32)),
        ("Top", pb.TopRequest(time_zone=BERLIN, most=1001)),
        ("ListOverrides", pb.ListOverridesRequest(most=0)),
        ("Audit", pb.AuditRequest(most=5001)),
    ],
)
async def test_a_question_that_is_wrong_is_told_so(case: Case, call: str, request_: Any) -> None:
    """INVALID_ARGUMENT."""
    context = Context()
    with pytest.raises(EndedError):
        await getattr(case.service, call)(request_, context)

    assert context.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_not_kept_is_not_found(case: Case) -> None:
    """NOT_FOUND."""
    context = Context()
    with pytest.raises(EndedError):
        await case.service.Explain(pb.ExplainRequest(decision_id="x"), context)

    assert context.code is grpc.StatusCode.NOT_FOUND


async def test_a_store_that_cannot_be_read_is_unavailable(case: Case, tmp_path: Path) -> None:
    """UNAVAILABLE."""
    context = Context()
    case.service._reader = SqliteAdminReader(tmp_path / "missing")
    with pytest.raises(EndedError):
        await case.service.Status(pb.QuotaStatusRequest(), context)

    assert context.code is grpc.StatusCode.UNAVAILABLE


async def test_an_export_goes_through_however_odd_a_name_is(case: Case) -> None:
    """Each part is one message, and nothing in it is a control sequence of a terminal."""
    name = ("\x9b" * 512).encode()
    odd = [pb.Change(account=name, set_limit=number, reason="\U0001f600" * 500) for number in range(1, 601)]
    await case.change(changes(*odd[:300]), changes(*odd[300:]))
    request = pb.ExportAccountRequest(account=name)
    parts = [part async for part in case.service.ExportAccount(request, Context())]

    assert sum(len(part.rows) for part in parts if part.table == "audit") == 600
    assert max(part.ByteSize() for part in parts) < 4 * 1024 * 1024
    assert all(row.isascii() and row.isprintable() for part in parts for row in part.rows)


async def test_a_page_holds_what_a_message_can(case: Case) -> None:
    """Accounts whole, none twice and none left out."""
    names = [b"%04d" % number + b"x" * 1000 for number in range(1200)]
    more = [
        pb.Change(account=name, reason="ä" * 500, **what)
        for name in names
        for what in ({"lock": True}, {"set_limit": 5})
    ]
    await case.change(*(changes(*more[start : start + 500]) for start in range(0, len(more), 500)))
    found: list[bytes] = []
    after, pages = b"", 0
    while pages == 0 or after:
        page = await case.service.ListOverrides(pb.ListOverridesRequest(after=after, most=5000), Context())
        assert page.ByteSize() < 4 * 1024 * 1024
        found += [override.account for override in page.overrides]
        after, pages = page.next, pages + 1

    assert pages > 1
    assert found == [name for name in names for _ in range(2)]
