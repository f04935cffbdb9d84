"""`mtpolicyctl country`: for travellers, more countries for one account."""

from typing import Annotated

import typer

from admin.change.one import change
from admin.change.overrides import print_overrides
from admin.look.words import COUNTRY
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
from decision.countries import expand_named, names_of
from protos import quota_admin_pb2 as pb

app = typer.Typer(
    help="Let one user send from more countries than the allowed ones: allow, clear, list.",
    no_args_is_help=True,
)


@app.command("allow")
@command
def allow(
    user: UserArgument,
    countries: Annotated[
        str,
        typer.Argument(
            metavar="CC[,CC]",
            help="Codes of ISO 3166-1, English names, or groups: FR,IT or France or EU.",
            show_default=False,
        ),
    ],
    until: UntilOption = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Allow a user to send from these countries, too; they replace those allowed to the user before.

    Exit code 0: done; 2: wrong input or token, nothing was changed; 3: quota does not answer.
    """
    account, codes = read_user(user), read_countries(countries)
    end = read_until(until)
    change(
        pb.Change(
            account=account,
            reason=read_reason(reason),
            until_unix_ms=end.unix_ms,
            permit=pb.Countries(codes=codes),
        ),
        said=f"may also send from {names_of(codes)}{end.said}",
        as_json=as_json,
    )


@app.command("clear")
@command
def clear(user: UserArgument, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Clear what was allowed to a user: the allowed countries hold again.

    Exit code 0: done; 1: none was set; 2: wrong input or token; 3: quota does not answer.
    """
    change(
        pb.Change(account=read_user(user), reason=read_reason(reason), clear_permit=True),
        said="the allowed countries hold again",
        nothing="no country was set",
        as_json=as_json,
    )


@app.command("list")
@command
def list_countries(as_json: JsonOption = False) -> None:
    """Show the countries that are set, by user.

    Exit code 0: a list, perhaps an empty one; 3: quota does not answer.
    """
    print_overrides(COUNTRY, as_json=as_json)


def read_countries(text: str) -> list[str]:
    """Sorted codes. Raises EndError."""
    try:
        return sorted(expand_named(text))
    except ValueError as error:
        raise wrong(plain(str(error))) from error
