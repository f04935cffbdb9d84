"""A report as tables for a terminal. Names that a client chose are shown as they can be typed."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from admin.report.summary import AccountRow, CountryRow
from chassis.printable import as_text, printable
from decision.countries import name_of

SHOWN = 3  # countries or networks in one cell


def account_table(rows: Iterable[AccountRow], *, time_zone: str, unit: str) -> Table:
    """One line for each account and rule. Args: unit: what accepted mail is counted in."""
    table = _table(
        "account", "rule", "refused", "would be\nrefused", f"accepted\n{unit}", "countries", "networks"
    )
    for heading in ("first", "last"):
        table.add_column(heading, no_wrap=True)
    zone = ZoneInfo(time_zone)
    for row in rows:
        _add(
            table,
            as_text(row.account),
            printable(row.rule),
            str(row.refused),
            str(row.would_be_refused),
            str(row.accepted),
            _some([printable(country) or "-" for country in row.countries]),
            _some(list(map(str, row.networks))),
            *(_minute(moment, zone) for moment in (row.first_unix_ms, row.last_unix_ms)),
        )
    return table


def country_table(rows: Iterable[CountryRow], *, unit: str) -> Table:
    """One line for each country, with its name."""
    table = _table("country", "name", f"accepted\n{unit}", "refused", "would be\nrefused")
    for row in rows:
        _add(
            table,
            printable(row.country) or "-",
            country_name(row.country),
            str(row.accepted),
            str(row.refused),
            str(row.would_be_refused),
        )
    return table


def country_name(code: str) -> str:
    """The English name; of no country and of an unknown one what they are."""
    if not code:
        return "(private or unknown address)"
    return name_of(code) if code.isascii() and code.isalnum() else "(not a country)"


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        numeric = heading.startswith(("refused", "would", "accepted"))
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    # As Text, no cell is read as rich's own markup.
    table.add_row(*map(Text, cells))


def _some(items: Sequence[str]) -> str:
    more = len(items) - SHOWN
    return "\n".join([*items[:SHOWN], *([f"and {more} more"] if more > 0 else [])]) or "-"


def _minute(unix_ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, zone).strftime("%Y-%m-%d %H:%M")
