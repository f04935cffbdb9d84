"""What admins set and do, for every store: in force with the next item, until its moment, and never half."""

from collections.abc import Sequence
from typing import Any

import pytest

from quota.domain import ChargeResult, LimitState, Noted, Outcome, RefusedNow, Stage
from quota.overrides import Change, Changed, Clear, Kind, Override, Purge, Request, Reset, Set
from quota.store import changes as module
from quota.store.interface import REFUSED_MS, Reader, Store, TooManyChangesError
from tests.contract.conftest import Opener
from tests.support.charges import BERLIN, HOUR, MESSAGES, NOON, RECIPIENTS, berlin, charge, refusal

WHO = "root@mail"
MIDNIGHT = berlin("2026-11-24 00:00")
FIVE = Set(b"alice", Kind.LIMIT, "5", 0, "newsletter")
LOCKED = Set(b"alice", Kind.LOCK, "", 0, "phished")
ABROAD = Set(b"alice", Kind.COUNTRY, "FR,US", 0, "travels")


def change(store: Store, *changes: Change, now: int = NOON, replace: bool = False) -> Changed:
    return store.change(Request(changes, WHO, replace), now)


def ask(store: Store, now: int = NOON, **fields: Any) -> ChargeResult:
    (result,) = store.apply([charge(**fields)], now)
    assert isinstance(result, ChargeResult)
    return result


def send(store: Store, number: int, now: int = NOON, **fields: Any) -> list[Outcome]:
    """So many messages of one recipient each."""
    return [ask(store, now, instance=b"m%d" % index, **fields).outcome for index in range(number)]


def state(store: Store, now: int = NOON, **fields: Any) -> LimitState:
    """The limit of an account, without charging it."""
    return ask(store, now, instance=b"", stage=Stage.OTHER, **fields).limits[0]


def override(of: Set, now: int = NOON) -> Override:
    return Override(*of[:4], of.reason, WHO, now)


# Limits


@pytest.mark.parametrize("maximum", [1, 5, 10, 30])
def test_a_limit_takes_the_place_of_the_default(store: Store, maximum: int) -> None:
    """Exactly so many pass, and the state tells the maximum in force."""
    change(store, FIVE._replace(value=str(maximum)))
    outcomes = send(store, 31)

    assert outcomes == [Outcome.CHARGED] * maximum + [Outcome.REFUSED] * (31 - maximum)
    assert (state(store).maximum, state(store).used) == (maximum, maximum)


def test_a_limit_is_in_force_until_its_moment(store: Store) -> None:
    """A millisecond before it the override decides, at it the default does."""
    change(store, FIVE._replace(until_unix_ms=NOON + HOUR))
    send(store, 5)

    assert state(store, NOON + HOUR - 1).maximum == 5
    assert ask(store, NOON + HOUR - 1, instance=b"x").outcome is Outcome.REFUSED
    assert ask(store, NOON + HOUR, instance=b"x").outcome is Outcome.CHARGED
    assert state(store, NOON + HOUR).maximum == 10


def test_a_limit_holds_for_the_limit_quota_alone(store: Store) -> None:
    """In both units, enforced or observed; another limit keeps its maximum."""
    change(store, FIVE)
    observed = RECIPIENTS._replace(enforce=False)
    messages = MESSAGES._replace(name="quota")

    assert [limit.maximum for limit in ask(store, limits=(RECIPIENTS, MESSAGES)).limits] == [5, 10]
    assert state(store, limits=(observed,)).maximum == 5
    assert state(store, limits=(messages,)).maximum == 5
    assert state(store, account=b"bob").maximum == 10


def test_a_limit_ends_when_it_is_cleared(store: Store) -> None:
    """With the next charge."""
    change(store, FIVE)
    send(store, 6)
    cleared = change(store, Clear(b"alice", Kind.LIMIT, "over"))

    assert cleared == Changed(1, (override(FIVE),))
    assert ask(store, instance=b"x").outcome is Outcome.CHARGED


def test_overrides_outlive_a_restart(open_store: Opener) -> None:
    """They are in the file, not in the process."""
    change(open_store(), FIVE, LOCKED._replace(account=b"bob"), ABROAD._replace(account=b"carol"))
    store = open_store()

    assert state(store).maximum == 5
    assert ask(store, account=b"bob").outcome is Outcome.LOCKED
    assert store.apply([refusal(account=b"carol")], NOON) == [Noted.OVERRIDDEN]


# Locks


def test_a_lock_refuses_everything(store: Store) -> None:
    """New mail, repeats, each stage, without limits, exempt senders; nothing is charged."""
    assert ask(store).outcome is Outcome.CHARGED
    change(store, LOCKED)
    asked: Sequence[dict[str, Any]] = [
        {},
        {"instance": b"new"},
        {"instance": b""},
        {"stage": Stage.DATA, "recipient_count": 3},
        {"stage": Stage.OTHER},
        {"limits": ()},
        {"exempt": True},
        {"limits": (RECIPIENTS._replace(enforce=False),)},
    ]
    results = [ask(store, **fields) for fields in asked]

    assert results == [ChargeResult(Outcome.LOCKED, 0, ())] * len(asked)
    assert ask(store, account=b"bob").outcome is Outcome.CHARGED
    change(store, Clear(b"alice", Kind.LOCK, "new password"))
    assert state(store).used == 1
    assert ask(store).outcome is Outcome.REPEATED


def test_a_lock_ends_at_its_moment(store: Store) -> None:
    """By itself."""
    change(store, LOCKED._replace(until_unix_ms=NOON + HOUR))

    assert ask(store, NOON + HOUR - 1).outcome is Outcome.LOCKED
    assert ask(store, NOON + HOUR).outcome is Outcome.CHARGED


def test_a_lock_in_a_batch_of_charges_is_seen_by_all_behind_it(store: Store) -> None:
    """What was charged before it stays charged."""
    before = store.apply([charge(instance=b"%d" % number) for number in range(3)], NOON)
    change(store, LOCKED)
    after = store.apply([charge(instance=b"%d" % number) for number in range(6)], NOON)

    assert [result.outcome for result in before if isinstance(result, ChargeResult)] == [Outcome.CHARGED] * 3
    assert [result.outcome for result in after if isinstance(result, ChargeResult)] == [Outcome.LOCKED] * 6


def test_a_locked_account_is_refused_now(store: Store, reader: Reader) -> None:
    """From its first refusal until an hour after the last, the lock's end, or the unlock."""
    change(store, LOCKED._replace(until_unix_ms=NOON + HOUR + 10))
    before = reader.refused_now(NOON, 10)
    ask(store, NOON)
    first = reader.refused_now(NOON, 10)
    ask(store, NOON + HOUR)
    last = reader.refused_now(NOON + HOUR, 10)
    change(store, Clear(b"alice", Kind.LOCK, ""), now=NOON + HOUR)

    assert before == RefusedNow({}, ())
    assert first.counts == {"lock": 1}
    (alice,) = first.accounts
    assert (alice.rule, alice.until_unix_ms, alice.maximum) == ("lock", NOON + REFUSED_MS, None)
    assert last.accounts[0].until_unix_ms == NOON + HOUR + 10
    assert reader.refused_now(NOON + HOUR, 10) == RefusedNow({}, ())


# Permits


@pytest.mark.parametrize("enforced", [True, False])
def test_a_permit_overrides_the_country_rule(store: Store, reader: Reader, enforced: bool) -> None:
    """From those countries, for this account, of this rule; then nothing is recorded."""
    change(store, ABROAD)
    asked = [
        refusal(enforced=enforced),
        refusal(enforced=enforced, country="RU"),
        refusal(enforced=enforced, country=""),
        refusal(enforced=enforced, rule="other"),
        refusal(enforced=enforced, account=b"bob"),
    ]

    assert store.apply(asked, NOON) == [Noted.OVERRIDDEN] + [Noted.RECORDED] * 4
    today = MIDNIGHT // 86_400_000 + 719_163
    (alice,) = reader.report(today, today, b"alice").accounts
    assert sum(refusals.total for refusals in alice.refusals) == 3


def test_a_permit_ends_at_its_moment(store: Store) -> None:
    """By itself."""
    change(store, ABROAD._replace(until_unix_ms=NOON + HOUR))

    assert store.apply([refusal()], NOON + HOUR - 1) == [Noted.OVERRIDDEN]
    assert store.apply([refusal()], NOON + HOUR) == [Noted.RECORDED]


def test_a_permit_replaces_the_one_before(store: Store) -> None:
    """The countries are those that were named last."""
    change(store, ABROAD)
    changed = change(store, ABROAD._replace(value="IT"))

    assert changed.before == (override(ABROAD),)
    assert store.apply([refusal(), refusal(country="IT")], NOON) == [Noted.RECORDED, Noted.OVERRIDDEN]


def test_a_refusal_that_comes_again_is_recorded_once(open_store: Opener, reader: Reader) -> None:
    """Also over a restart, and whatever was set meanwhile: the first answer stands."""
    one = refusal(decision_id="kbtd6g2g79")
    store = open_store()
    assert store.apply([one, one], NOON) == [Noted.RECORDED] * 2
    store = open_store()
    change(store, ABROAD)

    assert store.apply([one], NOON + 5000) == [Noted.RECORDED]
    others = [one._replace(rule="other"), one._replace(account=b"bob"), one._replace(decision_id="2")]
    assert store.apply(others, NOON) == [Noted.RECORDED, Noted.RECORDED, Noted.OVERRIDDEN]
    today = MIDNIGHT // 86_400_000 + 719_163
    assert (
        sum(
            refusals.total
            for account in reader.report(today - 1, today).accounts
            for refusals in account.refusals
        )
        == 3
    )


def test_a_refusal_is_remembered_for_a_quarter_of_an_hour(store: Store) -> None:
    """Decision asks again within seconds; half an hour later it is forgotten."""
    one, quarter = refusal(decision_id="kbtd6g2g79"), 15 * 60_000
    for at in (NOON, NOON + quarter - 1):
        store.apply([one], at)
        change(store, ABROAD)
        assert store.expire(at + quarter, 100) == 0
        assert store.apply([one], at + quarter) == [Noted.RECORDED]

        assert store.expire(at + 2 * quarter, 100) == 1
        assert store.apply([one], at + 2 * quarter) == [Noted.OVERRIDDEN]
        change(store, Clear(b"alice", Kind.COUNTRY, "back"))


# Reset


def test_a_reset_sets_the_counters_to_zero(store: Store, reader: Reader) -> None:
    """Used and refused, of all limits of today; the account leaves those that are refused now."""
    both = (RECIPIENTS, MESSAGES)
    send(store, 12, limits=both)
    store.apply([refusal()], NOON)
    refused = reader.refused_now(NOON, 10).counts
    done = change(store, Reset(b"alice", BERLIN, "asked for it"))

    assert refused == {"quota": 1, "messages": 1, "country": 1}
    assert done.done == 1
    states = ask(store, instance=b"", stage=Stage.OTHER, limits=both).limits
    assert [(limit.used, limit.refused) for limit in states] == [(0, 0), (0, 0)]
    assert reader.refused_now(NOON, 10) == RefusedNow({}, ())


def test_a_message_under_way_goes_on_for_its_new_recipients_only(store: Store) -> None:
    """Three of five recipients were charged before the reset: two are charged after it."""
    for number in range(3):
        ask(store, recipient=b"%d" % number)
    change(store, Reset(b"alice", BERLIN, ""))
    again = [ask(store, recipient=b"%d" % number) for number in range(5)]
    last = ask(store, stage=Stage.DATA, recipient_count=5)

    assert [result.outcome for result in again] == [Outcome.REPEATED] * 3 + [Outcome.CHARGED] * 2
    assert (last.outcome, last.limits[0].used) == (Outcome.REPEATED, 2)


def test_a_reset_is_of_today(store: Store) -> None:
    """In the time zone that it names; yesterday's counts stay, and so do those of others."""
    send(store, 3)
    send(store, 2, account=b"bob")
    tomorrow = change(store, Reset(b"alice", BERLIN, ""), now=MIDNIGHT)

    assert tomorrow.done == 0
    assert state(store).used == 3
    assert change(store, Reset(b"alice", BERLIN, ""), now=MIDNIGHT - 1).done == 1
    assert (state(store).used, state(store, account=b"bob").used) == (0, 2)


def test_a_reset_keeps_what_is_set(store: Store) -> None:
    """Limit and lock."""
    change(store, FIVE)
    send(store, 5)
    change(store, Reset(b"alice", BERLIN, ""), LOCKED)

    assert ask(store).outcome is Outcome.LOCKED
    change(store, Clear(b"alice", Kind.LOCK, ""))
    assert (state(store).maximum, state(store).used) == (5, 0)


# Who is refused now


@pytest.mark.parametrize(("maximum", "refused"), [(20, {}), (5, {"quota": 1})])
def test_a_higher_limit_makes_an_account_one_that_is_not_refused(
    store: Store, reader: Reader, maximum: int, refused: dict[str, int]
) -> None:
    """A lower one does not."""
    send(store, 11)
    change(store, FIVE._replace(value=str(maximum)))

    assert reader.refused_now(NOON, 10).counts == refused


@pytest.mark.parametrize(("codes", "refused"), [("FR,US", {}), ("FR", {"country": 1})])
def test_a_permit_makes_an_account_one_that_is_not_refused(
    store: Store, reader: Reader, codes: str, refused: dict[str, int]
) -> None:
    """If it is for the country it came from."""
    store.apply([refusal()], NOON)
    change(store, ABROAD._replace(value=codes))

    assert reader.refused_now(NOON, 10).counts == refused


# Purge


def test_a_purge_forgets_the_account(store: Store, reader: Reader) -> None:
    """Counts, refusals, origins, what is set; others keep theirs, and mail is counted anew."""
    for account in (b"alice", b"bob"):
        change(store, FIVE._replace(account=account), ABROAD._replace(account=account))
        send(store, 6, account=account)
        store.apply([refusal(account=account, country="RU")], NOON)
    done = change(store, Purge(b"alice", "Art. 17"))
    today = MIDNIGHT // 86_400_000 + 719_163 - 1

    assert done.done == 1
    assert reader.report(today, today, b"alice").accounts == ()
    assert len(reader.report(today, today, b"bob").accounts) == 1
    assert reader.refused_now(NOON, 10).counts == {"quota": 1, "country": 1}
    assert (state(store).maximum, state(store).used) == (10, 0)
    assert (state(store, account=b"bob").maximum, state(store, account=b"bob").used) == (5, 5)
    assert store.apply([refusal(country="FR")], NOON) == [Noted.RECORDED]
    assert change(store, Purge(b"nobody", "")).done == 0


def test_a_purge_unlocks_nobody(store: Store, reader: Reader) -> None:
    """A lock in force is all that is left, and it is told with what else was; purged twice is once."""
    change(store, FIVE, ABROAD, LOCKED)
    ask(store)
    first, second = change(store, Purge(b"alice", "")), change(store, Purge(b"alice", ""))

    assert (first.done, {override.kind for override in first.before}) == (1, set(Kind))
    assert (second.done, [override.kind for override in second.before]) == (0, [Kind.LOCK])
    assert reader.refused_now(NOON, 10).counts == {}
    assert ask(store).outcome is Outcome.LOCKED
    change(store, Clear(b"alice", Kind.LOCK, ""))
    assert state(store).maximum == 10
    assert store.apply([refusal()], NOON) == [Noted.RECORDED]


def test_a_lock_that_has_ended_is_purged(store: Store) -> None:
    """As it is no more: the account is gone for good."""
    change(store, LOCKED._replace(until_unix_ms=NOON + 1))
    later = store.change(Request([Purge(b"alice", ""), Purge(b"alice", "")], "root"), NOON + 1)

    assert later == Changed(1, ())


def test_a_new_account_does_not_inherit_from_a_purged_one(store: Store) -> None:
    """Not even where it gets the same place in the store."""
    change(store, FIVE, ABROAD)
    change(store, Purge(b"alice", ""))

    assert ask(store, account=b"bob").outcome is Outcome.CHARGED
    assert state(store, account=b"bob").maximum == 10


# Requests


def test_what_is_set_already_is_no_change(store: Store) -> None:
    """A nightly import of the same list does nothing; another reason or end does."""
    assert change(store, FIVE, LOCKED).done == 2

    assert change(store, FIVE, LOCKED) == Changed(0, ())
    assert change(store, FIVE._replace(reason="other")).done == 1
    assert change(store, FIVE._replace(until_unix_ms=NOON + HOUR)).done == 1
    assert change(store, Clear(b"bob", Kind.LIMIT, ""), Clear(b"alice", Kind.COUNTRY, "")).done == 0


def test_an_override_that_has_ended_was_not_in_force(store: Store) -> None:
    """It is neither told as what was before nor cleared."""
    change(store, FIVE._replace(until_unix_ms=NOON + 1))

    assert change(store, Clear(b"alice", Kind.LIMIT, ""), now=NOON + 1) == Changed(0, ())


def test_changes_are_done_in_their_order(store: Store) -> None:
    """The last word on an account counts."""
    done = change(store, FIVE, FIVE._replace(value="7"), LOCKED, Clear(b"alice", Kind.LOCK, ""))

    assert done == Changed(4, (override(FIVE), override(LOCKED)))
    assert ask(store).limits[0].maximum == 7
    change(store, FIVE, Purge(b"alice", ""), FIVE._replace(value="8"))
    assert state(store).maximum == 8


def test_a_request_is_done_whole_or_not_at_all(store: Store) -> None:
    """One change that cannot be done undoes those before it."""
    with pytest.raises(ValueError, match="no time zone"):
        change(store, FIVE, LOCKED, Reset(b"alice", "Europe/Bonn", ""))

    assert state(store).maximum == 10
    assert change(store, FIVE).done == 1


def test_replace_clears_what_is_not_listed(store: Store) -> None:
    """Limits and permits; locks stay, and what is listed unchanged is not touched."""
    bob, carol = FIVE._replace(account=b"bob"), ABROAD._replace(account=b"carol")
    change(store, FIVE, ABROAD, bob, carol, LOCKED._replace(account=b"dave"))
    done = change(store, bob, FIVE._replace(value="6"), replace=True)

    assert done.done == 3
    assert {(of.account, of.kind) for of in done.before} == {
        (b"alice", Kind.LIMIT),
        (b"alice", Kind.COUNTRY),
        (b"carol", Kind.COUNTRY),
    }
    assert state(store).maximum == 6
    assert state(store, account=b"bob").maximum == 5
    assert store.apply([refusal(), refusal(account=b"carol")], NOON) == [Noted.RECORDED] * 2
    assert ask(store, account=b"dave").outcome is Outcome.LOCKED


def test_replace_does_not_clear_without_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hold all charges up: it is refused, and nothing is changed."""
    monkeypatch.setattr(module, "MAX_CHANGES", 4)
    change(store, *[FIVE._replace(account=b"%d" % number) for number in range(4)])
    with pytest.raises(TooManyChangesError):
        change(store, FIVE, replace=True)

    assert state(store).maximum == 10
    assert state(store, account=b"0").maximum == 5


def test_what_was_before_is_bounded(store: Store) -> None:
    """The first hundred."""
    many = [FIVE._replace(account=b"%d" % number) for number in range(120)]
    change(store, *many)
    done = change(store, *[of._replace(value="6") for of in many])

    assert (done.done, len(done.before)) == (120, 100)


def test_any_name_may_be_overridden(store: Store) -> None:
    """Quotes, blanks, invalid UTF-8, leading dashes, 320 bytes."""
    for name in (b"'; --", b"a b", b"\xff\xfe", b"-rf", "ä".encode() * 160, b'"', b"%"):
        change(store, FIVE._replace(account=name))
        assert state(store, account=name).maximum == 5


def test_what_has_ended_is_removed(store: Store, open_store: Opener) -> None:
    """In bites; what goes on stays, and what ends next to it too."""
    ended = [FIVE._replace(account=b"%d" % number, until_unix_ms=NOON + 1) for number in range(5)]
    change(store, *ended, LOCKED._replace(account=b"0"), FIVE)
    bites = [store.expire(NOON + 1, 2) for _ in range(4)]

    assert bites == [2, 2, 1, 0]
    assert ask(store, account=b"0").outcome is Outcome.LOCKED
    assert state(store).maximum == 5
    assert change(store, *ended).done == 5
