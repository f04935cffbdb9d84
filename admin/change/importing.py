"""`mtpolicyctl import`: overrides from a file, all of them or none."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from admin.change.entries import EntryError, Reading, read
from admin.change.overrides import fetch
from admin.change.request import send
from admin.look.words import COUNTRY, LIMIT, LOCK, what_of
from admin.talk.exits import command, wrong
from admin.talk.names import plain
from admin.talk.options import JsonOption
from admin.talk.output import print_json, print_line
from admin.talk.services import decision_settings
from protos import quota_admin_pb2 as pb
from quota.store.interface import MAX_CHANGES

MAX_FILE_BYTES = 64 * 1024 * 1024
STDIN = "-"
_KINDS = {"set_limit": LIMIT, "permit": COUNTRY, "lock": LOCK}


@command
def import_overrides(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV with a header, or a JSON array; - is standard input.")
    ] = STDIN,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Clear the limits and countries that are set now first; locks stay."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and say what would change; change nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Set limits, countries and locks from a file, as `export` writes it: all of it, or nothing.

    Columns: account, what (limit, country or lock), value, and perhaps until and reason.

    Exit code 0: done; 2: wrong input (it names the line) or token, nothing was changed; 3: quota does not
    answer.
    """
    zone = ZoneInfo(decision_settings().time_zone_name)
    try:
        changes = read(read_file(file), Reading(round(time.time() * 1000), zone))
    except EntryError as error:
        raise wrong(str(error)) from error
    if len(changes) > MAX_CHANGES:
        raise wrong(f"at most {MAX_CHANGES} overrides at a time, the file has {len(changes)}")
    if dry_run:
        tell(plan(changes, fetch(), replace=replace), as_json=as_json)
        return
    reply = send(changes, replace=replace)
    if as_json:
        print_json({"done": reply.done, "entries": len(changes), "replaced": replace})
    else:
        print_line(f"{len(changes)} overrides of the file are in force")


def read_file(name: str) -> str:
    """The text of a file or of standard input. Raises EndError."""
    shown = "standard input" if name == STDIN else plain(name)
    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise wrong(f"{shown} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise wrong(f"{shown} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise wrong(f"line {line}: no UTF-8; a login that is none is written as base64:...") from error


def plan(changes: Sequence[pb.Change], now: Iterable[pb.Override], *, replace: bool) -> dict[str, Any]:
    """What an import would do: how many of each kind would be new, other, or the same, or cleared."""
    before = {(override.account, what_of(override)): override for override in now}
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("new", "changed", "same", "cleared")}
    for change in changes:
        kind = _KINDS[str(change.WhichOneof("what"))]
        override = before.pop((change.account, kind), None)
        counts["new" if override is None else "same" if _is(change, override) else "changed"][kind] += 1
    if replace:
        counts["cleared"].update(kind for _, kind in before if kind != LOCK)
    return {name: dict(count) for name, count in counts.items()}


def tell(planned: dict[str, Any], *, as_json: bool) -> None:
    """Print what `plan` has found."""
    if as_json:
        print_json({"dry_run": True, **planned})
        return
    for name, count in planned.items():
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(count.items()))
        print_line(f"{name}: {kinds or '-'}")
    print_line("nothing was changed")


def _is(change: pb.Change, override: pb.Override) -> bool:
    return (
        change.until_unix_ms == override.until_unix_ms
        and change.reason == override.reason
        and change.set_limit == override.maximum
        and set(change.permit.codes) == set(override.countries.codes)
    )
