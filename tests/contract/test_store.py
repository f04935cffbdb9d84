"""The contract of quota.store.interface.Store, for every store."""

import pytest

from quota.domain import Charge, ChargeResult, Limit, LimitState, Noted, Outcome, Stage, Unit
from quota.overrides import Kind, Request, Set
from quota.store.interface import Store
from tests.contract.conftest import Opener
from tests.support.charges import HOUR, MESSAGES, NOON, RECIPIENTS, berlin, charge, refusal


def ask(store: Store, item: Charge, now: int = NOON) -> ChargeResult:
    (result,) = store.apply([item], now)
    assert isinstance(result, ChargeResult)
    return result


def state(store: Store, now: int = NOON, **which: bytes) -> LimitState:
    """The limit of an account, without charging it."""
    return ask(store, charge(instance=b"", stage=Stage.OTHER, **which), now).limits[0]  # type: ignore[arg-type]


def used(store: Store, now: int = NOON, **which: bytes) -> int:
    return state(store, now, **which).used


def test_a_charge_tells_everything_about_its_limit(store: Store) -> None:
    """Outcome, units, and the limit's state with the end of the day."""
    expected = ChargeResult(
        Outcome.CHARGED, 1, (LimitState("quota", 10, 1, 0, berlin("2026-11-24 00:00"), False, False, False),)
    )

    assert ask(store, charge()) == expected


def test_a_charge_outlives_a_restart(open_store: Opener) -> None:
    """What was answered as charged is there, and known as charged, after the store is opened again."""
    assert ask(open_store(), charge()).outcome is Outcome.CHARGED
    store = open_store()

    assert used(store) == 1
    assert ask(store, charge()).outcome is Outcome.REPEATED


def test_items_of_one_batch_see_each_other(store: Store) -> None:
    """Eleven recipients for ten places in one call: the last one is refused; a repeat in it is a repeat."""
    items = [charge(recipient=b"%d" % number) for number in range(11)] + [charge(recipient=b"0")]
    outcomes = [result.outcome for result in store.apply(items, NOON) if isinstance(result, ChargeResult)]

    assert outcomes == [Outcome.CHARGED] * 10 + [Outcome.REFUSED, Outcome.REPEATED]


def test_a_batch_may_mix_charges_and_refusals(store: Store) -> None:
    """Results come in order."""
    first, second, third = store.apply([charge(), refusal(), charge(recipient=b"x")], NOON)

    assert [type(result) for result in (first, third)] == [ChargeResult, ChargeResult]
    assert second is Noted.RECORDED
    assert used(store) == 2


def test_an_empty_batch_is_allowed(store: Store) -> None:
    """Nothing asked, nothing done."""
    assert store.apply([], NOON) == []


def test_all_limits_are_charged_or_none(store: Store) -> None:
    """The second limit is full: the first one is not charged either."""
    narrow = Limit("narrow", Unit.MESSAGES, 1, enforce=True)
    both = (RECIPIENTS, narrow)
    assert ask(store, charge(limits=both)).outcome is Outcome.CHARGED
    refused = ask(store, charge(instance=b"i2", limits=both))

    assert refused.outcome is Outcome.REFUSED
    assert [(limit.used, limit.refused, limit.would_refuse) for limit in refused.limits] == [
        (1, 0, False),
        (1, 1, True),
    ]


def test_counted_in_messages_a_message_costs_one(store: Store) -> None:
    """However many recipients it has, at whatever stage."""
    limits = (MESSAGES,)
    ask(store, charge(limits=limits))
    ask(store, charge(recipient=b"x", limits=limits))
    ask(store, charge(stage=Stage.DATA, recipient_count=5, limits=limits))
    last = ask(store, charge(instance=b"i2", stage=Stage.END_OF_MESSAGE, recipient_count=7, limits=limits))

    assert last.limits[0].used == 2


def test_recipients_are_compared_byte_by_byte(store: Store) -> None:
    """`Bob` and `bob` may be two mailboxes."""
    ask(store, charge(recipient=b"bob@example.net"))
    ask(store, charge(recipient=b"Bob@example.net"))

    assert used(store) == 2


def test_messages_belong_to_their_account(store: Store) -> None:
    """Two accounts with one instance are two messages."""
    ask(store, charge(account=b"alice"))
    ask(store, charge(account=b"bob"))
    ask(store, charge(account=b"alic", instance=b"ei1"))

    assert [used(store, account=name) for name in (b"alice", b"bob", b"alic")] == [1, 1, 1]


def test_a_refused_charge_is_not_remembered(store: Store) -> None:
    """It is decided anew when it comes again, and each time adds to `refused`."""
    ask(store, charge(stage=Stage.DATA, recipient_count=10))
    first = ask(store, charge(instance=b"i2"))
    second = ask(store, charge(instance=b"i2"))
    raised = ask(store, charge(instance=b"i2", limits=(RECIPIENTS._replace(maximum=11),)))

    assert [first.limits[0].first_refusal, second.limits[0].first_refusal] == [True, False]
    assert [first.limits[0].refused, second.limits[0].refused] == [1, 2]
    assert raised.outcome is Outcome.CHARGED


def test_a_message_stays_in_the_period_of_its_first_charge(store: Store) -> None:
    """A mail begun before midnight is counted to yesterday to its end; a new one to today."""
    before, after = berlin("2026-11-23 23:59:59"), berlin("2026-11-24 00:00:00")
    ask(store, charge(), before)
    late = ask(store, charge(recipient=b"x"), after)
    ask(store, charge(instance=b"i2"), after)

    assert late.limits[0].resets_unix_ms == after
    assert (used(store, before), used(store, after)) == (2, 1)


@pytest.mark.parametrize(
    ("last", "first"),
    [
        ("2026-03-28 23:59:59", "2026-03-29 00:00:00"),
        ("2026-03-29 23:59:59", "2026-03-30 00:00:00"),
        ("2026-10-24 23:59:59", "2026-10-25 00:00:00"),
        ("2026-10-25 23:59:59", "2026-10-26 00:00:00"),
    ],
)
def test_days_of_23_and_25_hours_end_at_midnight(store: Store, last: str, first: str) -> None:
    """Around both changes of daylight saving the count begins anew at 00:00 of the wall clock."""
    ask(store, charge(), berlin(last))
    ask(store, charge(instance=b"i2"), berlin(first))

    assert state(store, berlin(last)).resets_unix_ms == berlin(first)
    assert (used(store, berlin(last)), used(store, berlin(first))) == (1, 1)


def test_the_hour_that_comes_twice_belongs_to_one_day(store: Store) -> None:
    """On 2026-10-25 the clock shows 02:30 twice."""
    first = berlin("2026-10-25 02:30")
    ask(store, charge(), first)
    ask(store, charge(instance=b"i2"), first + HOUR)

    assert used(store, first) == 2


def test_a_clock_that_goes_back_over_midnight_counts_to_the_day_it_shows(store: Store) -> None:
    """Yesterday's count is still there, and today's too."""
    midnight = berlin("2026-11-24 00:00")
    ask(store, charge(), midnight + 60_000)
    ask(store, charge(instance=b"i2"), midnight - 60_000)

    assert (used(store, midnight - 60_000), used(store, midnight + 60_000)) == (1, 1)


def test_another_time_zone_has_another_day(store: Store) -> None:
    """At 23:30 in Berlin it is tomorrow in Tokyo; a message under way stays in its period."""
    late = berlin("2026-11-23 23:30")
    ask(store, charge(), late)
    moved = ask(store, charge(recipient=b"x", time_zone="Asia/Tokyo"), late)
    new = ask(store, charge(instance=b"i2", time_zone="Asia/Tokyo"), late)

    assert (moved.limits[0].used, new.limits[0].used) == (2, 1)
    assert used(store, late) == 2


def test_a_message_is_remembered_for_six_hours_after_its_last_touch(store: Store) -> None:
    """A repeat, too, keeps it; some time later it is forgotten, and its charge stays."""
    day = berlin("2026-11-23 00:10")
    ask(store, charge(), day)
    store.expire(day + 6 * HOUR - 1, 100)
    touched = ask(store, charge(), day + 6 * HOUR - 1)
    store.expire(day + 12 * HOUR - 2, 100)
    again = ask(store, charge(), day + 12 * HOUR - 2)
    store.expire(day + 20 * HOUR, 100)
    forgotten = ask(store, charge(), day + 20 * HOUR)

    assert [touched.outcome, again.outcome] == [Outcome.REPEATED, Outcome.REPEATED]
    assert (forgotten.outcome, forgotten.limits[0].used) == (Outcome.CHARGED, 2)


def test_forgetting_is_bounded(store: Store) -> None:
    """Each call forgets at most so many, until nothing is left."""
    store.apply([charge(account=b"%d" % n, instance=b"%d" % n) for n in range(5)], NOON)
    later = NOON + 8 * HOUR

    assert [store.expire(later, 2) for _ in range(4)] == [2, 2, 1, 0]


def test_whatever_is_forgotten_counts(store: Store) -> None:
    """Messages, counts, refusals, origins, what was set and by whom: one at a time, until nothing is left."""
    store.apply([charge(), refusal(decision_id="kbtd6g2g79")], NOON)
    store.change(Request([Set(b"alice", Kind.LIMIT, "5", NOON + 1, "newsletter")], "root@mail"), NOON)
    later = NOON + 3 * 365 * 24 * HOUR
    bites = [store.expire(later, 1) for _ in range(20)]

    assert bites == sorted(bites, reverse=True)
    assert set(bites) == {0, 1}
    assert store.expire(later, 100) == 0


def test_counts_of_the_last_days_are_never_forgotten(store: Store) -> None:
    """Yesterday's and today's counts, and a month's, outlive any tidying; those of last year go."""
    ask(store, charge(), NOON)
    store.apply([refusal()], NOON)
    for later in (NOON + 24 * HOUR, NOON + 48 * HOUR, NOON + 30 * 24 * HOUR):
        while store.expire(later, 100):
            pass
    kept = used(store)
    while store.expire(NOON + 365 * 24 * HOUR, 100):
        pass

    assert (kept, used(store)) == (1, 0)


def test_crossing_80_percent_is_told_once(store: Store) -> None:
    """By the charge that takes the count there."""
    told = [ask(store, charge(recipient=b"%d" % number)).limits[0].crossed_80 for number in range(10)]

    assert told == [False] * 7 + [True] + [False] * 2


def test_an_observed_limit_is_charged_on(store: Store) -> None:
    """Past the maximum it says would_refuse, and counts."""
    observed = (RECIPIENTS._replace(maximum=1, enforce=False),)
    ask(store, charge(limits=observed))
    second = ask(store, charge(recipient=b"x", limits=observed))
    third = ask(store, charge(recipient=b"y", limits=observed))

    assert (second.outcome, second.limits[0].would_refuse, second.limits[0].used) == (
        Outcome.CHARGED,
        True,
        2,
    )
    assert [second.limits[0].first_refusal, third.limits[0].first_refusal] == [True, False]
    assert third.limits[0].refused == 0


def test_the_login_as_typed_is_not_the_key(store: Store) -> None:
    """Two spellings of one account share its count."""
    ask(store, charge(login=b"Alice"))
    ask(store, charge(login=b"ALICE", recipient=b"x"))

    assert used(store) == 2


def test_any_bytes_may_be_names(store: Store) -> None:
    """Invalid UTF-8, NUL, quotes and 64 KiB are names like others."""
    for name in (b"\xff\xfe", b"a\0b", b"'; --", b"x" * 65536):
        ask(store, charge(account=name, instance=name, recipient=name))
        assert used(store, account=name) == 1


def test_billions_fit(store: Store) -> None:
    """The largest limit can be filled to its last unit."""
    billion = (RECIPIENTS._replace(maximum=10**9),)
    full = ask(store, charge(stage=Stage.DATA, recipient_count=10**9, limits=billion))
    over = ask(store, charge(instance=b"i2", limits=billion))

    assert (full.outcome, full.units) == (Outcome.CHARGED, 10**9)
    assert over.outcome is Outcome.REFUSED
