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
    *,
    charged: int,
    recipient_known: bool,
    counters: Sequence[Counter],
    resets_unix_ms: int,
) -> Assessment:
    """Decide one charge.

    Args:
        charged: recipients that m has been charged so far; 0 if m is new or has no instance.
        recipient_known: the recipient has been charged to m before.
        counters: for each limit, what its account has in m's period.
        resets_unix_ms: the end of that period.
    """
    target = _target(charge, charged, recipient_known)
    too_many = charge.stage >= Stage.DATA and charge.recipient_count > MAX_RECIPIENTS
    costs = [_cost(limit, charged, target) for limit in charge.limits]
    over = [
        too_many or (cost > 0 and counter.used + cost > limit.maximum)
        for limit, cost, counter in zip(charge.limits, costs, counters, strict=True)
    ]
    if too_many or any(limit.enforce for limit, is_over in zip(charge.limits, over, strict=True) if is_over):
        outcome = Outcome.REFUSED
        after = tuple(
            # An absurd count may cost nothing more than what was charged, and is a refusal all the same.
            Counter(counter.used, counter.refused + max(cost, 1)) if is_over and limit.enforce else counter
            for limit, cost, is_over, counter in zip(charge.limits, costs, over, counters, strict=True)
        )
    elif any(costs):
        outcome = Outcome.CHARGED
        after = tuple(
            Counter(counter.used + cost, counter.refused)
            for cost, counter in zip(costs, counters, strict=True)
        )
    else:
        outcome = Outcome.REPEATED
        after = tuple(counters)
    return Assessment(
        outcome,
        costs[0] if outcome is Outcome.CHARGED else 0,
        target if outcome is Outcome.CHARGED else charged,
        after,
        tuple(
            _state(limit, before, now, is_over, outcome, resets_unix_ms)
            for limit, before, now, is_over in zip(charge.limits, counters, after, over, strict=True)
        ),
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
    return LimitState(
        name=limit.name,
        maximum=limit.maximum,
        used=after.used,
        refused=after.refused,
        resets_unix_ms=resets_unix_ms,
        would_refuse=is_over,
        first_refusal=first,
        crossed_80=before.used * 10 < limit.maximum * 8 <= after.used * 10,
    )
