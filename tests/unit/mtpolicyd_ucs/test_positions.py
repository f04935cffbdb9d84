"""Where the check is put, by what a site has."""

from mtpolicyd_ucs.listening import Listening
from mtpolicyd_ucs.positions import (
    OPTIONS,
    SMTPD,
    SUBMISSION,
    asking,
    at_end_of_data,
    at_recipients,
    late_checks,
)
from mtpolicyd_ucs.restrictions import check_for, check_without_blanks

WHERE = Listening(("127.0.0.1",), 12345)
CHECK = check_for(WHERE.reached_at)
LATE = check_without_blanks(WHERE.reached_at)
UCS = {
    f"{SMTPD}10": "permit_mynetworks",
    f"{SMTPD}30": "permit_sasl_authenticated",
    f"{SMTPD}50": "reject_unauth_destination",
    f"{SMTPD}80": "check_policy_service inet:127.0.0.1:12340",
}
OWN = {f"{prefix}smtpd_recipient_restrictions": "$submission_recipient_restrictions" for prefix in OPTIONS}


def test_a_fresh_system_has_it_at_slot_08() -> None:
    """Nothing else is needed."""
    assert at_recipients(UCS, WHERE) == ({f"{SMTPD}08-mtpolicyd": CHECK}, ())


def test_slots_are_compared_as_strings() -> None:
    """`100` stands between `10` and `30`, and `5` after all of them."""
    first = {f"{SMTPD}0": "permit_mynetworks", **UCS}
    assert at_recipients(first, WHERE).wanted == {}
    assert "permits before every slot" in at_recipients(first, WHERE).left_out[0]
    assert at_recipients({f"{SMTPD}5": "permit", **UCS}, WHERE).wanted == {f"{SMTPD}08-mtpolicyd": CHECK}


def test_a_list_for_submission_has_it_only_where_it_is_used() -> None:
    """Its variables alone do nothing."""
    unused = {**UCS, f"{SUBMISSION}10": "permit_sasl_authenticated"}
    assert set(at_recipients(unused, WHERE).wanted) == {f"{SMTPD}08-mtpolicyd"}
    used = at_recipients({**unused, **OWN}, WHERE)
    assert set(used.wanted) == {f"{SMTPD}08-mtpolicyd", f"{SUBMISSION}08-mtpolicyd"}
    assert used.left_out == ()


def test_an_empty_list_is_not_filled_with_the_check_alone() -> None:
    """It would permit nobody, or everybody."""
    found = at_recipients({**UCS, **OWN}, WHERE)

    assert set(found.wanted) == {f"{SMTPD}08-mtpolicyd"}
    assert found.left_out == (f"{SUBMISSION}* is empty: a check alone would be no list",)


def test_the_own_slot_follows_another_address() -> None:
    """And is no check by hand."""
    old = {**UCS, f"{SMTPD}08-mtpolicyd": check_for("127.0.0.1:10031")}

    assert at_recipients(old, WHERE).wanted == {f"{SMTPD}08-mtpolicyd": CHECK}


def test_the_end_of_data_has_the_form_without_blanks_before_what_is_there() -> None:
    """Once."""
    name = f"{OPTIONS[0]}smtpd_end_of_data_restrictions"
    assert at_end_of_data({}, WHERE).wanted[name] == LATE
    assert at_end_of_data({name: "reject"}, WHERE).wanted[name] == f"{LATE},reject"
    assert at_end_of_data({name: f"{LATE},reject"}, WHERE).wanted[name] == f"{LATE},reject"


def test_checks_that_come_too_late_are_found() -> None:
    """That at slot 79, not that at slot 08."""
    there = {**UCS, f"{SMTPD}79": CHECK, f"{SMTPD}08-mtpolicyd": CHECK}

    assert late_checks(there, WHERE) == [f"{SMTPD}79"]


def test_every_variable_that_asks_is_found() -> None:
    """In each list and option of Postfix, and only those of this address."""
    asks = {
        f"{SMTPD}79": CHECK,
        f"{SUBMISSION}20": CHECK,
        "mail/postfix/mastercf/options/smtp/smtpd_data_restrictions": LATE,
    }
    others = {**UCS, f"{SMTPD}78": check_for("127.0.0.1:12346"), "mtpolicyd/notifymailfrom": CHECK}

    assert asking({**others, **asks}, WHERE) == asks
