"""`mtpolicyctl replay`, as the admin calls it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from admin.replay import comparing
from admin.replay.command import replay

app = typer.Typer()
app.command()(replay)


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_arguments_arrive_and_the_exit_code_too(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Several files, one configuration."""
    given: list[object] = []

    def compare(*arguments: object, **options: object) -> int:
        given.extend([*arguments, options])
        return code

    monkeypatch.setattr(comparing, "compare", compare)
    result = CliRunner().invoke(app, ["a", "b", "--config", "new.toml", "--json"])

    assert result.exit_code == code
    assert given == [
        [Path("a"), Path("b")],
        Path("new.toml"),
        {"recorded_countries": False, "as_json": True},
    ]


@pytest.mark.parametrize("arguments", [[], ["a"], ["--config", "new.toml"]])
def test_file_and_settings_are_required(arguments: list[str]) -> None:
    """With typer's own message."""
    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 2
    assert "Missing" in result.stderr


def test_other_commands_do_not_load_it() -> None:
    """They load this module, which loads nothing of the services."""
    code = "import sys, admin.replay.command; print({name.partition('.')[0] for name in sys.modules})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"decision", "quota", "grpc", "rich"} & set(re.findall(r"\w+", ended.stdout))
