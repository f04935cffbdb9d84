"""What the replay prints."""

import io
import json
from typing import Any

from rich.console import Console

from admin.replay.difference import Comparison
from admin.replay.output import MOST_ACCOUNTS, PIPE_COLUMNS, Change, Result, open_console, show, to_json
from admin.replay.trial import Answer
from chassis.printable import as_text
from decision.record_format import RecordedRequest
from tests.support.charges import BERLIN, berlin
from tests.support.mails import mail

NOON = berlin("2026-11-23 12:00")
PASSED = Answer("DUNNO", "none", "US")
QUOTA = Answer("DEFER", "quota", "US")


def compared(*logins: bytes, answer: Answer = QUOTA) -> Comparison:
    """One mail of each login, which passed and would not."""
    comparison = Comparison()
    for number, login in enumerate(logins):
        event = mail(login=login, account=login, instance=b"%d" % number)
        comparison.add(RecordedRequest(NOON + number * 60_000, event), PASSED, answer)
    return comparison


def shown(comparison: Comparison, **more: Any) -> str:
    result = Result(
        comparison, more.get("changes", [Change("threshold", "1000", "10")]), more.get("notes", []), BERLIN
    )
    output = io.StringIO()
    console = open_console()
    console.file = output
    console.width = PIPE_COLUMNS
    show(result, console)
    return output.getvalue()


def test_an_account_is_a_row() -> None:
    """With everything that decides what to do about it."""
    text = shown(compared(b"alice", b"alice"))
    (row,) = [line for line in text.splitlines() if line.startswith("| alice")]

    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "alice",
        "2",
        "0 -> 2",
        "2 newly refused by quota",
        "US 2",
        "84.128.0.0/24 2",
        "2026-11-23 12:00",
    ]
    assert text.startswith("threshold: 1000 -> 10\n")
    assert text.endswith(
        "1 of 1 accounts would hear something else: 2 newly refused by quota; refused 0 -> 2 of 2 requests "
        "in 2 mails, 2026-11-23 12:00 to 2026-11-23 12:01 (Europe/Berlin)\n"
    )


def test_without_a_difference_there_is_no_table() -> None:
    """But what was compared, and the notes."""
    text = shown(compared(b"alice", answer=PASSED), changes=[], notes=["something"])

    assert text.splitlines() == [
        "no setting of decision differs",
        (
            "0 of 1 accounts would hear something else: no answer differs; refused 0 -> 0 of 1 requests "
            "in 1 mails, 2026-11-23 12:00 to 2026-11-23 12:00 (Europe/Berlin)"
        ),
        "note: something",
    ]


def test_a_login_changes_nothing_but_its_cell() -> None:
    """Control bytes, colours, markup, quotes, emoji names, other scripts and bytes that are no text."""
    logins = [b"[red]x[/red]", b"[/]", b":smile:", b"\x1b[31mx", b"a\nb\x07", b"\xff\xfe", "\u202eä".encode()]
    text = shown(compared(*logins))

    assert all(character.isprintable() for character in text.replace("\n", ""))
    for login in (r"[red]x[/red]", "| [/] ", ":smile:", *map(as_text, logins[3:])):
        assert login in text


def test_a_long_list_ends() -> None:
    """The rest is counted here, and listed as JSON."""
    comparison = compared(*[b"user%d" % number for number in range(MOST_ACCOUNTS + 5)])

    assert "and 5 more accounts; --json lists them all" in shown(comparison)
    assert len(json.loads(to_json(Result(comparison, [], [], BERLIN)))["differences"]) == MOST_ACCOUNTS + 5


def test_json_has_everything() -> None:
    """In ASCII; a login's bytes in the one form of names."""
    told = to_json(Result(compared(b"al\xffice"), [Change("threshold", "1000", "10")], ["a note"], BERLIN))

    assert told.isascii()
    assert json.loads(told) == {
        "changed_settings": {"threshold": ["1000", "10"]},
        "accounts": 1,
        "accounts_that_differ": 1,
        "mails": 1,
        "requests": 1,
        "refused_before": 0,
        "refused_now": 1,
        "newly_refused": {"quota": 1},
        "newly_passed": {},
        "refused_otherwise": {},
        "first": "2026-11-23T12:00:00.000+01:00",
        "last": "2026-11-23T12:00:00.000+01:00",
        "hashed_requests": 0,
        "unlike_recorded": 0,
        "notes": ["a note"],
        "differences": [
            {
                "login": "base64:YWz/aWNl",
                "mails": 1,
                "requests": 1,
                "refused_before": 0,
                "refused_now": 1,
                "newly_refused": {"quota": 1},
                "newly_passed": {},
                "refused_otherwise": {},
                "countries": {"US": 1},
                "networks": {"84.128.0.0/24": 1},
                "first": "2026-11-23T12:00:00.000+01:00",
            }
        ],
    }


def test_a_pipe_gets_wide_lines() -> None:
    """A table is no use in 80 columns."""
    console = open_console()

    assert isinstance(console, Console)
    assert console.is_terminal or console.width == PIPE_COLUMNS
