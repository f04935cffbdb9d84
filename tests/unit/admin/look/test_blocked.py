"""`mtpolicyctl blocked`."""

import json

from admin.look.blocked import blocked
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome

AT = 1_800_000_000_000
OVER = pb.BlockedAccount(
    account=b"[red]\x1b",
    rule="quota",
    since_unix_ms=AT,
    until_unix_ms=AT + 3_600_000,
    has_limit=True,
    used=10,
    maximum=12,
    last_decision_id="kbtd6g2g79",
)
ABROAD = pb.BlockedAccount(account=b"bob", rule="country", country="US", since_unix_ms=AT)


def test_each_account_is_a_row(quota: FakeQuotaAdmin) -> None:
    """With the end of its period; a login is shown as it can be typed."""
    quota.replies["Blocked"] = pb.BlockedReply(accounts=[OVER, ABROAD], total=3)
    code, out, err = outcome(invoke(blocked))

    assert (code, err) == (0, "")
    heading, over, abroad, more = out.splitlines()
    assert heading.split() == ["user", "rule", "country", "since", "until", "used", "last", "id"]
    assert over.split("  ")[0] == "base64:W3JlZF0b"
    assert "10 of 12  kbtd6g2g79" in over
    assert "2027-01-15 09:00  2027-01-15 10:00" in over
    assert "US (United States)" in abroad
    assert more == "2 of 3; --most lists more"
    assert [request.most for request in quota.requests] == [50]


def test_programs_get_every_field(quota: FakeQuotaAdmin) -> None:
    """What there is not is null."""
    quota.replies["Blocked"] = pb.BlockedReply(accounts=[OVER, ABROAD], total=2)
    _, out, _ = outcome(invoke(blocked, "--json", "--most", "1000"))

    assert json.loads(out) == {
        "total": 2,
        "accounts": [
            {
                "account": "base64:W3JlZF0b",
                "rule": "quota",
                "country": None,
                "since": "2027-01-15T09:00:00+01:00",
                "until": "2027-01-15T10:00:00+01:00",
                "used": 10,
                "limit": 12,
                "last_id": "kbtd6g2g79",
            },
            {
                "account": "bob",
                "rule": "country",
                "country": "US",
                "since": "2027-01-15T09:00:00+01:00",
                "until": None,
                "used": None,
                "limit": None,
                "last_id": None,
            },
        ],
    }


def test_nobody_is_an_answer(quota: FakeQuotaAdmin) -> None:
    """With exit code 0; a number out of range is none."""
    assert outcome(invoke(blocked)) == (0, "nobody is refused now\n", "")
    assert outcome(invoke(blocked, "--json")) == (0, '{"total": 0, "accounts": []}\n', "")
    assert outcome(invoke(blocked, "--most", "1001"))[0] == 2
