"""What is in force for an account, in the short form that a charge reads with the account's row.

The rows of `override` are the truth; whoever changes one writes `account.overrides` anew in the same
transaction. Ends are compared when a charge is made, so that an override ends by itself, at its moment.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, Self

from quota.domain import COUNTRY, QUOTA, Limit, Refusal
from quota.overrides import Kind, Override

_NEVER = 2**63


class Standing(NamedTuple):
    """What is set for one account, with the moments at which it ends; 0: it is not set."""

    maximum: int = 0
    maximum_until_ms: int = 0
    countries: frozenset[str] = frozenset()
    countries_until_ms: int = 0
    locked_until_ms: int = 0

    @classmethod
    # Many accounts have the same: read once, it costs a charge nothing.
    @lru_cache(maxsize=16384)
    def read(cls, short: str) -> Self:
        """From the account's row."""
        of = json.loads(short)
        maximum, maximum_until = of.get(Kind.LIMIT, ("0", 0))
        countries, countries_until = of.get(Kind.COUNTRY, ("", 0))
        _, locked_until = of.get(Kind.LOCK, ("", 0))
        return cls(
            int(maximum), maximum_until, frozenset(countries.split(",")), countries_until, locked_until
        )

    def locks(self, now_ms: int) -> bool:
        return now_ms < self.locked_until_ms

    def permits(self, refusal: Refusal, now_ms: int) -> bool:
        """Whether the rule shall not object."""
        return (
            now_ms < self.countries_until_ms
            and refusal.rule == COUNTRY
            and refusal.country in self.countries
            and refusal.country != ""
        )

    def limits(self, limits: tuple[Limit, ...], now_ms: int) -> tuple[Limit, ...]:
        """The limits with the maximum that is in force."""
        return limits if now_ms >= self.maximum_until_ms else _limits(limits, self.maximum)


# Every charge of a policy brings the same limits, and admins set few different ones.
@lru_cache(maxsize=4096)
def _limits(limits: tuple[Limit, ...], maximum: int) -> tuple[Limit, ...]:
    return tuple([limit._replace(maximum=maximum) if limit.name == QUOTA else limit for limit in limits])


def short(overrides: Iterable[Override]) -> str | None:
    """For the account's row; None: nothing is set."""
    of = {each.kind: (each.value, each.until_unix_ms or _NEVER) for each in overrides}
    return json.dumps(of, separators=(",", ":")) if of else None
