"""`mtpolicyctl limit`."""

import time

import pytest

from admin.change.limit import app
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome, override


def test_a_limit_is_set(quota: FakeQuotaAdmin) -> None:
    """Until when, and why."""
    code, out, err = outcome(
        invoke(app, "set", "Alice", "500", "--until", "2999-12-31T12:00", "--reason", "newsletter")
    )

    assert (code, out, err) == (0, "alice: limit 500 until 2999-12-31 12:00:00 CET\n", "")
    assert quota.change == pb.Change(
        account=b"alice", set_limit=500, until_unix_ms=32503633200000, reason="newsletter"
    )


def test_an_end_may_count_from_now(quota: FakeQuotaAdmin) -> None:
    """By the clock of the command."""
    before = time.time() * 1000
    assert outcome(invoke(app, "set", "--until", "+2h", "--", "-rf '\u00fc'", "1"))[0] == 0

    assert quota.change.account == "-rf 'ü'".encode()
    assert 0 <= quota.change.until_unix_ms - before - 7_200_000 < 60_000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["alice", "0"], "0 is no limit; allowed: a whole number, 1 to 1000000000"),
        (["alice", "-5"], "-5 is no limit; allowed: a whole number, 1 to 1000000000"),
        (["alice", "1000000001"], "1000000001 is no limit; allowed: a whole number, 1 to 1000000000"),
        (["alice", "1e3"], "1e3 is no limit; allowed: a whole number, 1 to 1000000000"),
        (["alice", "٣"], "٣ is no limit; allowed: a whole number, 1 to 1000000000"),
        (["alice", "9" * 5000], f"{'9' * 5000} is no limit; allowed: a whole number, 1 to 1000000000"),
        (["", "5"], "the name of the user is empty"),
        (["a\x1b", "5"], "control characters are in the name; if they are meant: base64:YRs="),
        (["alice", "5", "--until", "1999-12-31"], "--until 1999-12-31 is in the past"),
        (["alice", "5", "--reason", "\x1b"], "--reason: there are control characters in it"),
    ],
)
def test_bad_input_changes_nothing(quota: FakeQuotaAdmin, words: list[str], line: str) -> None:
    """One clear line, exit code 2."""
    assert outcome(invoke(app, "set", *words)) == (2, "", f"{line}\n")
    assert quota.tokens == []


def test_a_misspelt_option_is_no_number(quota: FakeQuotaAdmin) -> None:
    """It is refused, though numbers may have a minus."""
    assert outcome(invoke(app, "set", "alice", "5", "--utnil", "tonight"))[0] == 2
    assert quota.tokens == []


def test_a_limit_is_cleared(quota: FakeQuotaAdmin) -> None:
    """With exit code 1 if there was none."""
    assert outcome(invoke(app, "clear", "alice")) == (0, "alice: the threshold holds again\n", "")
    assert quota.change == pb.Change(account=b"alice", clear_limit=True)

    quota.replies["Change"] = pb.ChangeReply(done=0)
    assert outcome(invoke(app, "clear", "alice")) == (1, "alice: no limit was set\n", "")


def test_limits_are_listed(quota: FakeQuotaAdmin) -> None:
    """Other overrides are not."""
    quota.pages = [[override(b"b", maximum=2), override(b"c", lock=True)]]
    _, out, _ = outcome(invoke(app, "list"))

    assert [line.split()[0] for line in out.splitlines()] == ["user", "b"]
