"""A store against a model that is too simple to be wrong: any order of charges, repeats, stages, restarts."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quota.domain import Charge, ChargeResult, Limit, Noted, Outcome, Refusal, Stage, Unit
from quota.overrides import Change, Clear, Kind, Purge, Request, Reset, Set
from quota.periods import day_of
from quota.store.interface import Reader
from tests.contract.conftest import Opener
from tests.support.charges import BERLIN, HOUR, NOON, charge, refusal

ABSURD = 10**9 + 1
LIMITS = [
    (Limit("quota", Unit.RECIPIENTS, 4, enforce=True),),
    (Limit("quota", Unit.MESSAGES, 2, enforce=True),),
    (Limit("quota", Unit.RECIPIENTS, 3, enforce=False),),
    (Limit("a", Unit.RECIPIENTS, 5, enforce=True), Limit("b", Unit.MESSAGES, 2, enforce=True)),
    (Limit("a", Unit.RECIPIENTS, 2, enforce=False), Limit("b", Unit.MESSAGES, 3, enforce=True)),
]

_runs = count()

Counters = dict[tuple[bytes, str, Unit, int], int]
# (country, address, rule, enforced) of an account and day; an empty rule: accepted
Origins = dict[tuple[bytes, int], Counter[tuple[str, bytes, str, bool]]]
Answer = tuple[Outcome, list[tuple[int, int]]]


@dataclass
class Message:
    """What a message has been charged."""

    day: int
    recipients: set[bytes] = field(default_factory=set)
    charged: int = 0


@dataclass
class Model:
    """The rules of counting, written down once more without any store."""

    messages: dict[tuple[bytes, bytes], Message] = field(default_factory=dict)
    used: Counters = field(default_factory=dict)
    refused: Counters = field(default_factory=dict)
    origins: Origins = field(default_factory=lambda: defaultdict(Counter))

    overrides: dict[tuple[bytes, Kind], tuple[str, int]] = field(default_factory=dict)

    def override(self, account: bytes, kind: Kind, now: int) -> str | None:
        """What is in force."""
        value, until = self.overrides.get((account, kind), ("", 1))
        return value if until == 0 or now < until else None

    def change(self, change: Change, now: int) -> None:
        """See Store.change."""
        if isinstance(change, Set):
            self.overrides[change.account, change.kind] = change.value, change.until_unix_ms
        elif isinstance(change, Clear):
            self.overrides.pop((change.account, change.kind), None)
        elif isinstance(change, Reset):
            today = day_of(now, change.time_zone)
            for counts in (self.used, self.refused):
                for key in [key for key in counts if (key[0], key[3]) == (change.account, today)]:
                    del counts[key]
        else:
            for kind in (Kind.LIMIT, Kind.COUNTRY):  # a lock stays
                self.overrides.pop((change.account, kind), None)
            for counts in (self.used, self.refused):
                for key in [key for key in counts if key[0] == change.account]:
                    del counts[key]
            for of in [of for of in self.origins if of[0] == change.account]:
                del self.origins[of]

    def do(self, item: Charge | Refusal, now: int) -> Answer | Noted:
        """See Store.apply."""
        if isinstance(item, Charge):
            if self.override(item.account, Kind.LOCK, now) is not None:
                self.record(item, day_of(now, item.time_zone), "lock", True)
                return Outcome.LOCKED, []
            maximum = self.override(item.account, Kind.LIMIT, now)
            if maximum is not None:
                limits = [
                    limit._replace(maximum=int(maximum)) if limit.name == "quota" else limit
                    for limit in item.limits
                ]
                item = item._replace(limits=tuple(limits))
            return self.ask(item, now)
        countries = self.override(item.account, Kind.COUNTRY, now)
        if countries is not None and item.rule == "country" and item.country in countries.split(","):
            return Noted.OVERRIDDEN
        self.record(item, day_of(now, item.time_zone), item.rule, item.enforced)
        return Noted.RECORDED

    def ask(self, item: Charge, now: int) -> Answer:
        """(outcome, (used, refused) of each limit)."""
        today = day_of(now, item.time_zone)
        known = self.messages.get((item.account, item.instance)) if item.instance else None
        message = known or Message(today)
        new = 0
        if item.stage is Stage.RCPT and item.recipient not in message.recipients:
            new = 1
        if item.stage in (Stage.DATA, Stage.END_OF_MESSAGE):
            new = max(message.charged, min(item.recipient_count, 10**9), 1) - message.charged
        absurd = item.stage in (Stage.DATA, Stage.END_OF_MESSAGE) and item.recipient_count > 10**9
        keys = [(item.account, limit.name, limit.unit, message.day) for limit in item.limits]
        costs = [
            new if limit.unit is Unit.RECIPIENTS else int(message.charged == 0 and new > 0)
            for limit in item.limits
        ]
        over = [
            absurd or (cost > 0 and self.used.get(key, 0) + cost > limit.maximum)
            for limit, key, cost in zip(item.limits, keys, costs, strict=True)
        ]
        if absurd or any(limit.enforce for limit, is_over in zip(item.limits, over, strict=True) if is_over):
            outcome = Outcome.REFUSED
            for limit, key, cost, is_over in zip(item.limits, keys, costs, over, strict=True):
                if limit.enforce and is_over:
                    self.refused[key] = self.refused.get(key, 0) + max(cost, 1)
        elif any(costs):
            outcome = Outcome.CHARGED
            for key, cost in zip(keys, costs, strict=True):
                self.used[key] = self.used.get(key, 0) + cost
            self.origins[item.account, message.day][item.country, item.address, "", False] += costs[0]
            message.charged += new
            if item.stage is Stage.RCPT:
                message.recipients.add(item.recipient)
            if item.instance:
                self.messages[item.account, item.instance] = message
        else:
            outcome = Outcome.REPEATED
        objects = [limit for limit, is_over in zip(item.limits, over, strict=True) if is_over]
        if any(limit.enforce for limit in objects):
            objects = [limit for limit in objects if limit.enforce]
        elif item.exempt:
            objects = []
        for limit in objects:
            self.record(item, message.day, limit.name, limit.enforce)
        return outcome, [(self.used.get(key, 0), self.refused.get(key, 0)) for key in keys]

    def record(self, item: Charge | Refusal, day: int, rule: str, enforced: bool) -> None:
        """One refusal."""
        self.origins[item.account, day][item.country, item.address, rule, enforced] += 1


places = {
    "address": st.sampled_from([b"", b"84.128.0.1", b"8.8.8.8"]),
    "country": st.sampled_from(["", "DE"]),
}
refusals = st.builds(
    refusal,
    account=st.sampled_from([b"alice", b"bob"]),
    rule=st.sampled_from(["country", "quota"]),
    enforced=st.booleans(),
    **places,
)
charges = st.builds(
    charge,
    account=st.sampled_from([b"alice", b"bob"]),
    instance=st.sampled_from([b"", b"i1", b"i2"]),
    recipient=st.sampled_from([b"x", b"y", b"z"]),
    stage=st.sampled_from(Stage),
    recipient_count=st.sampled_from([-1, 0, 1, 2, 3, 5, ABSURD]),
    limits=st.sampled_from(LIMITS),
    exempt=st.booleans(),
    **places,
)
accounts = st.sampled_from([b"alice", b"bob"])
ends = st.sampled_from([0, NOON + 3 * HOUR, NOON + 9 * HOUR, NOON + 20 * HOUR])
reason = st.just("")
changes = st.one_of(
    st.builds(Set, accounts, st.just(Kind.LIMIT), st.sampled_from(["1", "3", "7"]), ends, reason),
    st.builds(Set, accounts, st.just(Kind.COUNTRY), st.sampled_from(["DE", "AT,FR"]), ends, reason),
    st.builds(Set, accounts, st.just(Kind.LOCK), st.just(""), ends, reason),
    st.builds(Clear, accounts, st.sampled_from(Kind), reason),
    st.builds(Reset, accounts, st.just(BERLIN), reason),
    st.builds(Purge, accounts, reason),
)
# Some changes, then a batch of charges and refusals, so many hours later, perhaps after a restart.
steps = st.tuples(
    st.lists(changes, max_size=3),
    st.lists(charges | refusals, min_size=1, max_size=6),
    st.integers(0, 5),
    st.booleans(),
)


@given(st.lists(steps, min_size=1, max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_store_does_what_the_model_does(
    open_store: Opener, reader: Reader, history: list[tuple[list[Change], list[Charge | Refusal], int, bool]]
) -> None:
    """Outcome, used and refused agree after every charge, and in the end the report of each day."""
    # One file serves all examples: a name of its own keeps each example's accounts apart.
    run = b"%d " % next(_runs)
    model, store, now = Model(), open_store(), NOON
    for acts, batch, hours, restart in history:
        now += hours * HOUR
        if restart:
            store = open_store()
        acts = [act._replace(account=run + act.account) for act in acts]
        for act in acts:
            model.change(act, now)
        store.change(Request(acts, "root@mail"), now)
        items = [item._replace(account=run + item.account) for item in batch]
        expected = [model.do(item, now) for item in items]
        results = store.apply(items, now)

        assert [
            (result.outcome, [(limit.used, limit.refused) for limit in result.limits])
            if isinstance(result, ChargeResult)
            else result
            for result in results
        ] == expected
    reported: Origins = {}
    for account, day in model.origins:
        (found,) = reader.report(day, day, account).accounts
        reported[account, day] = Counter(
            {(of.country, of.address, of.rule, of.enforced): of.total for of in found.origins}
        )
        assert {(of.rule, of.enforced): of.total for of in found.refusals} == by_rule(
            model.origins[account, day]
        )
    # Subtracting nothing drops the zeros: a charge may cost its first limit nothing.
    assert reported == {key: of - Counter() for key, of in model.origins.items()}


def by_rule(origins: Counter[tuple[str, bytes, str, bool]]) -> dict[tuple[str, bool], int]:
    """The refusals, wherever they came from."""
    sums: Counter[tuple[str, bool]] = Counter()
    for (_, _, rule, enforced), total in origins.items():
        if rule:
            sums[rule, enforced] += total
    return dict(sums)
