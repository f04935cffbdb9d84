"""What an admin sets, as plain values."""

from quota.overrides import AuditEntry, Kind, Request


def test_a_kind_is_the_word_of_the_command() -> None:
    """It stands in the store and in the audit log: a renamed one would not be found again."""
    assert [str(kind) for kind in Kind] == ["limit", "country", "lock"]


def test_what_is_not_said_is_nothing() -> None:
    """A request replaces nothing; an entry is about nobody and has no end."""
    assert Request((), "root@mail").replace is False
    assert AuditEntry(1, "root@mail", "token-refused")[3:] == (b"", "", 0, "")
