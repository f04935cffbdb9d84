"""Who is refused now, for every store."""

from quota.domain import RefusedAccount, RefusedNow
from quota.store.interface import REFUSED_MS, Reader, Store
from tests.support.charges import HOUR, MESSAGES, NOON, RECIPIENTS, berlin, charge, refusal

ONE = RECIPIENTS._replace(maximum=1)
MIDNIGHT = berlin("2026-11-24 00:00")


def test_nobody_is_refused_at_first(store: Store, reader: Reader) -> None:
    """What passes makes nobody a refused one."""
    store.apply([charge()], NOON)

    assert reader.refused_now(NOON, 10) == RefusedNow({}, ())


def test_a_limit_refuses_until_its_period_ends(store: Store, reader: Reader) -> None:
    """With what was used of it, and since when; gone with the day."""
    store.apply([charge(limits=(ONE,))], NOON)
    store.apply([charge(instance=b"i2", limits=(ONE,), country="AT")], NOON + 1)
    store.apply([charge(instance=b"i3", limits=(ONE,), country="FR", decision_id="third")], NOON + HOUR)

    alice = RefusedAccount(b"alice", "quota", "FR", NOON + 1, MIDNIGHT, 1, 1, "third")
    assert reader.refused_now(MIDNIGHT - 1, 10) == RefusedNow({"quota": 1}, (alice,))
    assert reader.refused_now(MIDNIGHT, 10) == RefusedNow({}, ())


def test_what_was_counted_in_other_units_is_not_added(store: Store, reader: Reader) -> None:
    """The setting `count` may change in the middle of a day; each has a count of its own."""
    one_message = ONE._replace(unit=MESSAGES.unit)
    store.apply([charge(instance=b"i%d" % number) for number in range(5)], NOON)
    store.apply([charge(instance=b"i%d" % number, limits=(one_message,)) for number in (6, 7)], NOON)

    (alice,) = reader.refused_now(NOON, 10).accounts
    assert (alice.used, alice.maximum) == (1, 1)


def test_a_rule_without_a_limit_refuses_for_an_hour(store: Store, reader: Reader) -> None:
    """After its last refusal."""
    store.apply([refusal()], NOON)
    store.apply([refusal(country="RU", decision_id="second")], NOON + 5)

    until = NOON + 5 + REFUSED_MS
    alice = RefusedAccount(b"alice", "country", "RU", NOON, until, None, None, "second")
    assert reader.refused_now(until - 1, 10) == RefusedNow({"country": 1}, (alice,))
    assert reader.refused_now(until, 10) == RefusedNow({}, ())


def test_what_would_have_been_refused_is_not_refused(store: Store, reader: Reader) -> None:
    """Observed rules and limits."""
    store.apply([refusal(enforced=False)], NOON)
    store.apply([charge(limits=(ONE._replace(enforce=False),)) for _ in range(2)], NOON)

    assert reader.refused_now(NOON, 10) == RefusedNow({}, ())


def test_the_list_is_bounded_and_the_totals_are_not(store: Store, reader: Reader) -> None:
    """The last refused first."""
    for number in range(5):
        store.apply([refusal(account=b"user%d" % number)], NOON + number)
    found = reader.refused_now(NOON + 10, 2)

    assert found.counts == {"country": 5}
    assert [account.account for account in found.accounts] == [b"user4", b"user3"]


def test_an_account_is_there_once_around_midnight(store: Store, reader: Reader) -> None:
    """Its refusals of two days stand in two rows; the last one is shown, and takes one place of the list."""
    store.apply([refusal(account=b"bob")], MIDNIGHT - 2)
    store.apply([refusal(country="RU")], MIDNIGHT - 1)
    store.apply([refusal(country="FR", decision_id="second")], MIDNIGHT + 1)

    until = MIDNIGHT + 1 + REFUSED_MS
    alice = RefusedAccount(b"alice", "country", "FR", MIDNIGHT + 1, until, None, None, "second")
    found = reader.refused_now(MIDNIGHT + 2, 2)
    assert found.counts == {"country": 2}
    assert found.accounts[0] == alice
    assert [account.account for account in found.accounts] == [b"alice", b"bob"]
