"""The overrides in force."""

import json

import pytest

from admin.change.overrides import fetch, fetch_pages, print_overrides
from tests.support.admin_fakes import FakeQuotaAdmin, override

CapSys = pytest.CaptureFixture[str]
UNTIL = 1_800_000_000_000


def test_all_pages_are_fetched(quota: FakeQuotaAdmin) -> None:
    """In their order; or those of one account."""
    quota.pages = [[override(b"a", lock=True), override(b"b", maximum=1)], [], [override(b"c", maximum=2)]]

    assert [one.account for one in fetch()] == [b"a", b"b", b"c"]
    assert fetch_pages(len, b"b") == [2, 0, 1]
    assert [(request.after, request.account) for request in quota.requests[:4]] == [
        (b"", b""),
        (b"1", b""),
        (b"2", b""),
        (b"", b"b"),
    ]


def test_a_list_has_one_kind(quota: FakeQuotaAdmin, capsys: CapSys) -> None:
    """As a table, or as objects that `import` reads."""
    quota.pages = [[override(maximum=5, until_unix_ms=UNTIL, reason="[b]"), override(countries=["FR"])]]
    print_overrides("limit", as_json=False)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "user limit until reason who set",
        "alice 5 2027-01-15 09:00 [b] root@mail 2027-01-15 09:00",
    ]

    print_overrides("country", as_json=True)
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["what"], one["value"], one["until"]) == ("country", ["FR"], None)

    quota.pages = [[]]
    print_overrides("country", as_json=False)
    print_overrides("country", as_json=True)
    assert capsys.readouterr().out == "no country is set\n[]\n"
