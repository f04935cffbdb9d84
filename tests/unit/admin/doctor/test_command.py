"""`mtpolicyctl doctor` as a command."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from admin.doctor.command import doctor
from tests.unit.admin.doctor.pairs import CHECK, PERMITS, write


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(("recipient", "code"), [(f"{CHECK}, {PERMITS}", 0), (PERMITS, 1)])
def test_the_exit_code_is_the_verdict(tmp_path: Path, recipient: str, code: int) -> None:
    """And the output is JSON if that is asked for."""
    write(tmp_path, recipient)
    result = run("--config-dir", str(tmp_path), "--ucr-dir", str(tmp_path), "--json")

    assert result.exit_code == code
    assert json.loads(result.stdout)["verdict"] == ("not_covered" if code else "covered")
