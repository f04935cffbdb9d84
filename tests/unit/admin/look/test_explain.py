"""`mtpolicyctl explain ID`."""

import json
import shlex

import grpc
import pytest

from admin.look.explain import advice, explain, read_id
from admin.talk.exits import EndError
from decision.settings import MAX_THRESHOLD
from protos import quota_admin_pb2 as pb
from protos import quota_pb2
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome

ID = "kbtd6g2g79"
ABROAD = pb.RefusalRecord(
    decision_id=ID,
    at_unix_ms=1_800_000_000_000,
    account=b"alice",
    login=b"Alice",
    rule="country",
    mode=quota_pb2.MODE_ENFORCE,
    country="US",
    address=b"8.8.8.8",
    sender=b"x\x1b@example.org",
    recipient=b"bob@example.net",
    settings="0a1b2c3d",
    detail="Sending mail from country US is not allowed",
)
OVER = pb.RefusalRecord(
    decision_id=ID,
    at_unix_ms=1_800_000_000_000,
    account=b"-al ice",
    login=b"-al ice",
    rule="quota",
    mode=quota_pb2.MODE_OBSERVE,
    recipient_count=3,
    has_limit=True,
    used=999,
    maximum=1000,
    resets_unix_ms=1_800_000_060_000,
)


def test_a_refusal_is_explained(quota: FakeQuotaAdmin) -> None:
    """Rule, country, addresses, settings; and how to go on."""
    quota.replies["Explain"] = ABROAD
    code, out, err = outcome(invoke(explain, f"554 5.7.1 ... not allowed (id {ID})"))
    lines = [" ".join(line.split()) for line in out.splitlines()]

    assert (code, err) == (0, "")
    assert lines == [
        f"id {ID}",
        "refused 2027-01-15 09:00:00 CET",
        "user alice, typed as Alice",
        "rule country: Sending mail from country US is not allowed",
        "country US (United States)",
        "address 8.8.8.8",
        "sender base64:eBtAZXhhbXBsZS5vcmc=",
        "recipient bob@example.net",
        "settings 0a1b2c3d",
        "",
        "What else it sends: mtpolicyctl usage alice",
        "To let it pass: mtpolicyctl country allow --until tonight alice US",
        "If it is stolen: mtpolicyctl lock --reason stolen alice",
    ]
    assert quota.requests == [pb.ExplainRequest(decision_id=ID)]


def test_the_advice_is_a_limit_that_can_be_set(quota: FakeQuotaAdmin) -> None:
    """Twice the highest cannot."""
    record = pb.RefusalRecord()
    record.CopyFrom(OVER)
    record.maximum = MAX_THRESHOLD
    quota.replies["Explain"] = record

    assert f" {MAX_THRESHOLD}\n" in outcome(invoke(explain, ID))[1]


def test_a_limit_is_explained_with_its_counters(quota: FakeQuotaAdmin) -> None:
    """Those of that moment; a name that needs it is quoted, and stands behind dashes."""
    quota.replies["Explain"] = OVER
    lines = [" ".join(line.split()) for line in outcome(invoke(explain, ID))[1].splitlines()]

    assert "would be refused 2027-01-15 09:00:00 CET" in lines
    assert "recipients 3" in lines
    assert "used then 999 of 1000, the period ends 2027-01-15 09:01:00 CET" in lines
    assert "To let it pass: mtpolicyctl limit set --until tonight -- '-al ice' 2000" in lines


@pytest.mark.parametrize(
    ("record", "commands"),
    [
        (pb.RefusalRecord(account=b"a", rule="lock"), ["audit --user=a", "unlock a"]),
        (pb.RefusalRecord(account=b"a'b", rule="country", country=""), ["usage 'a'\"'\"'b'"]),
        (pb.RefusalRecord(account=b"\xff", rule="country", country="x;"), ["usage base64:/w=="]),
    ],
)
def test_no_advice_holds_what_was_not_checked(record: pb.RefusalRecord, commands: list[str]) -> None:
    """It is made to be pasted into a shell."""
    lines = advice(record)

    assert [line.partition("mtpolicyctl ")[2] for line in lines] == commands
    assert all(shlex.split(line.partition(": ")[2]) for line in lines)


def test_programs_get_every_field(quota: FakeQuotaAdmin) -> None:
    """What there is not is null."""
    quota.replies["Explain"] = ABROAD
    found = json.loads(outcome(invoke(explain, "--json", ID))[1])

    assert found == {
        "id": ID,
        "at": "2027-01-15T09:00:00+01:00",
        "account": "alice",
        "login": "Alice",
        "rule": "country",
        "enforced": True,
        "detail": "Sending mail from country US is not allowed",
        "country": "US",
        "address": "8.8.8.8",
        "sender": "base64:eBtAZXhhbXBsZS5vcmc=",
        "recipient": "bob@example.net",
        "recipient_count": 0,
        "used": None,
        "limit": None,
        "resets": None,
        "settings": "0a1b2c3d",
    }


def test_what_is_not_kept_is_a_no(quota: FakeQuotaAdmin) -> None:
    """Exit code 1, with the id that was looked for."""
    quota.errors["Explain"] = (grpc.StatusCode.NOT_FOUND, "nothing")
    code, out, err = outcome(invoke(explain, ID))

    assert (code, out) == (1, "")
    assert err.startswith(f"nothing is kept of {ID}: ")
    quota.errors["Explain"] = (grpc.StatusCode.UNAVAILABLE, "no store")
    assert outcome(invoke(explain, ID))[0] == 3


@pytest.mark.parametrize("text", [ID, f" {ID.upper()}\n", f"451 4.7.1 x (id {ID})", "kbtd6g2g79"])
def test_an_id_is_found_in_what_the_user_sends(text: str) -> None:
    """In capitals, with letters that look like digits, in the whole error."""
    assert read_id(text) == ID
    assert read_id("OIL4567890") == "0114567890"


@pytest.mark.parametrize("text", ["", "x", ID + "0", "kbtd6g2g7!", "(id \x1b)"])
def test_what_is_no_id_asks_nobody(quota: FakeQuotaAdmin, text: str) -> None:
    """Exit code 2, and what an id looks like."""
    with pytest.raises(EndError, match="is no id: an id has 10 digits and letters") as caught:
        read_id(text)

    assert caught.value.code == 2
    assert str(caught.value).isprintable()
