"""What one charge costs and whether it may pass."""

from collections.abc import Sequence

import pytest

from quota.assessment import Assessment, Counter, assess
from quota.domain import MAX_RECIPIENTS, Charge, Limit, LimitState, Outcome, Stage, Unit
from tests.support.charges import charge

END = 1_800_000_000_000
LATER_STAGES = [Stage.DATA, Stage.END_OF_MESSAGE]


def limit(
    maximum: int = 10, *, unit: Unit = Unit.RECIPIENTS, enforce: bool = True, name: str = "quota"
) -> Limit:
    return Limit(name, unit, maximum, enforce)


def assessed(item: Charge, *counters: Counter, charged: int = 0, recipient_known: bool = False) -> Assessment:
    """The assessment; without counters, nothing has been counted before."""
    return assess(
        item,
        item.limits,
        charged=charged,
        recipient_known=recipient_known,
        counters=counters or [Counter()] * len(item.limits),
        resets_unix_ms=END,
    )


def later(stage: Stage, count: int, *limits: Limit) -> Charge:
    return charge(stage=stage, recipient_count=count, limits=limits or (limit(),))


class Account:
    """One account's counters and messages, charged as a store does it."""

    def __init__(self, *limits: Limit) -> None:
        self.limits = limits
        self.counters: Sequence[Counter] = [Counter()] * len(limits)
        self.charged: dict[str, int] = {}
        self.recipients: set[tuple[str, str]] = set()

    def rcpt(self, message: str, recipient: str) -> Assessment:
        return self._charge(message, charge(recipient=recipient.encode(), limits=self.limits))

    def data(self, message: str, count: int) -> Assessment:
        return self._charge(message, later(Stage.DATA, count, *self.limits))

    def _charge(self, message: str, item: Charge) -> Assessment:
        key = (message, item.recipient.decode())
        found = assess(
            item,
            item.limits,
            charged=self.charged.get(message, 0),
            recipient_known=key in self.recipients,
            counters=self.counters,
            resets_unix_ms=END,
        )
        self.counters = found.counters
        if found.outcome is Outcome.CHARGED:
            self.charged[message] = found.recipients
            if item.recipient:
                self.recipients.add(key)
        return found


def test_rcpt_adds_one_for_a_new_recipient() -> None:
    """Whatever recipient_count says at that stage."""
    found = assessed(charge(recipient_count=7), Counter(used=3, refused=2), charged=3)

    assert found == Assessment(
        Outcome.CHARGED,
        units=1,
        recipients=4,
        counters=(Counter(used=4, refused=2),),
        limits=(LimitState("quota", 10, 4, 2, END, False, False, False),),
    )


def test_rcpt_adds_nothing_for_a_known_recipient() -> None:
    """A repeat costs nothing and changes nothing."""
    found = assessed(charge(), Counter(used=3), charged=3, recipient_known=True)

    assert (found.outcome, found.units, found.recipients) == (Outcome.REPEATED, 0, 3)
    assert found.counters == (Counter(used=3),)


def test_a_repeat_passes_over_the_limit() -> None:
    """What costs nothing is refused by no limit."""
    found = assessed(charge(), Counter(used=99), charged=3, recipient_known=True)

    assert found.outcome is Outcome.REPEATED
    assert not found.limits[0].would_refuse


@pytest.mark.parametrize("stage", LATER_STAGES)
@pytest.mark.parametrize(
    ("charged", "count", "units"),
    [
        (0, 5, 5),
        (0, 1, 1),
        (0, 0, 1),
        (0, -3, 1),
        (2, 5, 3),
        (2, 3, 1),
        (2, 2, 0),
        (2, 1, 0),
        (2, 0, 0),
        (2, -(2**63), 0),
    ],
)
def test_later_stages_raise_the_charge_and_never_lower_it(
    stage: Stage, charged: int, count: int, units: int
) -> None:
    """To max(charged, recipient_count, 1): a count that is missing or below 1 is 1."""
    found = assessed(later(stage, count), Counter(used=charged), charged=charged)

    assert found.units == units
    assert found.recipients == charged + units
    assert found.counters == (Counter(used=charged + units),)
    assert found.outcome is (Outcome.CHARGED if units else Outcome.REPEATED)


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("charged", [0, 3])
@pytest.mark.parametrize("count", [0, 5, MAX_RECIPIENTS + 1])
def test_other_stages_never_charge(unit: Unit, charged: int, count: int) -> None:
    """Whatever count they carry."""
    found = assessed(later(Stage.OTHER, count, limit(unit=unit)), Counter(used=99), charged=charged)

    assert (found.outcome, found.units, found.recipients) == (Outcome.REPEATED, 0, charged)
    assert found.counters == (Counter(used=99),)


@pytest.mark.parametrize("stage", LATER_STAGES)
def test_a_billion_recipients_are_counted(stage: Stage) -> None:
    """10^9 is the largest number that may pass."""
    found = assessed(later(stage, 10**9, limit(10**9)))
    assert (found.outcome, found.units) == (Outcome.CHARGED, 10**9)


@pytest.mark.parametrize("stage", LATER_STAGES)
@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("enforce", [True, False])
@pytest.mark.parametrize("count", [10**9 + 1, 2**63 - 1])
def test_more_than_a_billion_are_refused(stage: Stage, unit: Unit, enforce: bool, count: int) -> None:
    """Even by a limit that has room, counts messages or only observes; nothing is charged."""
    found = assessed(
        later(stage, count, limit(10**9, unit=unit, enforce=enforce)), Counter(used=2), charged=2
    )

    assert (found.outcome, found.units, found.recipients) == (Outcome.REFUSED, 0, 2)
    assert found.counters[0].used == 2
    assert found.limits[0].would_refuse


@pytest.mark.parametrize(
    ("unit", "charged", "refused"),
    [(Unit.RECIPIENTS, 2, 10**9 - 2), (Unit.MESSAGES, 0, 1), (Unit.MESSAGES, 2, 1)],
)
def test_a_refused_absurd_count_is_seen_among_the_refused(unit: Unit, charged: int, refused: int) -> None:
    """By what it would have cost, and by 1 at least; only an enforced limit counts it."""
    strict, watched = limit(unit=unit), limit(unit=unit, enforce=False, name="watched")
    found = assessed(later(Stage.DATA, 10**9 + 1, strict, watched), charged=charged)

    assert [counter.refused for counter in found.counters] == [refused, 0]


@pytest.mark.parametrize(
    ("charged", "item", "units"),
    [
        (0, charge(limits=(limit(unit=Unit.MESSAGES),)), 1),
        (1, charge(limits=(limit(unit=Unit.MESSAGES),)), 0),
        (0, later(Stage.DATA, 5, limit(unit=Unit.MESSAGES)), 1),
        (2, later(Stage.DATA, 5, limit(unit=Unit.MESSAGES)), 0),
        (0, later(Stage.END_OF_MESSAGE, 0, limit(unit=Unit.MESSAGES)), 1),
    ],
)
def test_counted_in_messages_a_message_costs_one_in_all(charged: int, item: Charge, units: int) -> None:
    """Its first charge costs one, whatever its recipients; every other costs nothing."""
    found = assessed(item, charged=charged)

    assert found.units == units
    assert found.counters == (Counter(used=units),)
    assert found.outcome is (Outcome.CHARGED if units else Outcome.REPEATED)


@pytest.mark.parametrize(
    ("used", "count", "passes"),
    [(0, 10, True), (0, 11, False), (9, 1, True), (9, 2, False), (10, 1, False), (50, 1, False)],
)
def test_a_limit_can_be_used_up_but_not_passed(used: int, count: int, passes: bool) -> None:
    """The unit that reaches the maximum passes, the next one does not."""
    found = assessed(later(Stage.DATA, count), Counter(used=used))

    assert found.outcome is (Outcome.CHARGED if passes else Outcome.REFUSED)
    assert found.counters[0].used == (used + count if passes else used)
    assert found.limits[0].would_refuse is not passes


def test_a_refused_charge_adds_to_refused_only() -> None:
    """By its cost; the message is charged nothing."""
    found = assessed(later(Stage.DATA, 7), Counter(used=6, refused=5), charged=2)

    assert (found.outcome, found.units, found.recipients) == (Outcome.REFUSED, 0, 2)
    assert found.counters == (Counter(used=6, refused=10),)
    assert found.limits[0][:5] == ("quota", 10, 6, 10, END)


def test_all_limits_are_charged() -> None:
    """Each by its own unit; the units of the answer are the first limit's."""
    limits = (limit(10, name="day"), limit(5, unit=Unit.MESSAGES, name="messages"), limit(99, name="more"))
    found = assessed(later(Stage.DATA, 4, *limits), Counter(1), Counter(2), Counter(3))

    assert found.units == 4
    assert found.counters == (Counter(5), Counter(3), Counter(7))
    assert [state.name for state in found.limits] == ["day", "messages", "more"]


@pytest.mark.parametrize("full", [0, 1, 2])
def test_one_full_limit_stops_the_charge_on_all(full: int) -> None:
    """Nothing is charged on any, and only the full one counts a refusal."""
    limits = tuple(limit(10, name=name) for name in ("a", "b", "c"))
    before = [Counter(10 if number == full else 0) for number in range(3)]
    found = assessed(charge(limits=limits), *before)

    assert found.outcome is Outcome.REFUSED
    assert found.counters == tuple(
        Counter(10, refused=1) if number == full else Counter() for number in range(3)
    )
    assert [state.would_refuse for state in found.limits] == [number == full for number in range(3)]


def test_an_observed_limit_is_charged_on() -> None:
    """Past its maximum, with would_refuse; it refuses nothing and counts no refusal."""
    found = assessed(later(Stage.DATA, 4, limit(10, enforce=False)), Counter(used=8))

    assert (found.outcome, found.units) == (Outcome.CHARGED, 4)
    assert found.counters == (Counter(used=12, refused=0),)
    assert found.limits[0].would_refuse


def test_an_observed_limit_is_not_charged_when_another_refuses() -> None:
    """All or none holds for observed limits too."""
    limits = (limit(10, enforce=False, name="watched"), limit(10, name="strict"))
    found = assessed(charge(limits=limits), Counter(3), Counter(10))

    assert found.outcome is Outcome.REFUSED
    assert found.counters == (Counter(3), Counter(10, refused=1))


def test_an_observed_limit_over_its_maximum_refuses_nothing_beside_others() -> None:
    """The enforced one decides."""
    limits = (limit(10, enforce=False, name="watched"), limit(100, name="strict"))
    found = assessed(charge(limits=limits), Counter(30), Counter(30))

    assert found.outcome is Outcome.CHARGED
    assert [state.would_refuse for state in found.limits] == [True, False]
    assert found.counters == (Counter(31), Counter(31))


def test_a_limit_without_cost_is_not_over() -> None:
    """A message that has been counted stays accepted by a full limit in messages."""
    limits = (limit(10, name="day"), limit(5, unit=Unit.MESSAGES, name="messages"))
    found = assessed(charge(limits=limits), Counter(1), Counter(5), charged=1)

    assert found.outcome is Outcome.CHARGED
    assert found.counters == (Counter(2), Counter(5))


def firsts(found: Sequence[Assessment], index: int = 0) -> int:
    """How many of the answers call themselves the first refusal of a limit."""
    return sum(assessment.limits[index].first_refusal for assessment in found)


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("enforce", [True, False])
def test_the_first_refusal_is_told_once(unit: Unit, enforce: bool) -> None:
    """On the first charge over the maximum, enforced or observed, and never again in the period."""
    account = Account(limit(3, unit=unit, enforce=enforce))
    found = [account.rcpt(f"message {number}", "bob") for number in range(8)]

    assert [assessment.limits[0].first_refusal for assessment in found] == [False] * 3 + [True] + [False] * 4


def test_the_first_refusal_of_an_observed_limit_is_told_once_beside_an_enforced_one() -> None:
    """Though the charge that would have passed its maximum is not charged."""
    account = Account(limit(1, name="strict"), limit(1, name="watched", enforce=False))
    found = [account.rcpt(f"message {number}", "bob") for number in range(6)]

    assert firsts(found, 0) == 1
    assert firsts(found, 1) <= 1


@pytest.mark.parametrize("unit", Unit)
@pytest.mark.parametrize("enforce", [True, False])
def test_an_absurd_count_is_not_the_first_refusal_again_and_again(unit: Unit, enforce: bool) -> None:
    """Asking for more than a billion again and again, in one message, is one first refusal at most."""
    account = Account(limit(10, unit=unit, enforce=enforce))
    account.rcpt("message", "bob")
    found = [account.data("message", 10**9 + 1) for _ in range(4)]

    assert firsts(found) <= 1


@pytest.mark.parametrize(
    ("before", "count", "crossed"),
    [(0, 7, False), (0, 8, True), (7, 1, True), (7, 3, True), (8, 1, False), (9, 1, False), (7, 4, False)],
)
def test_crossing_80_percent_is_told(before: int, count: int, crossed: bool) -> None:
    """By the charge that takes `used` to 8 of 10 or beyond; a refused one takes it nowhere."""
    found = assessed(later(Stage.DATA, count), Counter(used=before))
    assert found.limits[0].crossed_80 is crossed


@pytest.mark.parametrize("maximum", [1, 2, 3, 7, 10, 1000])
@pytest.mark.parametrize("enforce", [True, False])
def test_80_percent_is_crossed_exactly_once(maximum: int, enforce: bool) -> None:
    """For every maximum, at the first whole number that is no less than 80 %."""
    account = Account(limit(maximum, enforce=enforce))
    found = [account.rcpt(f"message {number}", "bob") for number in range(maximum + 3)]
    used = [assessment.limits[0].used for assessment in found if assessment.limits[0].crossed_80]

    assert used == [-(-maximum * 8 // 10)]


def test_every_state_has_the_end_of_the_period() -> None:
    """And the maximum in force, in the order of the request."""
    limits = (limit(10, name="a"), limit(20, name="b"))
    states = assessed(charge(limits=limits)).limits

    assert [(state.name, state.maximum, state.resets_unix_ms) for state in states] == [
        ("a", 10, END),
        ("b", 20, END),
    ]
