"""docs/MONITORING.md and the runbooks say what is."""

import re
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chassis import ctl
from tests.monitoring.metrics_table import ORDER, exposition, in_document, table
from tests.monitoring.rules import RUNBOOKS
from tests.monitoring.scenario import Scenario
from tests.support.programs import require_program
from tests.support.protos import ROOT

PAGES = sorted(RUNBOOKS.glob("*.md"))
EVERY_PAGE = pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "docs/MONITORING.md", ROOT / "docs/admin.md"], ids=lambda page: page.stem
)


def test_the_table_of_metrics_is_current(scenario: Scenario) -> None:
    """After a change: python -m tests.monitoring.metrics_table."""
    assert in_document() == table(scenario.services)


def test_promtool_finds_nothing_odd_in_the_metrics(scenario: Scenario) -> None:
    """Names, units and help texts, as Prometheus' authors want them."""
    promtool = require_program("promtool", packages="prometheus")
    for name in ORDER:
        # What prometheus_client adds to every Python process is its own.
        lines = [line for line in exposition(scenario.services, name).splitlines() if "python_" not in line]
        text = "\n".join(lines) + "\n"
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_number_of_series_is_what_the_document_says(scenario: Scenario) -> None:
    """All that are scraped, and those of countries, to within a tenth."""
    series = [
        line
        for name in ORDER
        for line in exposition(scenario.services, name).splitlines()
        if not line.startswith("#")
    ]
    told = re.search(
        r"Some (\d+) series, of which (\d+) are countries", (ROOT / "docs/MONITORING.md").read_text()
    )

    assert told
    countries = [line for line in series if line.startswith("mtpolicyd_blocks_total")]
    assert [len(series), len(countries)] == pytest.approx([int(number) for number in told.groups()], rel=0.1)


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
