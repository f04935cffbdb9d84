"""The overrides in force, page by page, and what a command says of those that it has changed."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar
from zoneinfo import ZoneInfo

import grpc.aio

from admin.look.words import LOCK, override_object, shown_value, what_of
from admin.talk.names import plain
from admin.talk.output import print_json, print_line, print_table
from admin.talk.services import CALL_SECONDS, decision_settings, run
from admin.talk.times import minute
from chassis.printable import as_text
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub

PAGE = 5000
T = TypeVar("T")


def fetch_pages(convert: Callable[[Sequence[pb.Override]], T], account: bytes = b"") -> list[T]:
    """All that are in force, by account, or those of one account; what `convert` makes of each page.

    There may be a million. Raises EndError: then there is not half of an answer.
    """

    async def ask(channel: grpc.aio.Channel) -> list[T]:
        return [convert(page) async for page in _pages(channel, account)]

    return run("quota", decision_settings().quota_target, ask)


def fetch(kind: str = "") -> list[pb.Override]:
    """Those of one kind of admin.look.words, or all. Raises EndError."""
    pages = fetch_pages(lambda page: [one for one in page if not kind or what_of(one) == kind])
    return [override for page in pages for override in page]


async def _pages(channel: grpc.aio.Channel, account: bytes) -> AsyncIterator[Sequence[pb.Override]]:
    after = b""
    while True:
        request = pb.ListOverridesRequest(after=after, most=PAGE, account=account)
        reply = await QuotaAdminStub(channel).ListOverrides(request, timeout=CALL_SECONDS)
        yield reply.overrides
        if not reply.next:
            return
        after = reply.next


def print_overrides(kind: str, *, as_json: bool) -> None:
    """The answer of `limit list`, `country list` and `locked`. Raises EndError."""
    zone = ZoneInfo(decision_settings().time_zone_name)
    found = fetch(kind)
    if as_json:
        print_json([override_object(override, zone) for override in found])
    elif found:
        valued = kind != LOCK
        print_table(
            ("user", *([kind] if valued else ()), "until", "reason", "who", "set"),
            [
                [
                    as_text(override.account),
                    *([shown_value(override)] if valued else ()),
                    minute(override.until_unix_ms, zone),
                    plain(override.reason) or "-",
                    plain(override.who),
                    minute(override.set_unix_ms, zone),
                ]
                for override in found
            ],
        )
    else:
        print_line("nobody is locked" if kind == LOCK else f"no {kind} is set")
