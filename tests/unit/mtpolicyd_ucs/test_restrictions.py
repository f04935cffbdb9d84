"""Postfix's lists, as Postfix reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtpolicyd_ucs.restrictions import Seen, asks, check_for, check_without_blanks, permits, seen

HERE = "127.0.0.1:12345"
OURS = check_for(HERE)
THEIRS = "check_policy_service inet:127.0.0.1:12340"
UCS = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, reject_unlisted_recipient"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Seen.NOWHERE),
        (UCS, Seen.NOWHERE),
        (f"{OURS}, {UCS}", Seen.ALL),
        (f"{THEIRS}, {OURS}, {UCS}", Seen.ALL),
        (f"{check_without_blanks(HERE)},{UCS}", Seen.ALL),
        (f"check_policy_service inet:{HERE} {UCS}", Seen.ALL),
        (f"check_policy_service inet:localhost:12345 {UCS}", Seen.ALL),
        (f"check_policy_service inet:localhost:12340 {UCS}", Seen.NOWHERE),
        (f"permit_mynetworks, {OURS}, permit_sasl_authenticated", Seen.NOT_FROM_HERE),
        (f"{UCS}, {OURS}", Seen.NO_LOGIN),
        (f"permit_sasl_authenticated {OURS}", Seen.NO_LOGIN),
        (f"permit_sasl_authenticated, permit_mynetworks, {OURS}", Seen.NO_LOGIN),
        (f"check_recipient_access hash:/etc/postfix/permit, {OURS}", Seen.ALL),
        (f"{THEIRS}, {UCS}", Seen.NOWHERE),
        (f"{OURS.replace('12345', '123456')}, {UCS}", Seen.NOWHERE),
    ],
)
def test_what_a_check_sees_follows_from_its_place(text: str, expected: Seen) -> None:
    """A permit before it ends the list for some."""
    assert seen(text, HERE) is expected


@pytest.mark.parametrize("address", [HERE, "[::1]:12345"])
def test_both_forms_ask_and_the_one_for_master_cf_has_no_blank(address: str) -> None:
    """master.cf would take what follows a blank for another word."""
    assert asks(check_for(address), address)
    assert asks(check_without_blanks(address), address)
    assert " " not in check_without_blanks(address)
    assert not permits(check_for(address))


@given(st.text())
def test_any_text_is_some_list(text: str) -> None:
    """The admin's lists are his own."""
    assert seen(text, HERE) in Seen
    assert asks(f"{check_for(HERE)}, {text}", HERE)
