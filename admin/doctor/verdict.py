"""One mail through all lists of an entrance, and whether the service was asked about it in time.

Postfix walks the lists of client, helo and sender at their own commands, or, with smtpd_delay_reject,
together with those of relay and recipient at RCPT; then data, then end_of_data. A permit ends one list and
no other.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from admin.doctor.clients import Kind
from admin.doctor.effects import Surroundings
from admin.doctor.flows import COUNTED, Ask, Filter, Flow, Stage, Why, joined
from admin.doctor.lists import split_braced
from admin.doctor.walker import MAX_DEPTH, Walker

RECIPIENT_LIST = "smtpd_recipient_restrictions"
RELAY_LIST = "smtpd_relay_restrictions"
DATA_LIST = "smtpd_data_restrictions"
END_OF_DATA_LIST = "smtpd_end_of_data_restrictions"
# Those before RCPT, each with the stage that it has without smtpd_delay_reject.
EARLY_LISTS = {
    "smtpd_client_restrictions": Stage.CONNECT,
    "smtpd_helo_restrictions": Stage.HELO,
    "smtpd_sender_restrictions": Stage.MAIL,
}
LISTS = (*EARLY_LISTS, RELAY_LIST, RECIPIENT_LIST, DATA_LIST, END_OF_DATA_LIST)
# Without one of these in relay or recipient restrictions smtpd ends (smtpd_check_init(), rcpt_required).
_REQUIRED = {
    "reject_unauth_destination",
    "defer_unauth_destination",
    "reject",
    "defer",
    "defer_if_permit",
    "check_relay_domains",
}


class Answer(StrEnum):
    """What is said of one kind of mail at one entrance."""

    COVERED = "covered"
    NOT_COVERED = "not_covered"
    UNKNOWN = "unknown"
    NONE = "none"  # no such mail can come in there


class Verdict(NamedTuple):
    """What is said of one kind of mail at one entrance, and why.

    Attributes:
        asks: where our service is asked on any way, heeded or not.
        why: of what is not covered.
        partly: it is not covered, though other mail of the kind is.
        twice: the service is asked more than once at the same stage.
        filters: what FILTER actions name; None for mail that meets none of them.
    """

    answer: Answer
    asks: tuple[Ask, ...] = ()
    why: tuple[Why, ...] = ()
    partly: bool = False
    twice: bool = False
    filters: tuple[Filter | None, ...] = ()


def judge(
    surroundings: Surroundings, kind: Kind, *, is_ours: Callable[[str], bool], certain: bool = True
) -> Verdict:
    """The verdict on one kind of mail.

    Args:
        is_ours: whether an endpoint is our service's.
        certain: whether such mail can come in at all; if not, it is not called uncovered but unknown.
    """
    if not starts(surroundings):
        return Verdict(Answer.NONE, why=(Why("smtpd_cannot_start"),))
    walker = Walker(surroundings, kind)
    flows = [Flow()]
    for parameter, stage in stages(surroundings.values):
        words = split_braced(surroundings.values.get(parameter, ""))
        branches = [branch.on() for branch in walker.walk(parameter, words, stage)]
        flows = joined(flow.then(branch) for flow in flows for branch in branches)
    if not flows:
        return Verdict(Answer.NONE, why=(Why("all_refused"),))
    asks = tuple(dict.fromkeys(ask for flow in flows for ask in flow.asks if is_ours(ask.service.endpoint)))
    twice = any(_twice(flow, is_ours) for flow in flows)
    filters = tuple(dict.fromkeys(flow.filter for flow in flows))
    missed = [flow for flow in flows if not any(counts(ask, is_ours) for ask in flow.asks)]
    if not missed:
        return Verdict(Answer.COVERED, asks, twice=twice, filters=filters)
    sure = [flow for flow in missed if flow.certain]
    if sure and not certain:
        return Verdict(Answer.UNKNOWN, asks, (Why("by_proxy"),), twice=twice, filters=filters)
    if sure:
        partly = len(missed) < len(flows)
        return Verdict(Answer.NOT_COVERED, asks, _reasons(sure), partly, twice, filters)
    return Verdict(Answer.UNKNOWN, asks, _reasons(missed), twice=twice, filters=filters)


def worse(one: Verdict, other: Verdict) -> Verdict:
    """Of two on the same mail, where both can hold."""
    order = (Answer.NOT_COVERED, Answer.UNKNOWN, Answer.COVERED, Answer.NONE)
    return min(one, other, key=lambda verdict: order.index(verdict.answer))


def _twice(flow: Flow, is_ours: Callable[[str], bool]) -> bool:
    found = [ask.stage for ask in flow.asks if is_ours(ask.service.endpoint)]
    return len(found) > len(set(found))


def counts(ask: Ask, is_ours: Callable[[str], bool]) -> bool:
    """Whether a question guards: our service is asked, at a stage that it counts, and its refusal holds."""
    return is_ours(ask.service.endpoint) and ask.heeded and ask.stage in COUNTED


def stages(values: Mapping[str, str]) -> Sequence[tuple[str, Stage]]:
    """The lists in their order, each with its stage."""
    delayed = values.get("smtpd_delay_reject", "yes") == "yes"
    early = [(name, Stage.RCPT if delayed else stage) for name, stage in EARLY_LISTS.items()]
    rcpt = [(RELAY_LIST, Stage.RCPT), (RECIPIENT_LIST, Stage.RCPT)]
    if values.get("smtpd_relay_before_recipient_restrictions") == "no":
        rcpt.reverse()
    return [*early, *rcpt, (DATA_LIST, Stage.DATA), (END_OF_DATA_LIST, Stage.END_OF_MESSAGE)]


def starts(surroundings: Surroundings) -> bool:
    """Whether smtpd(8) runs at all with these restrictions."""
    lists = (surroundings.values.get(name, "") for name in (RELAY_LIST, RECIPIENT_LIST))
    return any(_has_required(surroundings, split_braced(words), 0) for words in lists)


def _has_required(surroundings: Surroundings, words: Sequence[str], depth: int) -> bool:
    """has_required() of smtpd_check.c."""
    remaining = iter(words)
    for word in remaining:
        name = word.lower()
        if name == "warn_if_reject":
            next(remaining, None)
        if name == "permit":
            return False
        inner = surroundings.classes.get(word, ()) if depth < MAX_DEPTH else ()
        if name in _REQUIRED or _has_required(surroundings, inner, depth + 1):
            return True
    return False


def _reasons(flows: Sequence[Flow]) -> tuple[Why, ...]:
    """Why these flows miss the check: what is in doubt about them, or else what ended their lists."""
    doubts = dict.fromkeys(why for flow in flows for why in flow.doubts)
    ends = dict.fromkeys(why for flow in flows for why in (*flow.ended_by, *flow.conditions))
    return tuple(doubts or ends)
