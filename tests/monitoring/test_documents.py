"""docs/MONITORING.md and the runbooks say what is."""

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chassis import ctl
from tests.monitoring.rules import RUNBOOKS
from tests.support.protos import ROOT

PAGES = sorted(RUNBOOKS.glob("*.md"))
EVERY_PAGE = pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "docs/MONITORING.md", ROOT / "docs/admin.md"], ids=lambda page: page.stem
)


@EVERY_PAGE
def test_metrics_and_events_exist(page: Path) -> None:
    text = page.read_text()
    sources = "".join(
        path.read_text()
        for package in ("chassis", "frontend", "decision", "quota")
        for path in ROOT.glob(f"{package}/**/*.py")
    )
    metrics = set(re.findall(r"\bmtpolicyd_([a-z_]+)[a-z]\b(?!\*)", text))
    events = set(re.findall(r"\bevent=([a-z_]+)", text))
    events |= {event for group in re.findall(r"\bevent=\(([a-z_|]+)\)", text) for event in group.split("|")}

    assert {name for name in metrics if f'"{name}' not in sources} == set()
    assert {name for name in events - {"settings"} if f'"{name}"' not in sources} == set()


@EVERY_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([a-z-]+))?\)", page.read_text()):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-") for heading in headings
            }


def test_commands_of_the_documents_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command and option of mtpolicyctl."""
    pages = [*PAGES, *(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / ".env.example"]
    text = "".join(page.read_text() for page in pages)
    spoken = {
        (command, option)
        for command, rest in re.findall(
            r"mtpolicyctl ((?:(?:geo|limit|country) (?=[a-z]))?[a-z][a-z-]+)([^\n`|]*)", text
        )
        for option in ["", *re.findall(r" (--[a-z]+[a-z-]*)", rest)]
    }
    monkeypatch.setattr(ctl.app, "registered_commands", list(ctl.app.registered_commands))
    monkeypatch.setattr(ctl.app, "registered_groups", list(ctl.app.registered_groups))
    ctl.add_commands(entry_points(group=ctl.COMMANDS))
    monkeypatch.setenv("COLUMNS", "200")
    helps = {
        command: CliRunner().invoke(ctl.app, [*command.split(), "--help"])
        for command in {command for command, _ in spoken}
    }

    assert {"report", "geo", "show-config", "check-config", "test"} <= helps.keys()
    for command, option in spoken:
        assert helps[command].exit_code == 0, command
        assert option in helps[command].stdout, (command, option)
