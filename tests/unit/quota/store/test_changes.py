"""What changes leave in the SQLite store; tests/contract has what they do."""

import sqlite3

from quota.overrides import Change, Clear, Kind, Purge, Request, Reset, Set
from quota.store.changes import Changes, expire_overrides
from quota.store.keeping import Keeping
from quota.store.tables import Tables
from tests.support.charges import BERLIN, NOON


def change(db: sqlite3.Connection, *changes: Change) -> int:
    return Changes(db, Tables(db, Keeping()), NOON).do(Request(changes, "root@mail")).done


def test_each_change_is_written_to_the_audit_log(db: sqlite3.Connection) -> None:
    """Who, when, what, why; what had nothing to do is not."""
    change(
        db,
        Set(b"alice", Kind.LIMIT, "500", NOON + 1, "newsletter"),
        Set(b"alice", Kind.COUNTRY, "FR,IT", 0, "travels"),
        Set(b"alice", Kind.LOCK, "", 0, "phished"),
        Clear(b"alice", Kind.LIMIT, "done"),
        Clear(b"alice", Kind.LIMIT, "done"),
        Clear(b"alice", Kind.COUNTRY, "back"),
        Clear(b"alice", Kind.LOCK, "new password"),
        Reset(b"alice", BERLIN, "nothing to do"),
    )

    rows = db.execute("SELECT at_ms, who, what, account, value, until_ms, reason FROM audit ORDER BY id")
    assert rows.fetchall() == [
        (NOON, "root@mail", "limit", b"alice", "500", NOON + 1, "newsletter"),
        (NOON, "root@mail", "country", b"alice", "FR,IT", 0, "travels"),
        (NOON, "root@mail", "lock", b"alice", "", 0, "phished"),
        (NOON, "root@mail", "limit-clear", b"alice", "", 0, "done"),
        (NOON, "root@mail", "country-clear", b"alice", "", 0, "back"),
        (NOON, "root@mail", "unlock", b"alice", "", 0, "new password"),
    ]


def test_a_purge_leaves_its_own_entry_alone(db: sqlite3.Connection) -> None:
    """It says that there was something, and who did it; entries about others stay."""
    change(db, Set(b"alice", Kind.LIMIT, "5", 0, "letter"), Set(b"bob", Kind.LOCK, "", 0, ""))
    done = [change(db, Purge(b"alice", reason)) for reason in ("Art. 17", "once more")]

    assert done == [1, 0]
    assert db.execute("SELECT what, account, reason FROM audit ORDER BY id").fetchall() == [
        ("lock", b"bob", ""),
        ("purge", b"alice", "Art. 17"),
    ]
    assert db.execute("SELECT name FROM account").fetchall() == [(b"bob",)]


def test_what_a_purge_keeps_of_a_lock(db: sqlite3.Connection) -> None:
    """Who set it, when and why; nothing of how the login was typed."""
    change(db, Set(b"alice", Kind.LOCK, "", NOON + 2, "phished"), Set(b"alice", Kind.LIMIT, "5", 0, ""))
    db.execute("UPDATE account SET login = x'414c494345'")
    change(db, Purge(b"alice", "Art. 17"))

    assert db.execute("SELECT name, login, overrides FROM account").fetchall() == [
        (b"alice", b"alice", f'{{"lock":["",{NOON + 2}]}}')
    ]
    assert db.execute("SELECT kind, until_ms, reason, who, set_ms FROM override").fetchall() == [
        ("lock", NOON + 2, "phished", "root@mail", NOON)
    ]
    assert db.execute("SELECT what FROM audit").fetchall() == [("purge",)]


def test_the_account_says_what_its_rows_say(db: sqlite3.Connection) -> None:
    """Also when some of them have ended, or all."""
    change(db, Set(b"a", Kind.LIMIT, "5", NOON + 1, ""), Set(b"a", Kind.LOCK, "", NOON + 2, ""))
    states = []
    for moment in (NOON, NOON + 1, NOON + 2):
        expire_overrides(db, moment, 10)
        states.append(db.execute("SELECT overrides FROM account").fetchone())

    assert states == [
        (f'{{"limit":["5",{NOON + 1}],"lock":["",{NOON + 2}]}}',),
        (f'{{"lock":["",{NOON + 2}]}}',),
        (None,),
    ]
    assert db.execute("SELECT count(*) FROM override").fetchone() == (0,)


def test_clearing_makes_no_account(db: sqlite3.Connection) -> None:
    """Nor does a reset, or what is set and cleared in one request."""
    set_, clear = Set(b"a", Kind.LOCK, "", 0, ""), Clear(b"a", Kind.LOCK, "")
    change(db, Clear(b"b", Kind.LOCK, ""), Reset(b"c", BERLIN, ""), set_, clear)

    assert db.execute("SELECT count(*) FROM account").fetchone() == (0,)
