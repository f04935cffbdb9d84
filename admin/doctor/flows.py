"""What can become of one mail in a list, in alternatives.

A list is a program with branches: a table may hold an entry or not, another policy service may say OK. Each
branch is a flow. A flow is certain, or it holds for mail that meets one condition (an entry of a table that
was read), or it is in doubt: nobody here can say whether any mail takes it. So "not asked" is said when a
flow that certainly exists ends without the question, and "asked" only when every flow, also each doubtful
one, has it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from admin.doctor.lists import PolicyService


class Stage(StrEnum):
    """Postfix's protocol_state when a list is walked."""

    CONNECT = "CONNECT"
    HELO = "HELO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END_OF_MESSAGE = "END-OF-MESSAGE"


# decision looks at each request with a login, but counts nothing at another stage (docs: what is counted).
COUNTED = (Stage.RCPT, Stage.DATA, Stage.END_OF_MESSAGE)


class End(StrEnum):
    """How a list, or a part of it, ends for a mail."""

    NEXT = "next"  # goes on behind it
    PERMIT = "permit"
    REJECT = "reject"  # refused, deferred, or thrown away: it does not come in


class Why(NamedTuple):
    """A reason: a key, what it speaks of, and in which list that is."""

    key: str
    detail: str = ""
    parameter: str = ""


class Filter(NamedTuple):
    """Something that mail is handed to once it was asked about.

    Attributes:
        kind: `milter`, `filter`, or `checks_unread` for a table of content that may name a filter.
        parameter: what names it: a parameter, or a table with a FILTER action.
        name: as Postfix names it, such as `inet:127.0.0.1:11332`, `smtp-amavis:[127.0.0.1]:10024`.
    """

    kind: str
    parameter: str
    name: str


class Ask(NamedTuple):
    """One place where a policy service is asked.

    Attributes:
        parameter: the list that stands in, such as smtpd_recipient_restrictions.
        position: of the restriction in that list, from 1.
        heeded: whether a refusal is one (not with warn_if_reject).
        through: the table or restriction class that leads there, empty if it stands in the list itself.
        before, behind: the permit_* of the list that stand before and behind it.
    """

    service: PolicyService
    parameter: str
    stage: Stage
    position: int
    heeded: bool
    through: str
    before: tuple[str, ...]
    behind: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """One alternative.

    Attributes:
        asks: what was asked on the way.
        conditions: of how many tables' entries it depends.
        doubts: why it may not exist at all.
        ended_by: what said permit, in each list that a permit ended.
        filter: what the last FILTER action named: earlier ones have no effect (access(5)).
    """

    end: End = End.NEXT
    asks: tuple[Ask, ...] = ()
    conditions: tuple[Why, ...] = ()
    doubts: tuple[Why, ...] = ()
    ended_by: tuple[Why, ...] = ()
    filter: Filter | None = None

    @property
    def certain(self) -> bool:
        """Some mail takes it. Two tables may never agree on a mail: that is in doubt."""
        return not self.doubts and len(self.conditions) <= 1

    def then(self, branch: "Flow") -> "Flow":
        """What becomes of it behind a branch."""
        return Flow(
            branch.end,
            self.asks + branch.asks,
            self.conditions + tuple(why for why in branch.conditions if why not in self.conditions),
            self.doubts + tuple(why for why in branch.doubts if why not in self.doubts),
            self.ended_by + branch.ended_by,
            branch.filter or self.filter,
        )

    def on(self) -> "Flow":
        """At the begin of the next list, which a permit does not skip."""
        return self if self.end is End.REJECT else replace(self, end=End.NEXT)


def joined(flows: Iterable[Flow]) -> list[Flow]:
    """The flows that differ in what they ask, how they end and who gets the mail then; of the same the most
    certain one."""
    best: dict[tuple[End, tuple[Ask, ...], Filter | None], Flow] = {}
    for flow in flows:
        if flow.end is End.REJECT:
            continue  # what does not come in needs no question
        key = (flow.end, flow.asks, flow.filter)
        known = best.get(key)
        if known is None or _doubt(flow) < _doubt(known):
            best[key] = flow
    return list(best.values())


def _doubt(flow: Flow) -> tuple[bool, int, int]:
    return not flow.certain, len(flow.doubts), len(flow.conditions)
