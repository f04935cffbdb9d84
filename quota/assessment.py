"""What one charge costs and whether it may pass: a pure function of what is already counted.

m is the message, (account, instance). Counted in recipients, m costs
- at RCPT: one more for each recipient (byte-exact) that is new to m;
- at DATA and END-OF-MESSAGE: what is missing to max(charged so far, recipient_count, 1);
- at any other stage: nothing.
Counted in messages, m costs one in all. What was charged is never given back.
"""

from collections.abc import Sequence
from typing import NamedTuple

from quota.domain import MAX_RECIPIENTS, Charge, Limit, LimitState, Outcome, Stage, Unit


class Counter(NamedTuple):
    """Units of one account, limit and period."""

    used: int = 0
    refused: int = 0


class Assessment(NamedTuple):
    """What is to be stored and answered."""

    outcome: Outcome
    units: int  # added to the first limit
    recipients: int  # what m has been charged afterwards, in recipients
    counters: tuple[Counter, ...]  # afterwards, one for each limit
    limits: tuple[LimitState, ...]


def assess(
    charge: Charge,
    limits: Sequence[Limit],
    *,
    charged: int,
    recipient_known: bool,
    counters: Sequence[Counter],
    resets_unix_ms: int,
) -> Assessment:
    """Decide one charge.

    Args:
        limits: those of the charge, with the maxima that are in force.
        charged: recipients that m has been charged so far; 0 if m is new or has no instance.
        recipient_known: the recipient has been charged to m before.
        counters: for each limit, what its account has in m's period.
        resets_unix_ms: the end of that period.
    """
    target = _target(charge, charged, recipient_known)
    too_many = charge.stage >= Stage.DATA and charge.recipient_count > MAX_RECIPIENTS
    # Plain loops: this runs for every mail, and most charges have one limit.
    costs, over = [], []
    refused, costly = too_many, False
    for limit, counter in zip(limits, counters, strict=True):
        cost = _cost(limit, charged, target)
        is_over = too_many or (cost > 0 and counter.used + cost > limit.maximum)
        refused = refused or (is_over and limit.enforce)
        costly = costly or cost > 0
        costs.append(cost)
        over.append(is_over)
    outcome = Outcome.REFUSED if refused else Outcome.CHARGED if costly else Outcome.REPEATED
    after, states = [], []
    for limit, cost, is_over, counter in zip(limits, costs, over, counters, strict=True):
        now = counter
        if outcome is Outcome.CHARGED:
            now = Counter(counter.used + cost, counter.refused)
        elif refused and is_over and limit.enforce:
            # An absurd count may cost nothing more than what was charged, and is a refusal all the same.
            now = Counter(counter.used, counter.refused + max(cost, 1))
        after.append(now)
        states.append(_state(limit, counter, now, is_over, outcome, resets_unix_ms))
    is_charged = outcome is Outcome.CHARGED
    return Assessment(
        outcome,
        costs[0] if is_charged else 0,
        target if is_charged else charged,
        tuple(after),
        tuple(states),
    )


def _target(charge: Charge, charged: int, recipient_known: bool) -> int:
    if charge.stage is Stage.RCPT:
        return charged if recipient_known else charged + 1
    if charge.stage is Stage.OTHER:
        return charged
    return max(charged, min(charge.recipient_count, MAX_RECIPIENTS), 1)


def _cost(limit: Limit, charged: int, target: int) -> int:
    if limit.unit is Unit.RECIPIENTS:
        return target - charged
    return 1 if charged == 0 and target > 0 else 0


def _state(
    limit: Limit, before: Counter, after: Counter, is_over: bool, outcome: Outcome, resets_unix_ms: int
) -> LimitState:
    if limit.enforce:
        first = is_over and before.refused == 0
    else:
        # An observed limit is charged on past its maximum: whoever was over it before had his first then.
        first = is_over and outcome is Outcome.CHARGED and before.used <= limit.maximum
    crossed_80 = before.used * 10 < limit.maximum * 8 <= after.used * 10
    return LimitState(
        limit.name, limit.maximum, after.used, after.refused, resets_unix_ms, is_over, first, crossed_80
    )
