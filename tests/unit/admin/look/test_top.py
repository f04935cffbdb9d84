"""`mtpolicyctl top`."""

import json

from admin.look.top import top
from protos import quota_admin_pb2 as pb
from protos import quota_pb2
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome

REPLY = pb.TopReply(
    accounts=[
        pb.TopAccount(account=b"alice", name="quota", unit=quota_pb2.UNIT_RECIPIENTS, used=70, refused=3),
        pb.TopAccount(account=b"bob", name="quota", unit=quota_pb2.UNIT_RECIPIENTS, used=7, maximum=9),
    ],
    total_used=77,
)


def test_the_biggest_sender_stands_first(quota: FakeQuotaAdmin) -> None:
    """Each with the limit in force: an admin's, or the threshold."""
    quota.replies["Top"] = REPLY
    code, out, _ = outcome(invoke(top, "--most", "5"))

    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["user", "limit", "used", "of", "refused"],
        ["alice", "quota", "70", "1000", "3"],
        ["bob", "quota", "7", "9", "0"],
        ["77", "of", "all", "users", "today", "(Europe/Berlin)"],
    ]
    assert quota.requests == [pb.TopRequest(time_zone="Europe/Berlin", most=5)]


def test_programs_get_every_field(quota: FakeQuotaAdmin) -> None:
    """And whether an admin has set the limit."""
    quota.replies["Top"] = REPLY
    found = json.loads(outcome(invoke(top, "--json"))[1])

    assert found["total_used"] == 77
    assert found["accounts"][1] == {
        "account": "bob",
        "name": "quota",
        "unit": "recipients",
        "used": 7,
        "limit": 9,
        "overridden": True,
        "refused": 0,
    }
    assert (found["accounts"][0]["limit"], found["accounts"][0]["overridden"]) == (1000, False)


def test_a_quiet_day_is_an_answer(quota: FakeQuotaAdmin) -> None:
    """With exit code 0."""
    assert outcome(invoke(top)) == (0, "nobody has sent anything today\n", "")
