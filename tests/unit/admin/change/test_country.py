"""`mtpolicyctl country`."""

import pytest

from admin.change.country import app, read_countries
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome, override


def test_countries_are_allowed(quota: FakeQuotaAdmin) -> None:
    """By code or by name."""
    code, out, err = outcome(invoke(app, "allow", "Alice", "it,France", "--reason", "journey"))

    assert (code, out, err) == (0, "alice: may also send from France, Italy\n", "")
    assert quota.change == pb.Change(
        account=b"alice", permit=pb.Countries(codes=["FR", "IT"]), reason="journey"
    )


def test_until_when_is_told(quota: FakeQuotaAdmin) -> None:
    """As it was understood."""
    _, out, _ = outcome(invoke(app, "allow", "alice", "US", "--until", "2999-12-30"))

    assert out == "alice: may also send from United States until 2999-12-31 00:00:00 CET\n"
    assert quota.change.until_unix_ms == 32503590000000


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["alice", "XX"], "XX is no country"),
        (["alice", "UK"], "UK is no country, GB is"),
        (["alice", "FR,Atlantis"], "ATLANTIS is no country"),
        (["alice", ""], "no country is named"),
        (["alice", ",,"], "no country is named"),
        (["alice", "\x1b"], "\\x1b is no country"),
        (["alice", "FR", "--until", "never"], "--until never is no time"),
    ],
)
def test_bad_input_changes_nothing(quota: FakeQuotaAdmin, words: list[str], line: str) -> None:
    """One clear line, exit code 2."""
    code, out, err = outcome(invoke(app, "allow", *words))

    assert (code, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert quota.tokens == []


def test_countries_are_cleared_and_listed(quota: FakeQuotaAdmin) -> None:
    """With exit code 1 if none was set."""
    assert outcome(invoke(app, "clear", "alice")) == (0, "alice: the allowed countries hold again\n", "")
    assert quota.change == pb.Change(account=b"alice", clear_permit=True)
    quota.replies["Change"] = pb.ChangeReply(done=0)
    assert outcome(invoke(app, "clear", "alice")) == (1, "alice: no country was set\n", "")

    quota.pages = [[override(b"b", maximum=2), override(b"c", countries=["FR"])]]
    _, out, _ = outcome(invoke(app, "list"))
    assert [line.split()[:2] for line in out.splitlines()] == [["user", "country"], ["c", "FR"]]


def test_a_group_is_all_its_countries() -> None:
    """Sorted, each once."""
    assert read_countries("dach, DE") == ["AT", "CH", "DE"]
