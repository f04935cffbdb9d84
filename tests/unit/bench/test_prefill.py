"""A store that is filled through SqliteStore."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bench import prefill
from quota.app import DATABASE
from quota.store.batch import REMEMBER_SECONDS

NOW = 1_800_000_000.0
ZONE = "UTC"


def test_units_are_spread_over_all_users() -> None:
    """Evenly, to the unit, without a message."""
    charges = list(prefill.counters(3, 10, ZONE))

    assert [charge.recipient_count for charge in charges] == [4, 3, 3]
    assert {charge.instance for charge in charges} == {b""}


def test_messages_have_postfix_instances_of_their_time() -> None:
    """pid.seconds.microseconds.count, each its own."""
    charges = list(prefill.messages(5, 4, ZONE, first_unix=100.0, last_unix=102.0))

    assert [charge.instance.split(b".")[1:3] for charge in charges] == [
        [b"64", b"0"],
        [b"64", b"7a120"],
        [b"65", b"0"],
        [b"65", b"7a120"],
    ]
    assert len({charge.instance for charge in charges}) == 4


def test_a_filled_store_has_all_users_charges_and_messages(tmp_path: Path) -> None:
    """Each message is forgotten six hours after its own time, or up to a quarter of an hour later."""
    said: list[str] = []
    prefill.fill(tmp_path, users=100, charges=9000, remembered=5000, zone=ZONE, now_unix=NOW, say=said.append)

    with closing(sqlite3.connect(tmp_path / DATABASE)) as db:
        assert db.execute("SELECT count(*) FROM account").fetchone() == (100,)
        assert db.execute("SELECT sum(used) FROM counter").fetchone() == (9000,)
        assert db.execute("SELECT count(*) FROM ledger WHERE recipient = x''").fetchone() == (5000,)
        first, last = db.execute("SELECT min(expires), max(expires) FROM ledger").fetchone()
    assert 0 <= first - NOW <= 900
    assert 0 <= last - (NOW + REMEMBER_SECONDS) <= 900
    assert said == ["100 users written", "5,000 messages written"]


def test_the_size_of_a_user_and_of_a_charge(tmp_path: Path) -> None:
    """Tens to hundreds of bytes; nothing is left behind."""
    size = prefill.state_size(tmp_path)

    assert size.per_user is not None
    assert size.per_charge is not None
    assert 40 < size.per_user < 1000
    assert 40 < size.per_charge < 1000
    assert list(tmp_path.iterdir()) == []
