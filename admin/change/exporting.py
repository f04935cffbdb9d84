"""`mtpolicyctl export`: the overrides of all accounts as a file, or all that is kept of one account."""

import json
import time
from collections.abc import AsyncIterable
from typing import Annotated
from zoneinfo import ZoneInfo

import grpc.aio
import typer

from admin.change.entries import csv_file, csv_rows, json_file, json_rows
from admin.change.overrides import fetch_pages
from admin.look.words import ELSEWHERE
from admin.talk.exits import EXIT_NO, command
from admin.talk.options import JsonOption, read_user
from admin.talk.output import print_file
from admin.talk.services import decision_settings, run
from admin.talk.times import iso
from chassis.printable import as_text
from protos import quota_admin_pb2 as pb
from protos.quota_admin_pb2_grpc import QuotaAdminStub

EXPORT_SECONDS = 60.0


@command
def export(
    user: Annotated[
        str | None,
        typer.Argument(
            metavar="[USER]",
            help="All that is kept of this login. Without it: the overrides of all.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Without USER: write the limits, countries and locks of all users, as CSV or JSON, for `import`.

    With USER: write all that quota keeps of this user, as JSON, for a data-protection request. `elsewhere`
    names what quota does not have.

    Exit code 0: written; 1: nothing is kept of USER; 2: wrong input; 3: quota does not answer.
    """
    settings = decision_settings()
    zone = ZoneInfo(settings.time_zone_name)
    if user is None:
        rows, file = (json_rows, json_file) if as_json else (csv_rows, csv_file)
        print_file(file(fetch_pages(lambda page: rows(page, zone))))
        return
    account = read_user(user)

    async def ask(channel: grpc.aio.Channel) -> bool:
        call = QuotaAdminStub(channel).ExportAccount(
            pb.ExportAccountRequest(account=account), timeout=EXPORT_SECONDS
        )
        return await write_account(account, call, round(time.time() * 1000), zone)

    if not run("quota", settings.quota_target, ask):
        raise typer.Exit(EXIT_NO)


async def write_account(
    account: bytes, parts: AsyncIterable[pb.ExportPart], now_unix_ms: int, zone: ZoneInfo
) -> bool:
    """Write one object, table by table as the parts come; returns whether there was any row."""
    tables: dict[str, list[str]] = {}
    async for part in parts:
        tables.setdefault(part.table, []).extend(part.rows)
    head = f'{{"account": {json.dumps(as_text(account))}, "at": {json.dumps(iso(now_unix_ms, zone))}'
    lines = [
        f"{json.dumps(table)}: [\n" + ",\n".join(rows) + "\n]" if rows else f"{json.dumps(table)}: []"
        for table, rows in tables.items()
    ]
    # The rows are JSON as they come; nothing of an unfinished answer is written.
    tail = f'"elsewhere": {json.dumps(ELSEWHERE)}}}'
    print_file(f'{head}, "tables": {{\n' + ",\n".join(lines) + f"\n}}, {tail}\n")
    return any(tables.values())
