"""A report as tables."""

import io
from ipaddress import ip_network

import pytest
from rich.console import Console
from rich.table import Table

from admin.report.summary import AccountRow, CountryRow
from admin.report.tables import account_table, country_name, country_table
from tests.support.reports import FIRST_MS, LAST_MS, NASTY_LOGINS

ROW = AccountRow(b"anna", b"Anna", "country", 2, 13, 12, ("US",), (), FIRST_MS, LAST_MS)


def drawn(table: Table, *, width: int = 150) -> str:
    """The table without rich's own colours, as a file gets it."""
    file = io.StringIO()
    Console(file=file, width=width).print(table)
    return file.getvalue()


def accounts(*rows: AccountRow, width: int = 150) -> str:
    return drawn(account_table(rows, time_zone="Europe/Berlin", unit="recipients"), width=width)


def words(text: str) -> str:
    return " ".join(text.split())


def test_an_account_is_one_line() -> None:
    """Times are those of the time zone."""
    row = ROW._replace(networks=(ip_network("8.8.8.0/24"),))

    assert "anna country 2 13 12 US 8.8.8.0/24 2026-11-18 12:06 2026-11-18 13:06" in words(accounts(row))
    assert "recipients" in accounts(row)


def test_a_cell_holds_so_many_countries_and_networks() -> None:
    """And says how many there are more."""
    row = ROW._replace(
        countries=("US", "", "FR", "SE", "NO"),
        networks=tuple(ip_network(f"8.8.{number}.0/24") for number in range(10)),
    )
    text = accounts(row)

    assert "and 2 more" in text
    assert "and 7 more" in text
    assert "8.8.2.0/24" in text
    assert "8.8.3.0/24" not in text


@pytest.mark.parametrize("name", [*NASTY_LOGINS, b"\xff\xfe"])
@pytest.mark.parametrize("width", [150, 80])
def test_a_login_cannot_harm_a_terminal_or_a_table(name: bytes, width: int) -> None:
    """Control bytes are escapes, markup is text, and no line is longer than the terminal."""
    text = accounts(ROW._replace(account=name, rule="[blink]", countries=("\x1b[",)), width=width)
    lines = text.splitlines()

    assert all(len(line) <= width for line in lines)
    assert all(line.isprintable() for line in lines)


def test_markup_is_shown_as_it_was_typed() -> None:
    """Nothing of a login disappears."""
    assert "[red]x[/red]" in accounts(ROW._replace(account=b"[red]x[/red]"))
    assert ":smile:" in accounts(ROW._replace(account=b":smile:"))


def test_countries_have_names() -> None:
    """And counts."""
    text = words(drawn(country_table([CountryRow("DE", 9, 2, 3), CountryRow("", 1, 0, 0)], unit="messages")))

    assert "DE Germany 9 2 3" in text
    assert "- (private or unknown address) 1 0 0" in text
    assert "messages" in text


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("DE", "Germany"),
        ("XK", "Kosovo"),
        ("", "(private or unknown address)"),
        ("\x1b[", "(not a country)"),
        ("ü!", "(not a country)"),
        ("ZZ", "ZZ"),
    ],
)
def test_a_code_that_is_no_country_is_harmless(code: str, name: str) -> None:
    """Country data may hold anything."""
    assert country_name(code) == name
