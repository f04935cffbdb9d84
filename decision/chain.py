"""The ordered chain of rules.

Two phases. First every rule that only looks is asked, in order; the first objection of an enforcing rule
is the answer, and nothing is charged. Otherwise all limits are charged in one step, and the limiting
rules judge the result, in order. An objection of an observing rule, or against an exempt sender, is
noted and does not stop the chain. What only looks may have been overridden by an admin, for one account:
quota knows, and is told of every objection anyway; then the chain is asked again as if that rule were silent.
"""

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from decision.verdict import Limit, LimitState, MailEvent, Mode, Objection


class Rule(Protocol):
    """A rule is a LookingRule or a LimitingRule."""

    name: str


@runtime_checkable
class LookingRule(Rule, Protocol):
    """Decides by what it is told, in microseconds and without waiting for anything."""

    def look(self, event: MailEvent) -> Objection | None: ...


@runtime_checkable
class LimitingRule(Rule, Protocol):
    """Has quota check and charge `limit`, then says what the result means."""

    limit: Limit

    def judge(self, state: LimitState) -> Objection | None: ...


class Finding(NamedTuple):
    """One rule's objection."""

    rule: str
    objection: Objection


class Opinion(NamedTuple):
    """What a phase of the chain has come to."""

    refusal: Finding | None  # stands: the mail is refused
    noted: tuple[Finding, ...]  # would have refused


NO_OBJECTION = Opinion(None, ())


class Chain:
    """The rules in force. Args: rules with their modes, in order; a rule that is off is left out."""

    def __init__(self, rules: Iterable[tuple[Rule, Mode]]) -> None:
        active = [(rule, mode) for rule, mode in rules if mode is not Mode.OFF]
        self.rules: Sequence[Rule] = [rule for rule, _ in active]
        self._looking = [(rule, mode) for rule, mode in active if isinstance(rule, LookingRule)]
        self.limiting: Sequence[tuple[LimitingRule, Mode]] = [
            (rule, mode) for rule, mode in active if isinstance(rule, LimitingRule)
        ]

    def look(self, event: MailEvent, *, exempt: bool, but: Container[str] = ()) -> Opinion:
        """The first phase. Args: but: names of rules that are not asked."""
        return self._opinion(
            ((rule.name, mode, rule.look(event)) for rule, mode in self._looking if rule.name not in but),
            exempt=exempt,
        )

    def judge(self, states: Sequence[LimitState], *, exempt: bool) -> Opinion:
        """The second phase. Args: states in the order of `limiting`."""
        judged = (
            (rule.name, mode, rule.judge(state))
            for (rule, mode), state in zip(self.limiting, states, strict=True)
        )
        return self._opinion(judged, exempt=exempt)

    def _opinion(self, judged: Iterable[tuple[str, Mode, Objection | None]], *, exempt: bool) -> Opinion:
        noted: list[Finding] = []
        for name, mode, objection in judged:
            if objection is not None:
                finding = Finding(name, objection)
                if mode is Mode.ENFORCE and not exempt:
                    return Opinion(finding, tuple(noted))
                noted.append(finding)
        return Opinion(None, tuple(noted)) if noted else NO_OBJECTION
