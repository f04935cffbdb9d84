"""Arguments and options that several commands have."""

import time
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import typer

from admin.talk.exits import wrong
from admin.talk.names import account_from, plain, reason_from
from admin.talk.services import decision_settings
from admin.talk.times import read_end, second

UserArgument = Annotated[
    str,
    typer.Argument(
        metavar="USER",
        help="The login, whole. One that begins with a dash: behind --. One with control characters or bytes "
        "that are no UTF-8: base64:..., as it is shown.",
        show_default=False,
    ),
]
# None: not given. An empty one is a script's empty variable, and no wish for all users or for ever.
UntilOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="When it ends by itself: tonight, +2h, +3d, 18:30, 2026-11-30 (the end of that day) or "
        "2026-11-30T18:30, in the services' time zone. Default: it does not end.",
        show_default=False,
    ),
]
ReasonOption = Annotated[
    str, typer.Option(metavar="TEXT", help="Why, for the audit log and for lists.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def read_user(text: str) -> bytes:
    """The account that the argument names. Raises EndError."""
    try:
        return account_from(text)
    except ValueError as error:
        raise wrong(str(error)) from error


class End(NamedTuple):
    """When an override ends."""

    unix_ms: int  # 0: it does not
    said: str  # ` until 2026-11-30 18:30:00 CET`, or nothing


def read_until(text: str | None) -> End:
    """What `--until` says, in the services' time zone. Raises EndError."""
    if text is None:
        return End(0, "")
    zone = ZoneInfo(decision_settings().time_zone_name)
    try:
        unix_ms = read_end(text, now_unix_ms=round(time.time() * 1000), zone=zone)
    except ValueError as error:
        raise wrong(f"--until {plain(text) or '(empty)'} {error}") from error
    return End(unix_ms, f" until {second(unix_ms, zone)}")


def read_reason(text: str) -> str:
    """The reason, checked. Raises EndError."""
    try:
        return reason_from(text)
    except ValueError as error:
        raise wrong(f"--reason: {error}") from error
