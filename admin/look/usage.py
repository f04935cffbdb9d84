"""`mtpolicyctl usage USER`: what one account has sent, from where, and what is in force for it."""

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import grpc.aio
import typer

from admin.look.words import LIMIT, UNITS, country, describe, override_object, what_of
from admin.talk.exits import EXIT_NO, command
from admin.talk.names import plain
from admin.talk.options import JsonOption, UserArgument, read_user
from admin.talk.output import print_json, print_line, print_table
from admin.talk.services import CALL_SECONDS, decision_settings, run
from chassis.printable import as_text
from decision.settings import Settings
from protos import quota_admin_pb2 as pb
from protos import quota_pb2
from protos.quota_admin_pb2_grpc import QuotaAdminStub


@command
def usage(
    user: UserArgument,
    days: Annotated[int, typer.Option(min=1, max=31, help="How many days, with today.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Show what a user has sent and was refused, from where today, and what is set for the user.

    Exit code 0: something is known; 1: nothing is; 2: wrong input; 3: quota does not answer.
    """
    account = read_user(user)
    settings = decision_settings()
    request = pb.UsageRequest(account=account, time_zone=settings.time_zone_name, days=days)

    async def ask(channel: grpc.aio.Channel) -> pb.UsageReply:
        return await QuotaAdminStub(channel).Usage(request, timeout=CALL_SECONDS)

    reply = run("quota", settings.quota_target, ask)
    known = bool(reply.login or reply.days or reply.origins or reply.overrides)
    if as_json:
        print_json(as_object(reply, settings))
    elif known:
        show(reply, settings)
    else:
        print_line(f"nothing is known of {as_text(account)}; the login counts as a whole, with its domain")
    if not known:
        raise typer.Exit(EXIT_NO)


def limit_in_force(reply: pb.UsageReply, settings: Settings) -> int:
    """An admin's limit, or the threshold."""
    return next((one.maximum for one in reply.overrides if what_of(one) == LIMIT), settings.threshold)


def as_object(reply: pb.UsageReply, settings: Settings) -> dict[str, Any]:
    """For JSON. A day without a count is left out; `unit` is null for a rule that has no limit."""
    zone = ZoneInfo(settings.time_zone_name)
    return {
        "account": as_text(reply.account),
        "login": as_text(reply.login) if reply.login else None,
        "time_zone": settings.time_zone_name,
        "limit": limit_in_force(reply, settings),
        "exempt": reply.account in settings.exempt_accounts,
        "days": [
            {
                "day": day.day,
                "name": day.name,
                "unit": UNITS.get(day.unit),
                "used": day.used,
                "refused": day.refused,
            }
            for day in reply.days
        ],
        "origins": [
            {
                "country": origin.country or None,
                "address": as_text(origin.address) if origin.address else None,
                "rule": origin.rule or None,
                "enforced": origin.mode == quota_pb2.MODE_ENFORCE,
                "count": origin.count,
            }
            for origin in reply.origins
        ],
        "overrides": [override_object(override, zone) for override in reply.overrides],
    }


def show(reply: pb.UsageReply, settings: Settings) -> None:
    """For people."""
    zone = ZoneInfo(settings.time_zone_name)
    typed = as_text(reply.login)
    known_as = f", typed as {typed}" if reply.login and reply.login != reply.account else ""
    print_line(
        f"{as_text(reply.account)}{known_as}: limit {limit_in_force(reply, settings)} {settings.count} a day"
    )
    if reply.account in settings.exempt_accounts:
        print_line("exempt by the settings: counted, but refused by a lock alone")
    for override in reply.overrides:
        reason = f": {plain(override.reason)}" if override.reason else ""
        print_line(f"set by {plain(override.who)}: {describe(override, zone)}{reason}")
    if reply.days:
        print_line()
        print_table(
            ("day", "rule", "used", "unit", "refused"),
            [[day.day, plain(day.name), *_used(day), str(day.refused)] for day in reply.days],
            numbers=["used", "refused"],
        )
    if reply.origins:
        print_line()
        print_table(
            ("from today", "address", "count", "what"),
            [
                [country(one.country), as_text(one.address) or "-", str(one.count), _fate(one)]
                for one in reply.origins
            ],
            numbers=["count"],
        )


def _used(day: pb.DayUsage) -> tuple[str, str]:
    return (str(day.used), UNITS.get(day.unit, "-")) if day.unit else ("-", "-")


def _fate(origin: quota_pb2.Origin) -> str:
    if not origin.rule:
        return "accepted"
    fate = "refused" if origin.mode == quota_pb2.MODE_ENFORCE else "would be refused"
    return f"{fate} by {plain(origin.rule)}"
