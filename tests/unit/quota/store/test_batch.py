"""What a batch keeps of a person; tests/contract has what it decides."""

import sqlite3

from quota.store.batch import Batch
from quota.store.keeping import Keeping
from quota.store.tables import Tables
from tests.support.charges import NOON, RECIPIENTS, charge, refusal


def test_the_address_of_accepted_mail_is_kept_as_was_wished(db: sqlite3.Connection) -> None:
    """That of refused mail is kept as it is: somebody has to look into it."""
    keeping = Keeping()
    keeping.address = lambda address: b"hash of " + address
    batch = Batch(Tables(db, keeping), NOON)
    batch.do(charge())
    batch.do(refusal())
    batch.write()

    assert db.execute("SELECT rule, address FROM origin ORDER BY rule").fetchall() == [
        ("", b"hash of 84.128.0.1"),
        ("country", b"8.8.8.8"),
    ]


def test_every_refusal_is_kept(db: sqlite3.Connection) -> None:
    """Of limits with their counters, enforced or not; of an exempt sender nothing."""
    one = RECIPIENTS._replace(maximum=1)
    observed = one._replace(name="watched", enforce=False)
    batch = Batch(Tables(db, Keeping()), NOON)
    for item in (
        charge(limits=(one,)),
        charge(instance=b"i2", limits=(one,), decision_id="refused"),
        charge(instance=b"i3", limits=(observed,)),
        charge(instance=b"i4", limits=(observed,), decision_id="observed"),
        charge(instance=b"i5", limits=(observed,), exempt=True),
        refusal(decision_id="abroad", enforced=False)._replace(detail="Sending mail from US"),
    ):
        batch.do(item)
    batch.write()

    rows = db.execute(
        "SELECT decision_id, rule, enforced, used, maximum, detail FROM refusal_log ORDER BY id"
    )
    assert rows.fetchall() == [
        ("refused", "quota", 1, 1, 1, ""),
        ("observed", "watched", 0, 2, 1, ""),
        ("abroad", "country", 0, None, None, "Sending mail from US"),
    ]
