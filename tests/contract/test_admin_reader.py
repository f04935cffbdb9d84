"""What an admin sees of a store, for every store."""

import json
from pathlib import Path

from quota.domain import Stage, Unit
from quota.overrides import AuditEntry, Change, Clear, Kind, Override, Purge, Request, Set
from quota.periods import day_of
from quota.store.interface import AdminReader, Store
from quota.views import DayUsage, OverridePage, Top, TopAccount, Usage
from tests.support.charges import BERLIN, HOUR, NOON, RECIPIENTS, berlin, charge, refusal

WHO = "root@mail"
DAY = day_of(NOON, BERLIN)
DAY_MS = 24 * HOUR
MIDNIGHT = berlin("2026-11-24 00:00")
FIVE = Set(b"alice", Kind.LIMIT, "5", NOON + HOUR, "newsletter")
LOCKED = Set(b"alice", Kind.LOCK, "", 0, "phished")


def change(store: Store, *changes: Change, now: int = NOON) -> None:
    store.change(Request(changes, WHO), now)


def override(of: Set, now: int = NOON) -> Override:
    return Override(*of[:4], of.reason, WHO, now)


def test_usage_is_told_by_day(store: Store, admin: AdminReader) -> None:
    """Newest first: counters of limits, and refusals of rules without one."""
    store.apply([charge(login=b"Alice"), refusal(), refusal(enforced=False)], NOON - DAY_MS)
    many = charge(instance=b"i2", stage=Stage.DATA, recipient_count=11)
    store.apply([charge(instance=b"i1", recipient=b"x"), many, charge(account=b"bob")], NOON)
    change(store, FIVE)

    assert admin.usage(b"alice", DAY - 6, DAY, NOON) == Usage(
        b"alice",
        (
            DayUsage(DAY, "quota", Unit.RECIPIENTS, 0, 11),
            DayUsage(DAY - 1, "quota", Unit.RECIPIENTS, 2, 0),
            DayUsage(DAY - 1, "country", 0, 0, 1),
        ),
        (override(FIVE),),
    )
    assert admin.usage(b"alice", DAY, DAY, NOON + HOUR).overrides == ()
    assert admin.usage(b"nobody", DAY - 6, DAY, NOON) == Usage(b"", (), ())


def test_the_biggest_senders_come_first(store: Store, admin: AdminReader) -> None:
    """Of one day, with an override's maximum while it is in force; all are summed up."""
    for number, name in enumerate((b"alice", b"bob", b"carol"), 1):
        store.apply([charge(account=name, stage=Stage.DATA, recipient_count=number)], NOON)
    store.apply([charge(account=b"dave", stage=Stage.DATA, recipient_count=9)], NOON - DAY_MS)
    change(store, FIVE._replace(account=b"bob"))

    assert admin.top(DAY, 2, NOON) == Top(
        (
            TopAccount(b"carol", "quota", 1, 3, 0, 0),
            TopAccount(b"bob", "quota", 1, 2, 0, 5),
        ),
        6,
    )
    assert admin.top(DAY, 2, NOON + HOUR).accounts[1].maximum == 0
    assert admin.top(DAY + 1, 2, NOON) == Top((), 0)


def test_a_refusal_can_be_explained(store: Store, admin: AdminReader) -> None:
    """By the id that the user reads, with all that was known."""
    one = RECIPIENTS._replace(maximum=1)
    over = charge(instance=b"i2", limits=(one,), login=b"Alice", decision_id="over")
    store.apply([charge(limits=(one,)), over._replace(sender=b"a@example.org", settings="5e77")], NOON)
    abroad = refusal(decision_id="abroad")._replace(detail="Sending mail from country US is not allowed")
    store.apply([abroad], NOON + 1)
    record = admin.explain("over")

    assert record is not None
    assert (record.at_unix_ms, record.account, record.login) == (NOON, b"alice", b"Alice")
    assert (record.rule, record.enforced, record.country) == ("quota", True, "DE")
    assert (record.address, record.sender, record.recipient) == (
        b"84.128.0.1",
        b"a@example.org",
        b"bob@example.net",
    )
    assert (record.used, record.maximum, record.resets_unix_ms) == (1, 1, MIDNIGHT)
    assert record.settings == "5e77"
    other = admin.explain("abroad")
    assert other is not None
    assert (other.rule, other.used, other.detail) == ("country", None, abroad.detail)
    assert admin.explain("nothing") is None


def test_the_real_refusal_explains_a_decision(store: Store, admin: AdminReader) -> None:
    """One rule observed, another refused: the user was refused by the second."""
    none = RECIPIENTS._replace(maximum=1)
    store.apply([refusal(enforced=False, decision_id="both"), charge(limits=(none,))], NOON)
    store.apply([charge(instance=b"i2", limits=(none,), decision_id="both")], NOON)
    record = admin.explain("both")

    assert record is not None
    assert (record.rule, record.enforced) == ("quota", True)


def test_a_lock_is_explained_by_its_reason(store: Store, admin: AdminReader) -> None:
    """The user does not read it, the admin does."""
    change(store, LOCKED)
    store.apply([charge(decision_id="locked")], NOON)
    record = admin.explain("locked")

    assert record is not None
    assert (record.rule, record.detail) == ("lock", "phished")


def test_refusals_are_kept_for_a_week(store: Store, admin: AdminReader) -> None:
    """As delivered."""
    store.apply([refusal(decision_id="old")], NOON)
    while store.expire(NOON + 7 * DAY_MS, 100):
        pass
    kept = admin.explain("old")
    while store.expire(NOON + 7 * DAY_MS + 1, 100):
        pass

    assert kept is not None
    assert admin.explain("old") is None


def test_overrides_are_listed_in_pages(store: Store, admin: AdminReader) -> None:
    """By account, each account whole on one page; what has ended is not in force."""
    names = [b"a", b"alice", b"b'\xff", b"\xc3\xa4"]
    for name in names:
        change(store, FIVE._replace(account=name), LOCKED._replace(account=name))
    first = admin.overrides(b"", 3, NOON)
    second = admin.overrides(first.next, 3, NOON)

    assert [of.account for of in first.overrides] == [name for name in sorted(names)[:3] for _ in range(2)]
    assert first.next == sorted(names)[2]
    assert [of.account for of in second.overrides] == [max(names)] * 2
    assert second.next == b""
    assert {of.kind for of in admin.overrides(b"", 9, NOON + HOUR).overrides} == {Kind.LOCK}
    assert admin.overrides_of(b"alice", NOON) == (override(FIVE), override(LOCKED))
    assert admin.overrides_of(b"nobody", NOON) == ()


def test_the_audit_log_is_read_backwards(store: Store, admin: AdminReader) -> None:
    """About one account or all; notes about nobody too."""
    change(store, FIVE, LOCKED._replace(account=b"bob"))
    store.note(AuditEntry(NOON + 1, "ipv4:127.0.0.1:9", "token-refused"))

    assert [entry.what for entry in admin.audit(9)] == ["token-refused", "lock", "limit"]
    assert [entry.what for entry in admin.audit(1)] == ["token-refused"]
    assert admin.audit(9, b"alice") == (
        AuditEntry(NOON, WHO, "limit", b"alice", "5", NOON + HOUR, "newsletter"),
    )


def test_the_status_counts_what_is_in_force(store: Store, admin: AdminReader, tmp_path: Path) -> None:
    """Not what has ended."""
    store.apply([charge(account=b"carol")], NOON)
    change(store, FIVE, LOCKED, LOCKED._replace(account=b"bob"))
    status = admin.status(NOON)

    assert (status.accounts, status.limits, status.permits, status.locks) == (3, 1, 0, 2)
    assert status.path == str(tmp_path / "quota.sqlite3")
    assert status.size_bytes > 4096
    assert admin.status(NOON + HOUR).limits == 0


def test_an_export_has_every_row_of_an_account(store: Store, admin: AdminReader) -> None:
    """And none of another's; after a purge there is the entry about it."""
    for name in (b"alice", b"b\xff"):
        store.apply([charge(account=name, login=name.upper()), refusal(account=name)], NOON)
        change(store, FIVE._replace(account=name))
    parts = {part.table: [json.loads(row) for row in part.rows] for part in admin.export(b"alice")}
    odd = {part.table: [json.loads(row) for row in part.rows] for part in admin.export(b"b\xff")}
    change(store, Purge(b"alice", "Art. 17"))

    assert {table: len(rows) for table, rows in parts.items()} == {
        "counter": 1,
        "refusal": 1,
        "origin": 2,
        "refusal_log": 1,
        "override": 1,
        "audit": 1,
        "account": 1,
    }
    assert parts["account"][0]["login"] == "ALICE"
    assert parts["counter"][0] == {
        "day": "2026-11-23",
        "account": parts["account"][0]["id"],
        "name": "quota",
        "unit": 1,
        "used": 1,
        "refused": 0,
    }
    assert odd["account"][0]["name"] == {"base64": "Yv8="}
    assert [part.table for part in admin.export(b"alice")] == ["audit"]
    assert admin.export(b"nobody") == ()


def test_a_page_may_be_empty(store: Store, admin: AdminReader) -> None:
    """Nothing is set."""
    change(store, FIVE, Clear(b"alice", Kind.LIMIT, ""))

    assert admin.overrides(b"", 10, NOON) == OverridePage((), b"")
