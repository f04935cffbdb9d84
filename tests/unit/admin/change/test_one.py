"""A change of one account, sent and told."""

import json

import grpc
import pytest
import typer

from admin.change.one import change
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import FakeQuotaAdmin, override

CapSys = pytest.CaptureFixture[str]
WANTED = pb.Change(account=b"alice", set_limit=7)


def test_what_was_done_is_told_with_what_was_before(quota: FakeQuotaAdmin, capsys: CapSys) -> None:
    """Of this account."""
    quota.replies["Change"] = pb.ChangeReply(done=1, before=[override(maximum=5), override(b"b", maximum=6)])
    change(WANTED, said="limit 7", as_json=False)
    assert capsys.readouterr().out == "alice: limit 7 (before: limit 5)\n"

    change(WANTED, said="limit 7", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["account"], found["done"], found["before"][0]["value"]) == ("alice", True, 5)


def test_a_login_that_nobody_has_is_told(quota: FakeQuotaAdmin, capsys: CapSys) -> None:
    """Mistyped, perhaps; what was asked for is done all the same, also where nobody can tell."""
    quota.replies["Usage"] = pb.UsageReply()
    change(WANTED, said="limit 7", as_json=False)
    change(WANTED, said="limit 7", as_json=True)
    change(WANTED, said="cleared", nothing="none was set", as_json=False)
    quota.errors["Usage"] = (grpc.StatusCode.UNAVAILABLE, "the store cannot be read")
    change(WANTED, said="limit 7", as_json=False)

    done, told, as_json, *others = capsys.readouterr().out.splitlines()
    assert (done, others) == ("alice: limit 7", ["alice: cleared", "alice: limit 7"])
    assert told.startswith("No mail of this login was seen in 31 days.")
    assert told.endswith("is it alice?")
    assert json.loads(as_json)["seen"] is False


def test_nothing_to_take_away_is_a_no(quota: FakeQuotaAdmin, capsys: CapSys) -> None:
    """Exit code 1; what is set a second time is in force all the same."""
    quota.replies["Change"] = pb.ChangeReply(done=0)
    with pytest.raises(typer.Exit) as caught:
        change(WANTED, said="cleared", nothing="none was set", as_json=False)
    assert caught.value.exit_code == 1
    with pytest.raises(typer.Exit):
        change(WANTED, said="cleared", nothing="none was set", as_json=True)
    change(WANTED, said="limit 7", as_json=False)

    none, as_json, again = capsys.readouterr().out.splitlines()
    assert (none, again) == ("alice: none was set", "alice: limit 7")
    assert json.loads(as_json) == {"account": "alice", "done": False, "before": []}
