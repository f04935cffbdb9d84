"""`mtpolicyctl report`: who was or would have been refused, and what would let them pass."""

import asyncio
import io
import json
import re
import sys
import time
from typing import Annotated

import grpc.aio
import typer
from rich.console import Console

from admin.report.objects import as_object
from admin.report.suggestions import (
    Suggestions,
    allowed_networks_line,
    exempt_accounts_line,
    suggest,
    writable,
)
from admin.report.summary import account_rows, country_rows
from admin.report.tables import account_table, country_table
from admin.talk.exits import command
from admin.talk.options import read_user
from chassis.config import load_or_exit
from chassis.grpc_server import open_channel
from chassis.printable import as_text, printable
from chassis.settings import EXIT_SETTINGS, Address
from decision.settings import Settings
from protos import quota_pb2 as pb
from protos.quota_pb2_grpc import QuotaStub
from quota.store.interface import KEEP_DAYS

EXIT_NO_SERVICE = 3
# quota gives a report up after 10 s; another one may be read before this one.
TIMEOUT_SECONDS = 25.0
# Of what is no terminal: a line that wraps is bad to search.
FILE_WIDTH = 150
_SECONDS = {"d": 86400, "h": 3600, "m": 60}


@command
def report(
    since: Annotated[str, typer.Option(help="How far back: 7d, 24h, 90m; whole days are shown.")] = "7d",
    account: Annotated[str, typer.Option(help="Only this login, refused or not.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show who was or would have been refused, from where, and which settings would let them pass.

    Exit code 0: a report, perhaps an empty one; 2: a wrong option or setting; 3: quota does not answer.
    """
    try:
        seconds = duration(since)
    except ValueError as error:
        typer.echo(f"--since {since!r} {error}", err=True)
        raise typer.Exit(EXIT_SETTINGS) from error
    settings = load_or_exit("decision", Settings).settings
    request = pb.ReportRequest(
        since_unix_ms=round((time.time() - seconds) * 1000),
        time_zone=settings.time_zone_name,
        account=read_user(account) if account else b"",
    )
    try:
        reply = asyncio.run(ask(settings.quota_target, request))
    except grpc.aio.AioRpcError as error:
        reason = printable(error.details() or error.code().name)
        typer.echo(f"no answer from quota at {settings.quota_target}: {reason}", err=True)
        raise typer.Exit(EXIT_NO_SERVICE) from error
    if seconds > KEEP_DAYS * _SECONDS["d"]:
        typer.echo(f"counts are kept for {KEEP_DAYS} days: the report begins at {reply.first_day}", err=True)
    if as_json:
        typer.echo(json.dumps(as_object(reply, settings)))
    else:
        show(reply, settings, account=request.account)


def duration(text: str) -> int:
    """Seconds of `7d`, `24h` or `90m`. Raises ValueError, whose message goes on a sentence."""
    found = re.fullmatch(r"([0-9]{1,5})([dhm])", text, re.ASCII)
    if found is None or int(found[1]) == 0:
        raise ValueError("is no duration; allowed: a number of days, hours or minutes such as 7d, 24h, 90m")
    return int(found[1]) * _SECONDS[found[2]]


async def ask(target: Address, request: pb.ReportRequest) -> pb.ReportReply:
    """Ask the running quota. Raises grpc.aio.AioRpcError."""
    async with open_channel(target) as channel:
        reply: pb.ReportReply = await QuotaStub(channel).Report(request, timeout=TIMEOUT_SECONDS)
        return reply


def show(reply: pb.ReportReply, settings: Settings, *, account: bytes) -> None:
    """Print the report for people."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of countries are not ASCII
    of = f" of {as_text(account)}" if account else ""
    if not reply.countries and not any(found.refusals for found in reply.accounts):
        typer.echo(f"nothing recorded{of} since {reply.first_day}")
        return
    typer.echo(f"{reply.first_day} to {reply.last_day} ({settings.time_zone_name})")
    if reply.recorded_since > reply.first_day:
        typer.echo(f"nothing recorded before {reply.recorded_since}")
    console = Console(
        width=None if sys.stdout.isatty() else FILE_WIDTH, markup=False, emoji=False, highlight=False
    )
    rows = account_rows(reply.accounts)
    if rows:
        console.print(account_table(rows, time_zone=settings.time_zone_name, unit=settings.count))
    else:
        typer.echo("\nno mail was refused, or would have been\n")
    if reply.truncated:
        typer.echo("There are more accounts than these; --account asks for one.\n")
    console.print(country_table(country_rows(reply.countries), unit=settings.count))
    for line in advice(suggest(reply.accounts, settings), settings):
        typer.echo(line)


def advice(suggestions: Suggestions, settings: Settings) -> list[str]:
    """The suggestions in words, with lines for the settings file."""
    lines = []
    if suggestions.networks:
        lines += [
            "Known senders were met in networks that the country rule objects to. Ask them first: if it was",
            "somebody else, the password is stolen. If not, this line of the settings file lets them pass,",
            "beside what is in force now:",
            "",
            allowed_networks_line(suggestions, settings),
            "",
        ]
    if writable(suggestions.accounts):
        lines += [
            "Accounts were over the limit. See first what they send: a stolen account looks the same. Keep",
            "in this line those that are meant to send so much, such as newsletters and printers:",
            "",
            exempt_accounts_line(suggestions, settings),
            "",
        ]
    lines += [
        f"{as_text(name)} was over the limit, but is no UTF-8: no settings file can name it"
        for name in suggestions.accounts
        if not writable([name])
    ]
    if suggestions.doubtful:
        names = ", ".join(map(as_text, suggestions.doubtful))
        lines.append(f"Nothing is suggested for accounts that look stolen, by their many origins: {names}")
    return lines
