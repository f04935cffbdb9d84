"""One mail through all lists."""

import pytest

from admin.doctor.clients import Kind, Networks, Origin
from admin.doctor.effects import Surroundings
from admin.doctor.flows import Why
from admin.doctor.lists import split_braced
from admin.doctor.tables import Tables
from admin.doctor.verdict import Answer, Verdict, judge, stages, starts

OURS = "check_policy_service inet:127.0.0.1:12345"
LOGIN = Kind(login=True, origin=Origin.OUTSIDE)
RELAY = {"smtpd_relay_restrictions": "permit_sasl_authenticated, reject_unauth_destination"}


def surroundings(**values: str) -> Surroundings:
    tables = Tables()
    return Surroundings(
        {"smtpd_sasl_auth_enable": "yes"}
        | RELAY
        | {f"smtpd_{name}": value for name, value in values.items()},
        {"safe": split_braced("permit_mynetworks, reject")},
        Networks.parse("127.0.0.0/8", tables),
        tables,
        is_ours,
    )


def is_ours(endpoint: str) -> bool:
    return endpoint.endswith(":12345")


def judged(**values: str) -> Verdict:
    return judge(surroundings(**values), LOGIN, is_ours=is_ours)


def judged_by_proxy(**values: str) -> Verdict:
    return judge(surroundings(**values), LOGIN, is_ours=is_ours, certain=False)


@pytest.mark.parametrize("place", ["client", "helo", "sender", "relay", "recipient", "data", "end_of_data"])
def test_the_check_may_stand_in_any_list(place: str) -> None:
    """With smtpd_delay_reject, and a permit in one list ends no other."""
    first = {f"{place}_restrictions": f"{OURS}, permit_sasl_authenticated, reject_unauth_destination"}

    assert judged(**first).answer is Answer.COVERED


@pytest.mark.parametrize("place", ["client", "helo", "sender"])
def test_before_the_recipients_nothing_is_counted(place: str) -> None:
    """Without smtpd_delay_reject these lists are walked too early."""
    found = judged(delay_reject="no", **{f"{place}_restrictions": OURS})

    assert found.answer is Answer.NOT_COVERED
    assert len(found.asks) == 1


def test_why_it_is_not_covered() -> None:
    """The permit is named with its list."""
    found = judged(recipient_restrictions=f"permit_sasl_authenticated, {OURS}")

    assert found.answer is Answer.NOT_COVERED
    assert Why("permit", "permit_sasl_authenticated", "smtpd_recipient_restrictions") in found.why


def test_a_part_is_told() -> None:
    """An entry of a table lets some mail pass."""
    found = judged(recipient_restrictions=f"check_sender_access inline:{{a=OK}}, {OURS}")

    assert (found.answer, found.partly) == (Answer.NOT_COVERED, True)


def test_doubt_is_never_covered() -> None:
    """And mail that may not exist is never certainly uncovered."""
    found = judged(recipient_restrictions=f"check_sender_access mysql:/x, {OURS}")

    assert found.answer is Answer.UNKNOWN
    assert [why.key for why in found.why] == ["table_unread"]
    assert judged_by_proxy().answer is Answer.UNKNOWN
    assert judged_by_proxy(recipient_restrictions=OURS).answer is Answer.COVERED


def test_a_refusal_that_is_only_logged_guards_nothing() -> None:
    """warn_if_reject."""
    assert judged(recipient_restrictions=f"warn_if_reject {OURS}").answer is Answer.NOT_COVERED


def test_asked_twice_is_told() -> None:
    """At one stage; two stages are two."""
    assert judged(recipient_restrictions=f"{OURS}, {OURS}").twice
    assert not judged(recipient_restrictions=OURS, end_of_data_restrictions=OURS).twice


def test_mail_that_is_refused_cannot_come_in() -> None:
    """Nor can any where smtpd does not start."""
    assert judged(client_restrictions="reject").answer is Answer.NONE
    assert judged(relay_restrictions="permit").answer is Answer.NONE


@pytest.mark.parametrize(
    ("relay", "recipient", "runs"),
    [
        ("", "", False),
        ("", "reject_unauth_destination", True),
        ("defer", "", True),
        ("warn_if_reject reject", "", False),
        ("permit, reject", "", False),
        ("safe", "", True),
    ],
)
def test_when_smtpd_starts(relay: str, recipient: str, runs: bool) -> None:
    """has_required() of smtpd_check.c."""
    assert starts(surroundings(relay_restrictions=relay, recipient_restrictions=recipient)) is runs


def test_the_order_of_relay_and_recipient_is_a_setting() -> None:
    """Which matters for what is asked twice, not for what is asked."""
    names = [name for name, _ in stages({"smtpd_relay_before_recipient_restrictions": "no"})]

    assert names.index("smtpd_recipient_restrictions") < names.index("smtpd_relay_restrictions")
