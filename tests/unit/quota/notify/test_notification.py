"""What is told, as JSON fields and as fields of a text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision.settings import RULE_NAMES
from quota.app import RULES
from quota.domain import LOCK
from quota.notify.notification import (
    FIELDS,
    KINDS,
    TEST,
    json_fields,
    nearly_full,
    refused,
    shown,
    summary,
    text_fields,
)
from quota.service import LIMITS
from tests.support.notifications import HOST, notification


def test_every_rule_that_quota_knows_has_its_kinds() -> None:
    """One for its refusals, one more for 80 % of a limit. Who locks an account knows it."""
    assert set(RULES) == {*RULE_NAMES, LOCK}
    assert set(KINDS) == {*map(refused, RULE_NAMES), *map(nearly_full, LIMITS)}


def test_json_has_all_keys_always() -> None:
    """Times with the offset of the period's time zone."""
    assert json_fields(notification(), HOST) == {
        "id": "0123456789abcdef0123456789abcdef",
        "kind": "quota_refused",
        "account": "alice@example.org",
        "rule": "quota",
        "country": "DE",
        "address": "84.128.0.1",
        "decision_id": "kbtd6g2g79",
        "used": 1000,
        "limit": 1000,
        "since": "2026-11-23T12:00:00+01:00",
        "until": "2026-11-24T00:00:00+01:00",
        "host": "mail.example.org",
    }


def test_json_has_null_where_there_is_no_value() -> None:
    """The keys stay."""
    bare = notification(country="", address=b"", decision_id="", used=None, maximum=None, rule="")
    fields = json_fields(bare, HOST)

    assert fields.keys() == json_fields(notification(), HOST).keys()
    assert [name for name, value in fields.items() if value is None] == [
        "rule",
        "country",
        "address",
        "decision_id",
        "used",
        "limit",
    ]


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (notification(), "alice@example.org is refused: over its limit (1000 of 1000)"),
        (
            notification(kind="quota_80_percent", used=800),
            "alice@example.org has used 80 % of its limit (800 of 1000)",
        ),
        (
            notification(kind="country_refused", rule="country", country="US", used=None, maximum=None),
            "alice@example.org is refused by the rule country (from US)",
        ),
        (
            notification(kind="country_refused", rule="country", country="", used=None, maximum=None),
            "alice@example.org is refused by the rule country",
        ),
        (notification(kind=TEST), "Test: notifications of mail.example.org arrive here"),
    ],
)
def test_a_summary_is_one_sentence(told: object, text: str) -> None:
    assert summary(told, HOST) == text  # type: ignore[arg-type]


@given(st.binary(max_size=2000), st.text(max_size=300))
def test_a_text_field_is_one_line_whatever_a_login_is(account: bytes, decision_id: str) -> None:
    """No line break of any script, no control character, no turned direction of writing."""
    fields = text_fields(notification(account=account, decision_id=decision_id), HOST)

    assert set(fields) == set(FIELDS)
    for value in fields.values():
        assert value.isprintable()
        assert len(value.splitlines()) <= 1
        assert len(value) <= 500


@given(st.text(max_size=200))
def test_in_json_a_login_is_exact(login: str) -> None:
    """The receiver may compare it; json.dumps escapes what must be."""
    told = notification(account=login.encode("utf-8", "surrogatepass"))
    if not any("\ud800" <= letter <= "\udfff" for letter in login):
        assert json.loads(json.dumps(json_fields(told, HOST)))["account"] == login


def test_bytes_that_are_no_text_are_shown() -> None:
    assert json_fields(notification(account=b"\xff\xfebob"), HOST)["account"] == r"\xff\xfebob"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("müller", "müller"),
        ("a\r\nBcc: x@y", r"a\r\nBcc: x@y"),
        ("\u202eevil", r"\u202eevil"),
        ("a\u2028b\x85c\x00", r"a\u2028b\x85c\x00"),
        ("x" * 257, "x" * 253 + "..."),
    ],
)
def test_shown_is_printable_in_any_script(text: str, line: str) -> None:
    assert shown(text) == line
