"""`mtpolicyctl lock`, `locked`, `unlock`, `reset` and `purge`."""

import json

import pytest

from admin.change import account
from admin.change.account import lock, locked, purge, reset, unlock
from admin.look.words import ELSEWHERE
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome, override


@pytest.mark.parametrize(
    ("command", "words", "change", "said"),
    [
        (lock, ["--reason", "stolen"], pb.Change(lock=True, reason="stolen"), "locked"),
        (
            lock,
            ["--reason", "stolen", "--until", "2999-12-30"],
            pb.Change(lock=True, reason="stolen", until_unix_ms=32503590000000),
            "locked until 2999-12-31 00:00:00 CET",
        ),
        (
            unlock,
            ["--reason", "new password"],
            pb.Change(unlock=True, reason="new password"),
            "no longer locked",
        ),
        (reset, [], pb.Change(reset="Europe/Berlin"), "today's counts are 0"),
        (
            purge,
            ["--yes"],
            pb.Change(purge=True),
            f"all that was kept is deleted\nNot quota's, and not deleted: {ELSEWHERE}.",
        ),
    ],
)
def test_what_is_done_is_told(
    quota: FakeQuotaAdmin, command: object, words: list[str], change: pb.Change, said: str
) -> None:
    """Of the account that the login belongs to."""
    assert outcome(invoke(command, "ALICE", *words)) == (0, f"alice: {said}\n", "")
    change.account = b"alice"
    assert quota.change == change


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (unlock, [], "was not locked"),
        (reset, [], "nothing was counted today"),
        (purge, ["--yes"], "nothing was kept"),
    ],
)
def test_nothing_to_do_is_a_no(quota: FakeQuotaAdmin, command: object, words: list[str], said: str) -> None:
    """Exit code 1."""
    quota.replies["Change"] = pb.ChangeReply(done=0)
    assert outcome(invoke(command, "alice", *words)) == (1, f"alice: {said}\n", "")


def test_a_lock_needs_a_reason(quota: FakeQuotaAdmin) -> None:
    """Whoever is asked to unlock has to know."""
    line = "--reason is missing; whoever unlocks has to know. Who is locked: mtpolicyctl locked\n"
    for words in (["alice"], ["list"], ["alice", "--reason", " "]):
        assert outcome(invoke(lock, *words)) == (2, "", line)
    assert quota.tokens == []


@pytest.mark.parametrize(("done", "code"), [(1, 0), (0, 1)])
def test_a_purge_tells_that_the_lock_stays(quota: FakeQuotaAdmin, done: int, code: int) -> None:
    """And what has to be done if it is to go."""
    quota.replies["Change"] = pb.ChangeReply(done=done, before=[override(lock=True)])
    ended, out, _ = outcome(invoke(purge, "alice", "--yes"))

    assert ended == code
    elsewhere = [line for line in out.splitlines() if line.startswith("Not quota's, and not deleted: logs, ")]
    assert len(elsewhere) == done
    assert out.splitlines()[1 + done :] == [
        "It is locked, and stays so. To forget the lock as well: unlock, then purge once more."
    ]


def test_who_is_locked_is_listed(quota: FakeQuotaAdmin) -> None:
    """With the reason; others are not."""
    quota.pages = [[override(b"b", lock=True, reason="stolen"), override(b"c", maximum=2)]]
    code, out, _ = outcome(invoke(locked))
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["user", "until", "reason", "who", "set"],
        ["b", "-", "stolen", "root@mail", "2027-01-15", "09:00"],
    ]
    assert [one["account"] for one in json.loads(outcome(invoke(locked, "--json"))[1])] == ["b"]

    quota.pages = [[]]
    assert outcome(invoke(locked)) == (0, "nobody is locked\n", "")


def test_a_purge_is_meant(quota: FakeQuotaAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal it asks; a script says so."""
    assert outcome(invoke(purge, "alice")) == (2, "", "purge deletes for good: add --yes\n")
    assert quota.tokens == []

    asked: list[str] = []
    monkeypatch.setattr(account, "_on_a_terminal", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda text, **_: asked.append(text))
    assert outcome(invoke(purge, "alice"))[0] == 0
    assert asked == ["Delete all that is kept of alice?"]
