"""Alternatives of one mail."""

from admin.doctor.flows import End, Flow, Why, joined

ENTRY, OTHER, DOUBT = Why("entry", "a"), Why("entry", "b"), Why("unread", "c")


def test_a_flow_with_two_conditions_is_in_doubt() -> None:
    """No mail may meet both."""
    one = Flow(conditions=(ENTRY,))

    assert one.certain
    assert one.then(Flow(conditions=(ENTRY,))).certain
    assert not one.then(Flow(conditions=(OTHER,))).certain
    assert not one.then(Flow(doubts=(DOUBT,))).certain


def test_a_permit_ends_one_list_and_no_other() -> None:
    """A refusal ends them all."""
    assert Flow(End.PERMIT).on().end is End.NEXT
    assert Flow(End.REJECT).on().end is End.REJECT


def test_of_the_same_flows_the_surest_is_kept() -> None:
    """And refused mail needs no question."""
    sure = Flow()

    assert joined([Flow(doubts=(DOUBT,)), sure, Flow(conditions=(ENTRY,)), Flow(End.REJECT)]) == [sure]
    assert len(joined([sure, Flow(End.PERMIT)])) == 2
