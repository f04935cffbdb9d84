"""`mtpolicyctl top`: today's biggest senders."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import grpc.aio
import typer

from admin.look.words import UNITS
from admin.talk.exits import command
from admin.talk.names import plain
from admin.talk.options import JsonOption
from admin.talk.output import print_json, print_line, print_table
from admin.talk.services import CALL_SECONDS, decision_settings, run
from chassis.printable import as_text
from decision.settings import Settings
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub

HEADINGS = ("user", "limit", "used", "of", "refused")


@command
def top(
    most: Annotated[int, typer.Option(min=1, max=1000, help="How many accounts are listed at most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show who has sent most today: what is used of the limit, and what was refused.

    Exit code 0: a list, perhaps an empty one; 2: a wrong option or setting; 3: quota does not answer.
    """
    settings = decision_settings()
    request = pb.TopRequest(time_zone=settings.time_zone_name, most=most)

    async def ask(channel: grpc.aio.Channel) -> pb.TopReply:
        return await QuotaAdminStub(channel).Top(request, timeout=CALL_SECONDS)

    reply = run("quota", settings.quota_target, ask)
    if as_json:
        print_json(
            {
                "total_used": reply.total_used,
                "accounts": [as_object(one, settings) for one in reply.accounts],
            }
        )
        return
    if not reply.accounts:
        print_line("nobody has sent anything today")
        return
    print_table(HEADINGS, [_row(one, settings) for one in reply.accounts], numbers=["used", "of", "refused"])
    print_line(f"{reply.total_used} of all users today ({ZoneInfo(settings.time_zone_name)})")


def as_object(one: pb.TopAccount, settings: Settings) -> dict[str, Any]:
    """For JSON. `overridden`: an admin has set the limit."""
    return {
        "account": as_text(one.account),
        "name": one.name,
        "unit": UNITS.get(one.unit),
        "used": one.used,
        "limit": one.maximum or settings.threshold,
        "overridden": bool(one.maximum),
        "refused": one.refused,
    }


def _row(one: pb.TopAccount, settings: Settings) -> list[str]:
    limit = str(one.maximum or settings.threshold)
    return [as_text(one.account), plain(one.name), str(one.used), limit, str(one.refused)]
