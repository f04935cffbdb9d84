"""Which single refusals are kept."""

import sqlite3

import pytest

from quota.domain import LimitState
from quota.store import refusal_log as module
from quota.store.refusal_log import KEPT_FIRST, KEPT_LAST, MAX_BYTES, RefusalLog, row
from tests.support.charges import charge, refusal

KEPT = KEPT_FIRST + KEPT_LAST


def add(log: RefusalLog, number: int, *, account: int = 1, day: int = 7, at_ms: int = 0) -> None:
    log.begin()
    rows = []
    for index in range(number):
        place = log.place(account, day)
        rows.append(row(place, at_ms + index, refusal(decision_id=f"{index}"), "country", True, None))
    log.write(rows)


def kept(db: sqlite3.Connection, account: int = 1) -> list[int]:
    found = db.execute("SELECT decision_id FROM refusal_log WHERE account = ? ORDER BY id", (account,))
    return [int(decision_id) for (decision_id,) in found]


def test_the_first_and_the_last_are_kept(db: sqlite3.Connection) -> None:
    """A flood of one account costs so many rows and no more, and others keep theirs."""
    log = RefusalLog(db)
    add(log, 3, account=2)
    add(log, 5000)

    assert kept(db) == [*range(KEPT_FIRST), *range(5000 - KEPT_LAST, 5000)]
    assert kept(db, 2) == [0, 1, 2]


def test_a_restart_goes_on_where_it_was(db: sqlite3.Connection) -> None:
    """The number of refusals stands in the table of their sums."""
    add(RefusalLog(db), KEPT_FIRST)
    db.execute(
        "INSERT INTO refusal (day, account, rule, enforced, count, first_ms, last_ms, last_country,"
        " last_address, last_decision_id) VALUES (7, 1, 'country', 1, ?, 0, 0, '', x'', '')",
        (KEPT_FIRST,),
    )
    add(RefusalLog(db), 2)

    assert kept(db) == [*range(KEPT_FIRST), 0, 1]


def test_what_was_rolled_back_takes_no_place(db: sqlite3.Connection) -> None:
    """A busy store is asked again and again, and the day's first refusals are kept all the same."""
    log = RefusalLog(db)
    db.execute("BEGIN")
    add(log, KEPT_FIRST)
    db.execute("ROLLBACK")
    log.forget()
    add(log, KEPT_FIRST)

    assert kept(db) == [*range(KEPT_FIRST)]


def test_old_refusals_go_in_bites(db: sqlite3.Connection) -> None:
    """Younger ones stay."""
    log = RefusalLog(db)
    add(log, 10)
    bites = [log.expire(5, 3) for _ in range(3)]

    assert bites == [3, 2, 0]
    assert kept(db) == [5, 6, 7, 8, 9]


def test_too_many_refusals_go(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all accounts together, the oldest first."""
    monkeypatch.setattr(module, "MAX_ROWS", 4)
    log = RefusalLog(db)
    add(log, 3)
    add(log, 5, account=2)
    bites = [log.expire(0, 3), log.expire(0, 3)]

    assert bites == [3, 1]
    assert (kept(db), kept(db, 2)) == ([], [1, 2, 3, 4])


def test_old_ones_and_too_many_go_in_bites_together(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more at a time than are allowed: a transaction that forgets holds charges up."""
    monkeypatch.setattr(module, "MAX_ROWS", 4)
    log = RefusalLog(db)
    add(log, 10)
    bites = [log.expire(4, 3) for _ in range(3)]

    assert bites == [3, 3, 0]
    assert kept(db) == [6, 7, 8, 9]


def test_the_numbers_of_the_day_are_bounded(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is for those who are refused now."""
    monkeypatch.setattr(module, "CACHED_DAYS", 3)
    log = RefusalLog(db)
    for account in range(20):
        add(log, 1, account=account)
        assert len(log._counts) <= 3


def test_a_row_has_bounds() -> None:
    """What Postfix sent may be long; a rule without a limit has no counters."""
    long = refusal(decision_id="x" * 600)._replace(
        login=b"l" * 600, sender=b"s" * 600, recipient=b"r" * 600, detail="d" * 600, recipient_count=2**63
    )
    values = row((1, 7, 0), 9, long, "country", True, None)

    assert max(len(value) for value in values if isinstance(value, bytes | str)) == MAX_BYTES
    assert 2**63 not in values
    assert values[13:16] == (None, None, None)


def test_a_row_of_a_limit_has_its_counters() -> None:
    """Those of the moment."""
    state = LimitState("quota", 10, 9, 3, 99, would_refuse=True, first_refusal=False, crossed_80=False)
    item = charge()._replace(settings="5e771965", sender=b"alice@example.org")

    assert row((1, 7, 0), 9, item, "quota", False, state) == (
        *(1, 7, 0, 9, "0123456789", b"alice", "quota", False, "DE", b"84.128.0.1"),
        *(b"alice@example.org", b"bob@example.net", 0, 9, 10, 99, "5e771965", ""),
    )
