"""`mtpolicyctl blocked`: who is refused now, as the dashboard lists it."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import grpc.aio
import typer

from admin.look.words import country
from admin.talk.exits import command
from admin.talk.names import plain
from admin.talk.options import JsonOption
from admin.talk.output import print_json, print_line, print_table
from admin.talk.services import CALL_SECONDS, decision_settings, run
from admin.talk.times import iso, minute
from chassis.printable import as_text
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub

HEADINGS = ("user", "rule", "country", "since", "until", "used", "last id")


@command
def blocked(
    most: Annotated[int, typer.Option(min=1, max=1000, help="How many accounts are listed at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show who is refused now, by which rule, since when and until when; the last refused first.

    Exit code 0: a list, perhaps an empty one; 2: a wrong option or setting; 3: quota does not answer.
    """
    settings = decision_settings()
    zone = ZoneInfo(settings.time_zone_name)

    async def ask(channel: grpc.aio.Channel) -> pb.BlockedReply:
        return await QuotaAdminStub(channel).Blocked(pb.BlockedRequest(most=most), timeout=CALL_SECONDS)

    reply = run("quota", settings.quota_target, ask)
    if as_json:
        print_json({"total": reply.total, "accounts": [as_object(one, zone) for one in reply.accounts]})
        return
    if not reply.accounts:
        print_line("nobody is refused now")
        return
    print_table(HEADINGS, [_row(one, zone) for one in reply.accounts], numbers=["used"])
    if reply.total > len(reply.accounts):
        print_line(f"{len(reply.accounts)} of {reply.total}; --most lists more")


def as_object(one: pb.BlockedAccount, zone: ZoneInfo) -> dict[str, Any]:
    """For JSON."""
    return {
        "account": as_text(one.account),
        "rule": one.rule,
        "country": one.country or None,
        "since": iso(one.since_unix_ms, zone),
        "until": iso(one.until_unix_ms, zone),
        "used": one.used if one.has_limit else None,
        "limit": one.maximum if one.has_limit else None,
        "last_id": one.last_decision_id or None,
    }


def _row(one: pb.BlockedAccount, zone: ZoneInfo) -> list[str]:
    return [
        as_text(one.account),
        plain(one.rule),
        country(one.country),
        minute(one.since_unix_ms, zone),
        minute(one.until_unix_ms, zone),
        f"{one.used} of {one.maximum}" if one.has_limit else "-",
        plain(one.last_decision_id) or "-",
    ]
