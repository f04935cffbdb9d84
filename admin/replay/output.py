"""What `mtpolicyctl replay` prints: a table of the accounts whose answers differ, or JSON with everything.

A login is whatever a client sent: it is shown in the one form of admin.talk.names, and is no markup.
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admin.replay.difference import AccountDifference, Comparison
from chassis.printable import as_text, printable

MOST_ACCOUNTS = 100
MOST_NAMES = 3
# Without a terminal nobody says how wide a line may be.
PIPE_COLUMNS = 160


class Change(NamedTuple):
    """A setting that differs, as it would be written into a file."""

    name: str
    before: str
    now: str


class Result(NamedTuple):
    """All that there is to say.

    Args:
        time_zone: in which times are shown, an IANA name.
        notes: what the admin should know about these figures, a line each.
    """

    comparison: Comparison
    changes: Sequence[Change]
    notes: Sequence[str]
    time_zone: str


def to_json(result: Result) -> str:
    """One object, in ASCII; times are ISO 8601 with their offset."""
    comparison, zone = result.comparison, ZoneInfo(result.time_zone)
    totals, differing = comparison.totals(), comparison.differing()
    return json.dumps(
        {
            "changed_settings": {change.name: [change.before, change.now] for change in result.changes},
            "accounts": len(comparison.accounts),
            "accounts_that_differ": len(differing),
            **_sums(totals),
            "first": _iso(comparison.first_unix_ms, zone),
            "last": _iso(comparison.last_unix_ms, zone),
            "hashed_requests": comparison.hashed,
            "unlike_recorded": comparison.unlike_recorded,
            "notes": list(result.notes),
            "differences": [
                {
                    "login": as_text(account.login),
                    **_sums(account),
                    "countries": dict(account.countries.most_common()),
                    "networks": dict(account.networks.most_common()),
                    "first": _iso(account.first_unix_ms, zone),
                }
                for account in differing
            ],
        }
    )


def show(result: Result, console: Console) -> None:
    """Print for somebody who reads."""
    differing = result.comparison.differing()

    def say(line: str) -> None:
        console.print(Text(line), soft_wrap=True)

    for change in result.changes:
        before, now = (printable(value) or "(empty)" for value in (change.before, change.now))
        say(f"{change.name}: {before} -> {now}")
    if not result.changes:
        say("no setting of decision differs")
    if differing:
        console.print(_table(differing[:MOST_ACCOUNTS], ZoneInfo(result.time_zone)))
    if len(differing) > MOST_ACCOUNTS:
        say(f"and {len(differing) - MOST_ACCOUNTS} more accounts; --json lists them all")
    say(_summary(result, len(differing)))
    for note in result.notes:
        say(f"note: {note}")


def open_console() -> Console:
    """Standard output, with nothing in it that a text could switch on."""
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    return console


def _table(accounts: Sequence[AccountDifference], zone: ZoneInfo) -> Table:
    table = Table(box=box.ASCII2)
    for name in ("account", "mails", "refused", "what differs", "countries", "networks", "first"):
        numeric = name in ("mails", "refused")
        table.add_column(name, overflow="fold", justify="right" if numeric else "left", no_wrap=numeric)
    for account in accounts:
        table.add_row(
            Text(as_text(account.login)),
            Text(str(account.mails)),
            Text(f"{account.refused_before} -> {account.refused_now}"),
            Text("\n".join(_changes(account))),
            Text(_names(account.countries)),
            Text(_names(account.networks)),
            Text(f"{_time(account.first_unix_ms, zone):%Y-%m-%d %H:%M}"),
        )
    return table


def _changes(sums: AccountDifference) -> list[str]:
    return [
        *(f"{count} newly refused by {rule}" for rule, count in sums.newly_refused.most_common()),
        *(f"{count} refused by {rule} newly passed" for rule, count in sums.newly_passed.most_common()),
        *(f"{count} refused otherwise, by {rule}" for rule, count in sums.refused_otherwise.most_common()),
    ]


def _summary(result: Result, differing: int) -> str:
    comparison, zone = result.comparison, ZoneInfo(result.time_zone)
    totals = comparison.totals()
    span = " to ".join(
        f"{_time(unix_ms, zone):%Y-%m-%d %H:%M}"
        for unix_ms in (comparison.first_unix_ms, comparison.last_unix_ms)
    )
    return (
        f"{differing} of {len(comparison.accounts)} accounts would hear something else: "
        f"{', '.join(_changes(totals)) or 'no answer differs'}; "
        f"refused {totals.refused_before} -> {totals.refused_now} "
        f"of {totals.requests} requests in {totals.mails} mails, {span} ({result.time_zone})"
    )


def _sums(account: AccountDifference) -> dict[str, object]:
    return {
        "mails": account.mails,
        "requests": account.requests,
        "refused_before": account.refused_before,
        "refused_now": account.refused_now,
        "newly_refused": dict(account.newly_refused),
        "newly_passed": dict(account.newly_passed),
        "refused_otherwise": dict(account.refused_otherwise),
    }


def _names(names: Counter[str]) -> str:
    shown = [f"{printable(name)} {count}" for name, count in names.most_common(MOST_NAMES)]
    more = len(names) - len(shown)
    return ", ".join([*shown, f"{more} more"] if more > 0 else shown)


def _time(unix_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, zone)


def _iso(unix_ms: int, zone: ZoneInfo) -> str:
    return _time(unix_ms, zone).isoformat(timespec="milliseconds")
