"""`mtpolicyctl export`."""

import json

import grpc

from admin.change.exporting import export
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome, override

FOUND = [
    override(b"alice", maximum=500, until_unix_ms=1_800_000_000_000, reason='a "b", c'),
    override(b"b\xff", countries=["FR", "IT"]),
    override(b"karl", lock=True),
]


def test_overrides_are_written_as_csv(quota: FakeQuotaAdmin) -> None:
    """With a header; one line each."""
    quota.pages = [FOUND[:1], FOUND[1:]]
    code, out, err = outcome(invoke(export))

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "account,what,value,until,reason,who,set",
        'alice,limit,500,2027-01-15T09:00:00+01:00,"a ""b"", c",root@mail,2027-01-15T09:00:00+01:00',
        "base64:Yv8=,country,FR IT,,,root@mail,2027-01-15T09:00:00+01:00",
        "karl,lock,,,,root@mail,2027-01-15T09:00:00+01:00",
    ]


def test_overrides_are_written_as_json(quota: FakeQuotaAdmin) -> None:
    """An array; an empty one, too."""
    quota.pages = [FOUND]
    found = json.loads(outcome(invoke(export, "--json"))[1])
    assert [one["value"] for one in found] == [500, ["FR", "IT"], None]

    quota.pages = [[]]
    assert outcome(invoke(export, "--json")) == (0, "[]\n", "")


def test_all_that_is_kept_of_a_user_is_written(quota: FakeQuotaAdmin) -> None:
    """Table by table."""
    quota.replies["ExportAccount"] = [
        pb.ExportPart(table="counters", rows=['{"used": 1}', '{"used": 2}']),
        pb.ExportPart(table="counters", rows=['{"used": 3}']),
        pb.ExportPart(table="audit"),
    ]
    code, out, err = outcome(invoke(export, "ALICE"))
    found = json.loads(out)

    assert (code, err) == (0, "")
    assert found["account"] == "alice"
    assert found["at"].startswith("20")
    assert found["tables"] == {"counters": [{"used": 1}, {"used": 2}, {"used": 3}], "audit": []}
    assert "Prometheus" in found["elsewhere"]
    assert quota.requests == [pb.ExportAccountRequest(account=b"alice")]


def test_an_empty_name_is_not_all_users(quota: FakeQuotaAdmin) -> None:
    """A script's empty variable does not hand out what is set for everybody."""
    assert outcome(invoke(export, "")) == (2, "", "the name of the user is empty\n")
    assert quota.requests == []


def test_nothing_kept_is_a_no(quota: FakeQuotaAdmin) -> None:
    """Exit code 1, and an object without rows."""
    code, out, _ = outcome(invoke(export, "nobody"))

    assert (code, json.loads(out)["tables"]) == (1, {})


def test_half_an_answer_is_none(quota: FakeQuotaAdmin) -> None:
    """Nothing is written that looks whole."""
    quota.errors["ExportAccount"] = (grpc.StatusCode.UNAVAILABLE, "the store is away")
    code, out, err = outcome(invoke(export, "alice"))

    assert (code, out) == (3, "")
    assert err.endswith(": the store is away\n")
