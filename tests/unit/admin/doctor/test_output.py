"""What the doctor prints."""

import io
import json
from pathlib import Path

from rich.console import Console

from admin.doctor.findings import at_entrances
from admin.doctor.output import PIPE_COLUMNS, Report, open_console, show, to_json
from tests.unit.admin.doctor.pairs import CHECK, OURS, PERMITS, bench, examined


def report(directory: Path, recipient: str) -> Report:
    found = examined(directory, recipient)
    return Report(found, OURS, at_entrances(bench(found)), found.answer, "en")


def shown(one: Report) -> str:
    file = io.StringIO()
    show(one, Console(file=file, width=PIPE_COLUMNS, markup=False, emoji=False, highlight=False))
    return file.getvalue()


def test_the_table_names_each_entrance(tmp_path: Path) -> None:
    """With the place of the check, and the verdict at the end."""
    text = shown(report(tmp_path, f"{CHECK}, {PERMITS}"))

    assert "| submission (587) | covered " in text
    assert "asked at RCPT: smtpd_recipient_restrictions, position 1, before permit_mynetworks" in text
    assert text.endswith("covered wherever it can come in.\n")


def test_a_finding_has_its_mend(tmp_path: Path) -> None:
    """What comes from the configuration is shown as text, whatever it holds."""
    text = shown(report(tmp_path, f"{PERMITS}, {CHECK}"))

    assert "NOT COVERED" in text
    assert "error: submission (587): In smtpd_recipient_restrictions the check stands behind" in text
    assert "    postconf -e 'smtpd_recipient_restrictions = check_policy_service" in text


def test_a_terminal_has_colours(tmp_path: Path) -> None:
    """Green for covered, bold red for what is not, and for the word that begins an error."""
    file = io.StringIO()
    console = Console(file=file, width=PIPE_COLUMNS, force_terminal=True, color_system="standard")
    show(report(tmp_path, f"{CHECK}, {PERMITS}"), console)
    show(report(tmp_path, f"{PERMITS}, {CHECK}"), console)

    for coloured in ("\x1b[32mcovered", "\x1b[1;31mNOT COVERED", "\x1b[1;31merror: "):
        assert coloured in file.getvalue()


def test_german_is_told_too(tmp_path: Path) -> None:
    """The same, in German."""
    assert "NICHT ABGEDECKT" in shown(report(tmp_path, PERMITS)._replace(language="de"))


def test_json_has_everything(tmp_path: Path) -> None:
    """For programs."""
    found = json.loads(to_json(report(tmp_path, f"{PERMITS}, {CHECK}")))

    assert found["verdict"] == "not_covered"
    assert [entrance["port"] for entrance in found["entrances"]] == [25, 587]
    assert found["entrances"][1]["verdicts"]["login_outside"]["answer"] == "not_covered"
    assert found["findings"][0]["id"] == "check_after_permit"
    assert found["findings"][0]["mend"]


def test_json_names_what_mail_is_handed_to(tmp_path: Path) -> None:
    """And whether that is accepted."""
    found = examined(tmp_path, f"{CHECK}, {PERMITS}", more="smtpd_milters = inet:a:1")
    found = found._replace(accepted=frozenset({"inet:a:1"}))
    told = json.loads(to_json(Report(found, OURS, [], found.answer, "en")))

    assert told["entrances"][1]["filters"] == [
        {"kind": "milter", "parameter": "smtpd_milters", "name": "inet:a:1", "accepted": True}
    ]
    assert told["entrances"][0]["filters"] == []


def test_without_a_terminal_lines_are_long() -> None:
    """A line that wraps is bad to search."""
    assert open_console().width == PIPE_COLUMNS
