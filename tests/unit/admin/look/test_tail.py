"""`mtpolicyctl tail`."""

import json

import grpc
import pytest

from admin.look.tail import tail
from protos import decision_admin_pb2 as pb
from tests.support.admin_fakes import FakeDecisionAdmin, invoke, outcome

AT = 1_800_000_000_000
REFUSED = pb.TailDecision(
    at_unix_ms=AT,
    id="kbtd6g2g79",
    action="DEFER",
    reason="quota",
    mode="enforce",
    login=b"[red]\x1b",
    account=b"[red]\x1b",
    client=b"84.128.0.1",
    country="DE",
    sender=b"alice@example.org",
    recipient=b"bob@example.net",
    stage="RCPT",
    has_limit=True,
    used=3,
    limit=3,
    refused=1,
    settings="0a1b2c3d",
    instance="1f2a",
    ms=1.5,
)
OBSERVED = pb.TailDecision(
    at_unix_ms=AT,
    id="0123456789",
    action="DUNNO",
    reason="country",
    mode="observe",
    account=b"bob",
    recipient_count=7,
    would_refuse="country",
    permitted="other",
)


def test_each_decision_is_a_line(decision: FakeDecisionAdmin) -> None:
    """Who, what, why, from where, to whom; what was lost is told where it is missing."""
    decision.told = [pb.TailReply(decisions=[REFUSED]), pb.TailReply(decisions=[OBSERVED], lost=5)]
    code, out, err = outcome(invoke(tail))

    assert out.splitlines() == [
        "09:00:00 DEFER  quota base64:W3JlZF0b from 84.128.0.1 DE to bob@example.net 3 of 3 (id kbtd6g2g79)",
        "... 5 left out: this reader is too slow",
        (
            "09:00:00 DUNNO  country (observe: country) (permitted: other) bob from - -"
            " to 7 recipients (id 0123456789)"
        ),
    ]
    assert code == 3
    assert err.startswith("watching decision at 127.0.0.1:")
    assert err.endswith(" has ended\n")


def test_programs_get_one_object_a_line(decision: FakeDecisionAdmin) -> None:
    """With the names of the log line."""
    decision.told = [pb.TailReply(decisions=[REFUSED, OBSERVED], lost=5)]
    lost, refused, observed = map(json.loads, outcome(invoke(tail, "--json"))[1].splitlines())

    assert lost == {"lost": 5}
    assert refused == {
        "at": "2027-01-15T09:00:00+01:00",
        "id": "kbtd6g2g79",
        "action": "DEFER",
        "reason": "quota",
        "mode": "enforce",
        "account": "base64:W3JlZF0b",
        "login": "base64:W3JlZF0b",
        "client": "84.128.0.1",
        "country": "DE",
        "sender": "alice@example.org",
        "recipient": "bob@example.net",
        "recipient_count": 0,
        "stage": "RCPT",
        "used": 3,
        "limit": 3,
        "refused": 1,
        "would_refuse": [],
        "permitted": [],
        "instance": "1f2a",
        "queue_id": "",
        "settings": "0a1b2c3d",
        "ms": 1.5,
    }
    assert (observed["would_refuse"], observed["permitted"]) == (["country"], ["other"])
    assert (observed["used"], observed["country"]) == (None, None)


@pytest.mark.parametrize(("typed", "sent"), [("reject", "REJECT"), ("NONE", "none"), ("OK", "OK")])
def test_filters_are_decisions_business(decision: FakeDecisionAdmin, typed: str, sent: str) -> None:
    """Their case is forgiven."""
    invoke(tail, "--user", "ALICE", "--reason", "Quota", "--action", typed)

    assert decision.requests == [pb.TailRequest(account=b"alice", reason="quota", action=sent)]


@pytest.mark.parametrize(
    ("status", "code"), [(grpc.StatusCode.INVALID_ARGUMENT, 2), (grpc.StatusCode.RESOURCE_EXHAUSTED, 2)]
)
def test_what_decision_does_not_want_is_told(
    decision: FakeDecisionAdmin, status: grpc.StatusCode, code: int
) -> None:
    """Before anything is said of watching."""
    decision.errors["Tail"] = (status, "OK is no action")
    assert outcome(invoke(tail)) == (code, "", "OK is no action\n")


def test_an_empty_name_is_not_all_users(decision: FakeDecisionAdmin) -> None:
    """It is a script's empty variable."""
    assert outcome(invoke(tail, "--user", "")) == (2, "", "the name of the user is empty\n")


@pytest.mark.usefixtures("settings")
def test_without_decision_there_is_nothing_to_watch() -> None:
    """Exit code 3, with the address."""
    code, _, err = outcome(invoke(tail))

    assert code == 3
    assert err.startswith("no answer from decision at 127.0.0.1:")
    assert err.count("\n") == 1
