"""What a batch gives people to be told of; tests/contract/test_outbox.py has when."""

import sqlite3
from datetime import date

from quota.assessment import Assessment
from quota.domain import LimitState, Outcome, Settled
from quota.notify.notification import KINDS
from quota.store.keeping import Keeping
from quota.store.outbox import OutboxTable, Outgoing, Wanted
from quota.store.telling import Telling
from tests.support.charges import BERLIN, NOON, RECIPIENTS, berlin, charge, refusal

DAY = 7
MIDNIGHT = berlin("2026-11-24 00:00")


def outbox(db: sqlite3.Connection) -> OutboxTable:
    outgoing = Outgoing()
    outgoing.wanted = Wanted(("mail",), frozenset(KINDS))
    return OutboxTable(db, outgoing)


def assessment(*, first_refusal: bool = False, crossed_80: bool = False) -> Assessment:
    state = LimitState(
        "quota",
        10,
        8,
        1,
        MIDNIGHT,
        would_refuse=first_refusal,
        first_refusal=first_refusal,
        crossed_80=crossed_80,
    )
    return Assessment(Outcome.CHARGED, 1, 1, (), (state,))


def rows(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute(
        "SELECT kind, account, rule, country, used, maximum, created_ms, time_zone FROM notification"
    ).fetchall()


def test_nothing_is_written_before_the_batch_is(db: sqlite3.Connection) -> None:
    """Then with the counts that belong to it."""
    day = date(2026, 11, 23).toordinal()
    telling = Telling(outbox(db), Keeping(), NOON)
    telling.of_limits(day, 1, charge(), assessment(crossed_80=True))
    telling.of_limits(day, 1, charge(), assessment(first_refusal=True))
    telling.of_refusal(day, 1, refusal())
    assert rows(db) == []
    telling.write()

    assert rows(db) == [
        ("quota_80_percent", 1, "quota", "DE", 8, 10, NOON, BERLIN),
        ("quota_refused", 1, "quota", "DE", 8, 10, NOON, BERLIN),
        ("country_refused", 1, "country", "US", None, None, NOON, BERLIN),
    ]
    assert db.execute("SELECT DISTINCT until_ms FROM notification").fetchall() == [(MIDNIGHT,)]


def test_what_is_only_observed_is_nothing(db: sqlite3.Connection) -> None:
    """By a limit, a rule, or of a sender who is exempt."""
    telling = Telling(outbox(db), Keeping(), NOON)
    both = assessment(first_refusal=True, crossed_80=True)
    telling.of_limits(DAY, 1, charge(limits=(RECIPIENTS._replace(enforce=False),)), both)
    telling.of_limits(DAY, 1, charge(exempt=True), both)
    telling.of_refusal(DAY, 1, refusal(enforced=False))
    telling.write()

    assert rows(db) == []


def test_the_address_of_accepted_mail_is_told_as_it_is_kept(db: sqlite3.Connection) -> None:
    """That of refused mail as it is."""
    keeping = Keeping()
    keeping.address = lambda address: b""
    telling = Telling(outbox(db), keeping, NOON)
    telling.of_limits(DAY, 1, charge(), assessment(first_refusal=True, crossed_80=True))
    telling.write()

    assert db.execute("SELECT kind, address FROM notification ORDER BY kind").fetchall() == [
        ("quota_80_percent", b""),
        ("quota_refused", b"84.128.0.1"),
    ]


def test_what_is_settled_waits_no_more(db: sqlite3.Connection) -> None:
    """Written with the batch, too."""
    telling = Telling(outbox(db), Keeping(), NOON)
    telling.of_refusal(DAY, 1, refusal())
    telling.write()
    ((notification_id,),) = db.execute("SELECT id FROM notification").fetchall()
    later = Telling(outbox(db), Keeping(), NOON)
    later.settle(Settled("mail", notification_id))
    assert db.execute("SELECT count(*) FROM delivery").fetchone() == (1,)
    later.write()

    assert db.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
