"""`mtpolicyctl doctor`, as the admin calls it."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    config_dir: Annotated[
        Path | None, typer.Option(help="Postfix's configuration directory; default: Postfix's own.")
    ] = None,
    mail_log: Annotated[
        Path | None, typer.Option(help="A mail log in which to look for hidden clients.")
    ] = None,
    accept_filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A milter or content filter, as the doctor names it, of which you know that it adds no "
            "recipients and sends no other mail. Several are possible.",
        ),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask the policy port one question.")] = False,
    login: Annotated[str, typer.Option(help="A test login: talk to Postfix up to RCPT, then quit.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="The file whose first line is the password of --login.")
    ] = None,
    smtp: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Where to log in; default: a submission port of this host."),
    ] = "",
    sender: Annotated[str, typer.Option(help="MAIL FROM of the dialogue; default: the empty one.")] = "",
    recipient: Annotated[
        str, typer.Option(help="RCPT TO of the dialogue; default: the login, or postmaster of this host.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    lang: Annotated[str, typer.Option(help="en or de; default: that of LC_ALL or LANG.")] = "",
    ucr_dir: Annotated[Path, typer.Option(hidden=True)] = Path("/etc/univention"),
) -> None:
    """Say whether Postfix really asks the service about the mail of those who log in, and what mends it.

    It reads Postfix's configuration, and UCR where there is one; it changes nothing. --live asks the policy
    port one question, at which nothing is counted. With --login it also talks to Postfix up to RCPT, which
    counts one recipient.

    Exit code 0: mail with a login is covered wherever it can come in; 1: it is not, or that cannot be
    known; 2: a wrong option or setting; 3: there is no Postfix, or with --live no policy port."""
    # Loaded here: this module is loaded for every command of mtpolicyctl.
    from admin.doctor.consultation import Request, consult

    request = Request(
        config_dir,
        mail_log,
        live,
        login,
        password_file,
        smtp,
        sender,
        recipient,
        as_json,
        lang,
        ucr_dir,
        frozenset(accept_filter or ()),
    )
    raise typer.Exit(consult(request))
