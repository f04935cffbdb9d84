"""`mtpolicyctl audit`: who has set what, when and why, and whose token was wrong."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import grpc.aio
import typer

from admin.talk.exits import command
from admin.talk.names import plain
from admin.talk.options import JsonOption, read_user
from admin.talk.output import print_json, print_line, print_table
from admin.talk.services import CALL_SECONDS, decision_settings, run
from admin.talk.times import iso, minute, second
from chassis.printable import as_text
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub

HEADINGS = ("at", "who", "what", "user", "value", "until", "reason")


@command
def audit(
    user: Annotated[
        str | None, typer.Option(metavar="USER", help="About this login alone.", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=5000, help="How many entries are listed at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show who has changed what, when and why, and who had no right to; the newest first.

    Exit code 0: a list, perhaps an empty one; 2: wrong input; 3: quota does not answer.
    """
    request = pb.AuditRequest(most=most, account=b"" if user is None else read_user(user))
    settings = decision_settings()
    zone = ZoneInfo(settings.time_zone_name)

    async def ask(channel: grpc.aio.Channel) -> pb.AuditReply:
        return await QuotaAdminStub(channel).Audit(request, timeout=CALL_SECONDS)

    reply = run("quota", settings.quota_target, ask)
    if as_json:
        print_json([as_object(entry, zone) for entry in reply.entries])
    elif reply.entries:
        print_table(HEADINGS, [_row(entry, zone) for entry in reply.entries])
    else:
        print_line("nothing was changed")


def as_object(entry: pb.AuditEntry, zone: ZoneInfo) -> dict[str, Any]:
    """For JSON."""
    return {
        "at": iso(entry.at_unix_ms, zone),
        "who": entry.who,
        "what": entry.what,
        "account": as_text(entry.account) if entry.account else None,
        "value": entry.value or None,
        "until": iso(entry.until_unix_ms, zone),
        "reason": entry.reason,
    }


def _row(entry: pb.AuditEntry, zone: ZoneInfo) -> list[str]:
    return [
        second(entry.at_unix_ms, zone),
        plain(entry.who),
        plain(entry.what),
        as_text(entry.account) or "-",
        plain(entry.value) or "-",
        minute(entry.until_unix_ms, zone),
        plain(entry.reason) or "-",
    ]
