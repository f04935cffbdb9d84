"""A report as an object for JSON."""

import json

import pytest

from admin.report.objects import as_object
from chassis.printable import as_text
from decision.settings import Settings
from tests.support.reports import NASTY_LOGINS, account, origin, reply

SETTINGS = Settings(timezone="Europe/Berlin", count="messages")


def test_everything_is_in_it() -> None:
    """Days, accounts, origins with their networks, countries with their names, suggestions."""
    home = origin(count=9)
    abroad = origin(b"185.9.12.40", "SE", rule="country", enforced=True, count=3)
    over = origin(b"", "DE", rule="quota")

    assert as_object(reply(account(b"anna", home, abroad, over)), SETTINGS) == {
        "first_day": "2026-11-16",
        "last_day": "2026-11-23",
        "time_zone": "Europe/Berlin",
        "recorded_since": "2026-11-18",
        "unit": "messages",
        "truncated": False,
        "accounts": [
            {
                "account": "anna",
                "login": "anna",
                "accepted": 9,
                "refusals": [
                    {
                        "rule": rule,
                        "enforced": enforced,
                        "count": count,
                        "first": "2026-11-18T12:06:40+01:00",
                        "last": "2026-11-18T13:06:40+01:00",
                    }
                    for rule, enforced, count in (("country", True, 3), ("quota", False, 1))
                ],
                "origins": [
                    {
                        "country": country,
                        "address": address,
                        "network": network,
                        "rule": rule,
                        "enforced": enforced,
                        "count": count,
                        "first_day": "2026-11-18",
                        "last_day": "2026-11-18",
                    }
                    for country, address, network, rule, enforced, count in (
                        ("DE", "84.128.0.1", "84.128.0.0/24", None, False, 9),
                        ("SE", "185.9.12.40", "185.9.12.0/24", "country", True, 3),
                        ("DE", "", None, "quota", False, 1),
                    )
                ],
            }
        ],
        "countries": [
            {"country": "DE", "accepted": 9, "refused": 0, "would_be_refused": 1, "name": "Germany"},
            {"country": "SE", "accepted": 0, "refused": 3, "would_be_refused": 0, "name": "Sweden"},
        ],
        "suggestions": {
            "allowed_networks": ["185.9.12.0/24"],
            "exempt_accounts": ["anna"],
            "doubtful_accounts": [],
            "lines": ['allowed_networks = "185.9.12.0/24"', 'exempt_accounts = "anna"'],
        },
    }


def test_an_empty_report_is_an_object_too() -> None:
    """With nothing to suggest."""
    found = as_object(reply(), SETTINGS)

    assert (found["recorded_since"], found["accounts"], found["countries"]) == (None, [], [])
    assert found["suggestions"]["lines"] == []


@pytest.mark.parametrize("name", [*NASTY_LOGINS, b"\xff\xfe"])
def test_any_login_is_json(name: bytes) -> None:
    """In the one form of names."""
    text = json.dumps(as_object(reply(account(name, origin(), origin(rule="quota"))), SETTINGS))
    (found,) = json.loads(text)["accounts"]

    assert text.isascii()
    assert found["account"] == as_text(name)
