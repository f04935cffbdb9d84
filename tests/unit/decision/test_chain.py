"""The ordered chain of rules, with rules made up for the purpose."""

import pytest

from decision.chain import NO_OBJECTION, Chain, Finding, Opinion
from decision.verdict import Limit, LimitState, MailEvent, Mode, Objection, Verb
from tests.support.mails import mail

FINE = LimitState(10, 5, 0, 0, would_refuse=False)
OVER = LimitState(10, 10, 1, 0, would_refuse=True)


class Looking:
    """Objects, or does not, and writes its name into `asked`."""

    def __init__(self, name: str, *, objects: bool, asked: list[str] | None = None) -> None:
        self.name = name
        self._objects = objects
        self._asked = [] if asked is None else asked

    def look(self, event: MailEvent) -> Objection | None:
        self._asked.append(self.name)
        return objection(self.name) if self._objects else None


class Limiting:
    """Objects to what quota calls over the limit."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.limit = Limit("recipients", 10, "UTC")

    def judge(self, state: LimitState) -> Objection | None:
        return objection(self.name) if state.would_refuse else None


def objection(name: str) -> Objection:
    return Objection(Verb.REJECT, "5.7.1", f"{name} objects")


def finding(name: str) -> Finding:
    return Finding(name, objection(name))


def test_an_enforcing_rules_objection_stops_the_chain() -> None:
    """The rules behind it are not asked."""
    asked: list[str] = []
    chain = Chain(
        (Looking(name, objects=name != "first", asked=asked), Mode.ENFORCE)
        for name in ("first", "second", "third")
    )

    assert chain.look(mail(), exempt=False) == Opinion(finding("second"), ())
    assert asked == ["first", "second"]


def test_an_observing_rules_objection_is_noted() -> None:
    """It does not stop the chain."""
    asked: list[str] = []
    chain = Chain(
        [
            (Looking("watching", objects=True, asked=asked), Mode.OBSERVE),
            (Looking("content", objects=False, asked=asked), Mode.ENFORCE),
            (Looking("strict", objects=True, asked=asked), Mode.ENFORCE),
        ]
    )

    assert chain.look(mail(), exempt=False) == Opinion(finding("strict"), (finding("watching"),))
    assert asked == ["watching", "content", "strict"]


def test_objections_against_an_exempt_sender_are_noted() -> None:
    """Every rule is asked, none refuses."""
    chain = Chain([(Looking("a", objects=True), Mode.ENFORCE), (Looking("b", objects=True), Mode.OBSERVE)])

    assert chain.look(mail(), exempt=True) == Opinion(None, (finding("a"), finding("b")))


def test_rules_that_only_look_come_before_rules_with_a_limit() -> None:
    """Where a limiting rule stands among them changes nothing: it has no part in the first phase."""
    asked: list[str] = []
    chain = Chain(
        [
            (Limiting("quota"), Mode.ENFORCE),
            (Looking("country", objects=True, asked=asked), Mode.ENFORCE),
        ]
    )

    assert chain.look(mail(), exempt=False) == Opinion(finding("country"), ())
    assert asked == ["country"]


def test_a_rule_that_is_off_is_left_out() -> None:
    """It is neither asked nor charged for."""
    asked: list[str] = []
    on = Limiting("on")
    chain = Chain(
        [
            (Looking("off", objects=True, asked=asked), Mode.OFF),
            (Limiting("off too"), Mode.OFF),
            (on, Mode.ENFORCE),
        ]
    )

    assert chain.look(mail(), exempt=False) == NO_OBJECTION
    assert not asked
    assert list(chain.limiting) == [(on, Mode.ENFORCE)]
    assert list(chain.rules) == [on]


def test_a_chain_without_rules_objects_to_nothing() -> None:
    """Everything passes."""
    chain = Chain([])

    assert chain.look(mail(), exempt=False) == NO_OBJECTION
    assert chain.judge([], exempt=False) == NO_OBJECTION


def test_limiting_rules_keep_their_order() -> None:
    """The limits of the charge, and so their states, come in the order of the settings."""
    rules = [Limiting(name) for name in ("hour", "day", "week")]
    chain = Chain((rule, Mode.ENFORCE) for rule in rules)

    assert [rule.name for rule, _ in chain.limiting] == ["hour", "day", "week"]
    assert [rule.name for rule in chain.rules] == ["hour", "day", "week"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([FINE, FINE, FINE], NO_OBJECTION),
        ([FINE, OVER, FINE], Opinion(finding("day"), ())),
        ([OVER, OVER, FINE], Opinion(finding("day"), (finding("hour"),))),
        ([OVER, FINE, FINE], Opinion(None, (finding("hour"),))),
        ([FINE, OVER, OVER], Opinion(finding("day"), ())),
        ([OVER, FINE, OVER], Opinion(finding("week"), (finding("hour"),))),
    ],
)
def test_each_limiting_rule_judges_its_own_state(states: list[LimitState], expected: Opinion) -> None:
    """Hour observes, day and week enforce: the first enforcing objection is the answer."""
    chain = Chain(
        [(Limiting("hour"), Mode.OBSERVE), (Limiting("day"), Mode.ENFORCE), (Limiting("week"), Mode.ENFORCE)]
    )
    assert chain.judge(states, exempt=False) == expected


def test_an_exempt_sender_over_a_limit_is_noted() -> None:
    """No limit refuses an exempt sender."""
    chain = Chain([(Limiting("day"), Mode.ENFORCE)])
    assert chain.judge([OVER], exempt=True) == Opinion(None, (finding("day"),))


def test_too_few_states_are_not_taken_for_permission() -> None:
    """An answer that does not fit what was asked is a mistake, not a verdict."""
    chain = Chain([(Limiting("hour"), Mode.ENFORCE), (Limiting("day"), Mode.ENFORCE)])
    with pytest.raises(ValueError, match="shorter"):
        chain.judge([FINE], exempt=False)
