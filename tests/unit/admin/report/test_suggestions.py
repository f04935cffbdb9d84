"""What a report suggests."""

import os
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from admin.report.suggestions import (
    MAX_COUNTRIES,
    MAX_NETWORKS,
    Suggestions,
    allowed_networks_line,
    exempt_accounts_line,
    suggest,
    toml_line,
    writable,
)
from chassis.ctl import app
from chassis.settings import split_list
from decision.account import account_of
from decision.settings import Settings
from protos import quota_pb2 as pb
from tests.support.reports import NASTY_LOGINS, account, origin

HOME = origin(count=9)
ABROAD = origin(b"185.9.12.40", "SE", rule="country", count=3)


def suggestions(*accounts: pb.AccountReport, **settings: Any) -> Suggestions:
    return suggest(accounts, Settings(**settings))


def networks(*accounts: pb.AccountReport, **settings: Any) -> list[str]:
    return list(map(str, suggestions(*accounts, **settings).networks))


# Networks


def test_a_known_sender_abroad_suggests_his_network() -> None:
    """He had mail accepted from elsewhere; refused or observed, it is the same."""
    refused = origin(b"185.9.12.40", "SE", rule="country", enforced=True)

    assert networks(account(b"anna", HOME, ABROAD)) == ["185.9.12.0/24"]
    assert networks(account(b"anna", HOME, refused)) == ["185.9.12.0/24"]


def test_webmail_is_elsewhere_too() -> None:
    """A private address has a network like others."""
    assert networks(account(b"anna", origin(b"127.0.0.1", ""), ABROAD)) == ["185.9.12.0/24"]


def test_who_was_never_accepted_elsewhere_is_not_known() -> None:
    """In mode observe the mail that the rule objects to is accepted itself: that proves nothing."""
    observed = origin(b"185.9.12.77", "SE", count=3)

    assert networks(account(b"anna", ABROAD)) == []
    assert networks(account(b"anna", observed, ABROAD)) == []
    assert networks(account(b"anna", origin(b"", "DE"), ABROAD)) == []


def test_who_was_accepted_there_before_is_known() -> None:
    """On an earlier day than the first objection: country data changes."""
    before = origin(b"185.9.12.41", "SE", first_day="2026-11-17")

    assert networks(account(b"anna", before, ABROAD)) == ["185.9.12.0/24"]


def test_networks_are_told_once_and_in_order() -> None:
    """IPv4 before IPv6, whoever was met there."""
    accounts = [
        account(b"anna", HOME, origin(b"2001:db8:1::5", "SE", rule="country"), ABROAD),
        account(b"bernd", HOME, origin(b"185.9.12.9", "SE", rule="country")),
        account(b"clara", HOME, origin(b"9.9.9.9", "US", rule="country")),
    ]

    assert networks(*accounts) == ["9.9.9.0/24", "185.9.12.0/24", "2001:db8:1::/48"]


@pytest.mark.parametrize("name", ["allowed_networks", "exempt_networks"])
def test_a_network_that_passes_by_now_is_not_suggested(name: str) -> None:
    """Nor one inside it; one around it is."""
    one = account(b"anna", HOME, ABROAD, origin(b"2001:db8:1::5", "SE", rule="country"))

    assert networks(one, **{name: "185.9.0.0/16"}) == ["2001:db8:1::/48"]
    assert networks(one, **{name: "185.9.12.0/24, 2001:db8::/32"}) == []
    assert networks(one, **{name: "185.9.12.40/32"}) == ["185.9.12.0/24", "2001:db8:1::/48"]


# Accounts


@pytest.mark.parametrize("enforced", [True, False])
def test_an_account_over_the_limit_may_be_exempt(enforced: bool) -> None:
    """Refused or observed."""
    over = account(b"newsletter", HOME, origin(rule="quota", enforced=enforced))
    found = suggestions(over, account(b"anna", HOME, ABROAD))

    assert found.accounts == (b"newsletter",)


def test_an_exempt_account_needs_nothing() -> None:
    """It was made exempt since."""
    one = account(b"anna", HOME, ABROAD, origin(rule="quota"))

    assert suggestions(one, exempt_accounts="Anna") == Suggestions((), (), ())


def test_a_rule_of_another_name_suggests_nothing() -> None:
    """Nobody knows what would let it pass."""
    assert suggestions(account(b"anna", HOME, origin(rule="other"))) == Suggestions((), (), ())


@pytest.mark.parametrize("beyond", [False, True])
def test_what_looks_stolen_is_not_suggested(beyond: bool) -> None:
    """From very many countries or networks: the account is named instead."""
    countries = [
        origin(b"9.9.%d.9" % number, f"A{number}", rule="country") for number in range(MAX_COUNTRIES + beyond)
    ]
    many = [origin(b"9.8.%d.9" % number, "SE", rule="country") for number in range(MAX_NETWORKS + beyond)]
    over = origin(rule="quota")
    found = suggestions(account(b"anna", HOME, over, *countries), account(b"bernd", HOME, over, *many))

    assert found.doubtful == ((b"anna", b"bernd") if beyond else ())
    assert found.accounts == (() if beyond else (b"anna", b"bernd"))
    assert len(found.networks) == (0 if beyond else MAX_COUNTRIES + MAX_NETWORKS)


# Lines


def test_a_line_is_as_an_admin_would_write_it() -> None:
    """Where that says the same."""
    assert (
        toml_line("exempt_accounts", ["anna", "b c@example.org"])
        == 'exempt_accounts = "anna, b c@example.org"'
    )
    assert toml_line("exempt_accounts", []) == 'exempt_accounts = ""'
    assert toml_line("exempt_accounts", ["a,b", "c"]) == 'exempt_accounts = ["a,b", "c"]'
    assert toml_line("exempt_accounts", ['"']) == 'exempt_accounts = "\\""'


@given(st.lists(st.text(min_size=1)))
def test_any_names_come_back_from_the_line(names: list[str]) -> None:
    """The line is one line of printable ASCII."""
    line = toml_line("exempt_accounts", names)

    assert line.isascii()
    assert line.isprintable()
    assert split_list(tomllib.loads(line)["exempt_accounts"]) == tuple(names)


def test_the_lines_keep_what_is_there() -> None:
    """Each takes the place of the one in the file."""
    settings = Settings(allowed_networks="192.0.2.0/24", exempt_accounts="bernd")
    found = Suggestions((ip_network("185.9.12.0/24"),), (b"anna",), ())

    assert allowed_networks_line(found, settings) == 'allowed_networks = "192.0.2.0/24, 185.9.12.0/24"'
    assert exempt_accounts_line(found, settings) == 'exempt_accounts = "bernd, anna"'


def test_a_login_that_is_no_utf8_cannot_be_written() -> None:
    """TOML is UTF-8: the others stand in the line."""
    assert writable([b"anna", b"caf\xe9", "café".encode()]) == [b"anna", "café".encode()]
    assert exempt_accounts_line(Suggestions((), (b"caf\xe9", b"anna"), ()), Settings()) == (
        'exempt_accounts = "anna"'
    )


@pytest.mark.parametrize("names", [*([name] for name in NASTY_LOGINS), NASTY_LOGINS])
def test_the_lines_are_good_for_check_config(tmp_path: Path, names: list[bytes]) -> None:
    """And bring in force what was suggested, whatever the login."""
    accounts = tuple(map(account_of, names))
    found = Suggestions((ip_network("185.9.12.0/24"), ip_network("2001:db8:1::/48")), accounts, ())
    lines = [allowed_networks_line(found, Settings()), exempt_accounts_line(found, Settings())]
    file = tmp_path / "settings.toml"
    file.write_text("\n".join(lines), encoding="ascii")
    result = CliRunner().invoke(app, ["check-config", str(file)])
    loaded = Settings(**tomllib.loads(file.read_text()))

    assert (result.exit_code, result.stderr) == (0, "")
    assert loaded.exempt_accounts == frozenset(accounts)
    assert loaded.allowed_networks == found.networks
    assert "MTPOLICYD_EXEMPT_ACCOUNTS" not in os.environ
