"""`mtpolicyctl lock`, `locked`, `unlock`, `reset` and `purge`: what is done to one account as a whole."""

import sys
from typing import Annotated

import typer

from admin.change.one import change
from admin.change.overrides import print_overrides
from admin.look.words import ELSEWHERE, LOCK
from admin.talk.exits import command, wrong
from admin.talk.options import (
    JsonOption,
    ReasonOption,
    UntilOption,
    UserArgument,
    read_reason,
    read_until,
    read_user,
)
from admin.talk.services import decision_settings
from chassis.printable import as_text
from protos import quota_admin_pb2 as pb


@command
def lock(
    user: UserArgument,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, for the audit log. Needed.", show_default=False)
    ] = "",
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse everything from this login, at once; repeats of mail that was accepted, too.

    Exit code 0: done; 2: wrong input or token, nothing was changed; 3: quota does not answer.
    """
    account, why = read_user(user), read_reason(reason)
    if not why:
        raise wrong("--reason is missing; whoever unlocks has to know. Who is locked: mtpolicyctl locked")
    end = read_until(until)
    change(
        pb.Change(account=account, reason=why, until_unix_ms=end.unix_ms, lock=True),
        said=f"locked{end.said}",
        as_json=as_json,
    )


@command
def locked(as_json: JsonOption = False) -> None:
    """Show who is locked, until when, why, and who did it; whether mail was refused meanwhile or not.

    Exit code 0: a list, perhaps an empty one; 3: quota does not answer.
    """
    print_overrides(LOCK, as_json=as_json)


@command
def unlock(user: UserArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Take a lock away.

    Exit code 0: done; 1: it was not locked; 2: wrong input or token; 3: quota does not answer.
    """
    change(
        pb.Change(account=read_user(user), reason=read_reason(reason), unlock=True),
        said="no longer locked",
        nothing="was not locked",
        as_json=as_json,
    )


@command
def reset(user: UserArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Set what a user has used and was refused today to 0. Messages under way are not charged again.

    Exit code 0: done; 1: nothing was counted; 2: wrong input or token; 3: quota does not answer.
    """
    time_zone = decision_settings().time_zone_name
    change(
        pb.Change(account=read_user(user), reason=read_reason(reason), reset=time_zone),
        said="today's counts are 0",
        nothing="nothing was counted today",
        as_json=as_json,
    )


@command
def purge(
    user: UserArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Delete all that is kept of a user: counts, refusals, limit, countries, audit log. It cannot be undone.

    A lock stays: unlock first if it is to go, too. The audit log keeps that it was done. Logs, Prometheus and
    recorded requests are not quota's: docs/admin.md says where else the login may stand. To see it all first:
    export USER.

    Exit code 0: done; 1: nothing was kept; 2: wrong input or token; 3: quota does not answer.
    """
    account, why = read_user(user), read_reason(reason)
    if not yes:
        if not _on_a_terminal():
            raise wrong("purge deletes for good: add --yes")
        typer.confirm(f"Delete all that is kept of {as_text(account)}?", abort=True, err=True)
    change(
        pb.Change(account=account, reason=why, purge=True),
        said="all that was kept is deleted",
        nothing="nothing was kept",
        done=f"Not quota's, and not deleted: {ELSEWHERE}.",
        lock_stays="It is locked, and stays so. To forget the lock as well: unlock, then purge once more.",
        as_json=as_json,
    )


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()
