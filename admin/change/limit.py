"""`mtpolicyctl limit`: another limit than the threshold, for one account."""

from typing import Annotated

import typer

from admin.change.one import change
from admin.change.overrides import print_overrides
from admin.look.words import LIMIT
from admin.talk.exits import command, wrong
from admin.talk.names import plain
from admin.talk.options import (
    JsonOption,
    ReasonOption,
    UntilOption,
    UserArgument,
    read_reason,
    read_until,
    read_user,
)
from decision.settings import MAX_THRESHOLD
from protos import quota_admin_pb2 as pb

app = typer.Typer(
    help="Give one user another limit than the threshold: set, clear, list.",
    no_args_is_help=True,
)


# A negative number is to be told as what it is, not as an option that there is not.
@app.command("set", context_settings={"ignore_unknown_options": True})
@command
def set_limit(
    user: UserArgument,
    limit: Annotated[
        str,
        typer.Argument(
            metavar="N", help=f"What may be sent in a day: 1 to {MAX_THRESHOLD}.", show_default=False
        ),
    ],
    until: UntilOption = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Set a user's limit; in force with the next mail. What is used already counts.

    Exit code 0: done; 2: wrong input or token, nothing was changed; 3: quota does not answer.
    """
    account, maximum = read_user(user), read_limit(limit)
    end = read_until(until)
    change(
        pb.Change(account=account, reason=read_reason(reason), until_unix_ms=end.unix_ms, set_limit=maximum),
        said=f"limit {maximum}{end.said}",
        as_json=as_json,
    )


@app.command("clear")
@command
def clear_limit(user: UserArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Clear a user's limit: the threshold holds again.

    Exit code 0: done; 1: none was set; 2: wrong input or token; 3: quota does not answer.
    """
    change(
        pb.Change(account=read_user(user), reason=read_reason(reason), clear_limit=True),
        said="the threshold holds again",
        nothing="no limit was set",
        as_json=as_json,
    )


@app.command("list")
@command
def list_limits(as_json: JsonOption = False) -> None:
    """Show the limits that are set, by user.

    Exit code 0: a list, perhaps an empty one; 3: quota does not answer.
    """
    print_overrides(LIMIT, as_json=as_json)


def read_limit(text: str) -> int:
    """Raises EndError: it is no whole number, or out of range."""
    # isdecimal alone would take the digits of all scripts.
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and 1 <= int(text) <= MAX_THRESHOLD):
        raise wrong(f"{plain(text)} is no limit; allowed: a whole number, 1 to {MAX_THRESHOLD}")
    return int(text)
