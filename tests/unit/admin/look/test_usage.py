"""`mtpolicyctl usage USER`."""

import json

import pytest

from admin.look.usage import usage
from protos import quota_admin_pb2 as pb
from protos import quota_pb2
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome, override

REPLY = pb.UsageReply(
    account=b"alice",
    login=b"Alice",
    days=[
        pb.DayUsage(day="2026-11-24", name="quota", unit=quota_pb2.UNIT_RECIPIENTS, used=33, refused=2),
        pb.DayUsage(day="2026-11-24", name="country", refused=4),
    ],
    origins=[
        quota_pb2.Origin(country="DE", address=b"84.128.0.1", count=33),
        quota_pb2.Origin(
            country="US", address=b"8.8.8.8", count=4, rule="country", mode=quota_pb2.MODE_ENFORCE
        ),
        quota_pb2.Origin(count=1, rule="country", mode=quota_pb2.MODE_OBSERVE),
    ],
    overrides=[
        override(maximum=2000, until_unix_ms=1_800_000_000_000, reason="newsletter"),
        override(lock=True),
    ],
)


def test_what_is_known_is_shown(quota: FakeQuotaAdmin) -> None:
    """The limit in force, the days, where mail came from."""
    quota.replies["Usage"] = REPLY
    code, out, err = outcome(invoke(usage, "ALICE", "--days", "2"))
    lines = [" ".join(line.split()) for line in out.splitlines()]

    assert (code, err) == (0, "")
    assert lines[:3] == [
        "alice, typed as Alice: limit 2000 recipients a day",
        "set by root@mail: limit 2000 until 2027-01-15 09:00: newsletter",
        "set by root@mail: lock",
    ]
    assert "2026-11-24 quota 33 recipients 2" in lines
    assert "2026-11-24 country - - 4" in lines
    assert "DE (Germany) 84.128.0.1 33 accepted" in lines
    assert "US (United States) 8.8.8.8 4 refused by country" in lines
    assert "- - 1 would be refused by country" in lines
    assert quota.requests == [pb.UsageRequest(account=b"alice", time_zone="Europe/Berlin", days=2)]


def test_programs_get_every_field(quota: FakeQuotaAdmin) -> None:
    """What there is not is null."""
    quota.replies["Usage"] = REPLY
    found = json.loads(outcome(invoke(usage, "--json", "alice"))[1])

    assert (found["account"], found["login"], found["limit"]) == ("alice", "Alice", 2000)
    assert found["days"][1] == {"day": "2026-11-24", "name": "country", "unit": None, "used": 0, "refused": 4}
    assert found["origins"][1] == {
        "country": "US",
        "address": "8.8.8.8",
        "rule": "country",
        "enforced": True,
        "count": 4,
    }
    assert [one["what"] for one in found["overrides"]] == ["limit", "lock"]


def test_an_exempt_account_is_told(quota: FakeQuotaAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one answer to why nothing is refused."""
    quota.replies["Usage"] = REPLY
    monkeypatch.setenv("MTPOLICYD_EXEMPT_ACCOUNTS", "bob, Alice")
    _, out, _ = outcome(invoke(usage, "alice"))

    assert out.splitlines()[1] == "exempt by the settings: counted, but refused by a lock alone"
    assert json.loads(outcome(invoke(usage, "--json", "alice"))[1])["exempt"]


def test_a_user_who_is_not_known_is_a_no(quota: FakeQuotaAdmin) -> None:
    """Exit code 1: a login without its domain is another account."""
    quota.replies["Usage"] = pb.UsageReply(account=b"-rf")
    code, out, _ = outcome(invoke(usage, "--", "-rf"))

    assert code == 1
    assert out == "nothing is known of -rf; the login counts as a whole, with its domain\n"
    code, out, _ = outcome(invoke(usage, "--json", "nobody"))
    assert (code, json.loads(out)["limit"], json.loads(out)["login"]) == (1, 1000, None)
    assert quota.requests[0].account == b"-rf"


def test_a_name_that_is_none_asks_nobody(quota: FakeQuotaAdmin) -> None:
    """Exit code 2."""
    assert outcome(invoke(usage, "a\nb")) == (
        2,
        "",
        "control characters are in the name; if they are meant: base64:YQpi\n",
    )
    assert quota.requests == []
