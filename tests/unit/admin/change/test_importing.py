"""`mtpolicyctl import`."""

import json
from pathlib import Path

import pytest

from admin.change import importing
from admin.change.importing import import_overrides
from protos import quota_admin_pb2 as pb
from tests.support.admin_fakes import FakeQuotaAdmin, invoke, outcome, override

FILE = "account,what,value,until,reason\nalice,limit,500,,newsletter\nbob,country,FR IT,,\nkarl,lock,,,\n"


def test_a_file_is_imported(quota: FakeQuotaAdmin, tmp_path: Path) -> None:
    """All of it in one request."""
    (tmp_path / "file.csv").write_text(FILE)
    assert outcome(invoke(import_overrides, str(tmp_path / "file.csv"))) == (
        0,
        "3 overrides of the file are in force\n",
        "",
    )

    (message,) = quota.changes
    assert not message.replace
    assert list(message.changes) == [
        pb.Change(account=b"alice", set_limit=500, reason="newsletter"),
        pb.Change(account=b"bob", permit=pb.Countries(codes=["FR", "IT"])),
        pb.Change(account=b"karl", lock=True),
    ]


@pytest.mark.parametrize("words", [[], ["-"]])
def test_standard_input_is_a_file_too(quota: FakeQuotaAdmin, words: list[str]) -> None:
    """For a nightly job."""
    code, out, _ = outcome(invoke(import_overrides, "--replace", "--json", *words, stdin=FILE))

    assert (code, json.loads(out)) == (0, {"done": 3, "entries": 3, "replaced": True})
    assert quota.changes[0].replace


def test_a_broken_line_imports_nothing(quota: FakeQuotaAdmin) -> None:
    """Exit code 2, with its number."""
    assert outcome(invoke(import_overrides, stdin=f"{FILE}dora,limit,0,,\n")) == (
        2,
        "",
        "line 5: '0' is no limit; allowed: a whole number, 1 to 1000000000\n",
    )
    assert outcome(invoke(import_overrides, stdin=FILE.encode() + b"caf\xe9,lock,,,\n")) == (
        2,
        "",
        "line 5: no UTF-8; a login that is none is written as base64:...\n",
    )
    assert quota.tokens == []


def test_a_file_that_cannot_be_read_is_told(
    quota: FakeQuotaAdmin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2."""
    missing = outcome(invoke(import_overrides, f"{tmp_path}/missing"))
    assert missing == (2, "", f"{tmp_path}/missing cannot be read: No such file or directory\n")
    assert outcome(invoke(import_overrides, str(tmp_path)))[0] == 2

    monkeypatch.setattr(importing, "MAX_FILE_BYTES", 10)
    assert outcome(invoke(import_overrides, stdin=FILE)) == (
        2,
        "",
        "standard input is larger than 10 bytes\n",
    )
    assert quota.tokens == []


def test_there_is_a_bound_on_entries(quota: FakeQuotaAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told for a dry run as well."""
    monkeypatch.setattr(importing, "MAX_CHANGES", 2)
    assert outcome(invoke(import_overrides, "--dry-run", stdin=FILE)) == (
        2,
        "",
        "at most 2 overrides at a time, the file has 3\n",
    )


NOW_SET = [
    override(b"alice", maximum=500, reason="newsletter"),
    override(b"bob", countries=["US"]),
    override(b"old", maximum=3),
    override(b"older", lock=True),
]


def test_a_dry_run_says_what_would_change(quota: FakeQuotaAdmin) -> None:
    """And needs no token, as it changes nothing."""
    quota.pages = [NOW_SET]
    code, out, _ = outcome(invoke(import_overrides, "--dry-run", "--replace", stdin=FILE))
    assert code == 0
    assert out.splitlines() == [
        "new: 1 lock",
        "changed: 1 country",
        "same: 1 limit",
        "cleared: 1 limit",
        "nothing was changed",
    ]

    _, out, _ = outcome(invoke(import_overrides, "--dry-run", "--json", stdin=FILE))
    assert json.loads(out) == {
        "dry_run": True,
        "new": {"lock": 1},
        "changed": {"country": 1},
        "same": {"limit": 1},
        "cleared": {},
    }
    assert quota.tokens == []
