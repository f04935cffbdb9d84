"""A change of one account: sent, and told."""

from zoneinfo import ZoneInfo

import typer

from admin.change.overrides import describe
from admin.change.request import send
from admin.look.words import override_object
from admin.talk.exits import EXIT_NO
from admin.talk.names import as_text
from admin.talk.output import print_json, print_line
from admin.talk.services import decision_settings
from protos import quota_admin_pb2 as pb


def change(change: pb.Change, *, said: str, nothing: str = "", lock_stays: str = "", as_json: bool) -> None:
    """Send it, and print what became of it.

    Args:
        said: what is in force now, as a sentence goes on after the user's name.
        nothing: likewise if there was nothing to take away; then the exit code is 1. Empty: what is to be set
            may have been set before, which is as good.
        lock_stays: what is said besides if the account was locked, and still is.

    Raises:
        EndError: it was not done.
    """
    zone = ZoneInfo(decision_settings().time_zone_name)
    reply = send([change])
    # What was in force before and of another kind is no part of the answer.
    before = [override for override in reply.before if override.account == change.account]
    if as_json:
        print_json(
            {
                "account": as_text(change.account),
                "done": bool(reply.done),
                "before": [override_object(override, zone) for override in before],
            }
        )
    else:
        was = f" (before: {', '.join(describe(override, zone) for override in before)})" if before else ""
        print_line(f"{as_text(change.account)}: {said if reply.done or not nothing else nothing}{was}")
        if lock_stays and any(override.lock for override in before):
            print_line(lock_stays)
    if nothing and not reply.done:
        raise typer.Exit(EXIT_NO)
