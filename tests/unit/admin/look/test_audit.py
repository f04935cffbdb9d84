"""`mtpolicyctl audit`."""

import json

from admin.look.audit import audit
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome

REPLY = pb.AuditReply(
    entries=[
        pb.AuditEntry(
            at_unix_ms=1_800_000_000_000,
            who="root@mail",
            what="limit",
            account=b"alice",
            value="500",
            until_unix_ms=1_800_000_060_000,
            reason="[b]why[/b]",
        ),
        pb.AuditEntry(at_unix_ms=1_800_000_000_000, who="eve\x1b@mail", what="token-refused"),
    ]
)


def test_each_entry_is_a_row(quota: FakeQuotaAdmin) -> None:
    """Whatever somebody has called himself."""
    quota.replies["Audit"] = REPLY
    code, out, _ = outcome(invoke(audit, "--user", "Alice"))

    assert code == 0
    _, set_, refused = [line.split() for line in out.splitlines()]
    assert " ".join(set_) == ("2027-01-15 09:00:00 CET root@mail limit alice 500 2027-01-15 09:01 [b]why[/b]")
    assert refused[3:] == ["eve\\x1b@mail", "token-refused", "-", "-", "-", "-"]
    assert quota.requests == [pb.AuditRequest(most=50, account=b"alice")]


def test_programs_get_a_list(quota: FakeQuotaAdmin) -> None:
    """What there is not is null."""
    quota.replies["Audit"] = REPLY
    found = json.loads(outcome(invoke(audit, "--json"))[1])

    assert found == [
        {
            "at": "2027-01-15T09:00:00+01:00",
            "who": "root@mail",
            "what": "limit",
            "account": "alice",
            "value": "500",
            "until": "2027-01-15T09:01:00+01:00",
            "reason": "[b]why[/b]",
        },
        {
            "at": "2027-01-15T09:00:00+01:00",
            "who": "eve\x1b@mail",
            "what": "token-refused",
            "account": None,
            "value": None,
            "until": None,
            "reason": "",
        },
    ]
    assert quota.requests == [pb.AuditRequest(most=50)]


def test_an_empty_name_is_not_all_users(quota: FakeQuotaAdmin) -> None:
    """It is a script's empty variable."""
    assert outcome(invoke(audit, "--user", "")) == (2, "", "the name of the user is empty\n")


def test_an_empty_log_is_an_answer(quota: FakeQuotaAdmin) -> None:
    """With exit code 0."""
    assert outcome(invoke(audit)) == (0, "nothing was changed\n", "")
