"""The tables that charges read and write."""

import sqlite3

from quota.assessment import Counter
from quota.domain import Unit
from quota.store.keeping import Keeping
from quota.store.tables import Message, Tables


def test_what_is_written_can_be_read(db: sqlite3.Connection) -> None:
    """And what was never written is not there."""
    tables = Tables(db, Keeping())
    message, counter = Message(7, 2, 900, b"first"), (7, 1, "quota", Unit.RECIPIENTS)
    absent = (tables.message(b"m"), tables.has_recipient(b"m", b"r"), tables.counter(counter))
    tables.write(
        messages=[(b"m", *message)],
        recipients=[(b"m", b"r")],
        counters=[(*counter, 2, 1)],
        refusals=[],
        logged=[],
        origins={},
    )

    assert absent == (None, False, Counter())
    assert tables.message(b"m") == message
    assert tables.has_recipient(b"m", b"r")
    assert tables.counter(counter) == Counter(2, 1)
