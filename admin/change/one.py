"""A change of one account: sent, and told."""

from zoneinfo import ZoneInfo

import grpc.aio
import typer

from admin.change.request import send
from admin.look.words import describe, override_object
from admin.talk.exits import EXIT_NO, EndError
from admin.talk.output import print_json, print_line
from admin.talk.services import CALL_SECONDS, decision_settings, run
from chassis.printable import as_text
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub
from quota.store.interface import KEEP_DAYS


def change(
    change: pb.Change,
    *,
    said: str,
    nothing: str = "",
    done: str = "",
    lock_stays: str = "",
    as_json: bool,
) -> None:
    """Send it, and print what became of it.

    Args:
        said: what is in force now, as a sentence goes on after the user's name.
        nothing: likewise if there was nothing to take away; then the exit code is 1. Empty: what is to be set
            may have been set before, which is as good.
        done: what is said besides if it was done.
        lock_stays: what is said besides if the account was locked, and still is.

    Raises:
        EndError: it was not done.
    """
    zone = ZoneInfo(decision_settings().time_zone_name)
    reply = send([change])
    seen = bool(nothing) or was_seen(change.account)
    # What was in force before and of another kind is no part of the answer.
    before = [override for override in reply.before if override.account == change.account]
    if as_json:
        print_json(
            {
                "account": as_text(change.account),
                "done": bool(reply.done),
                "before": [override_object(override, zone) for override in before],
                **({} if nothing else {"seen": seen}),
            }
        )
    else:
        was = f" (before: {', '.join(describe(override, zone) for override in before)})" if before else ""
        print_line(f"{as_text(change.account)}: {said if reply.done or not nothing else nothing}{was}")
        if done and reply.done:
            print_line(done)
        if lock_stays and any(override.lock for override in before):
            print_line(lock_stays)
        if not seen:
            print_line(
                f"No mail of this login was seen in {KEEP_DAYS} days. It counts as a whole, with its domain:"
                f" is it {as_text(change.account)}?"
            )
    if nothing and not reply.done:
        raise typer.Exit(EXIT_NO)


def was_seen(account: bytes) -> bool:
    """Whether quota knows of mail of it; also if that cannot be asked: the change is done, and is the news.

    What is set for a login that was mistyped harms nobody, and at night nobody notices.
    """
    settings = decision_settings()
    request = pb.UsageRequest(account=account, time_zone=settings.time_zone_name, days=KEEP_DAYS)

    async def ask(channel: grpc.aio.Channel) -> pb.UsageReply:
        return await QuotaAdminStub(channel).Usage(request, timeout=CALL_SECONDS)

    try:
        reply = run("quota", settings.quota_target, ask)
    except EndError:
        return True
    return bool(reply.days or reply.origins)
