"""One call, from the options to the exit code."""

from pathlib import Path

import pytest

from admin.doctor import consultation as module
from admin.doctor.consultation import Request, consult
from tests.support.ports import free_port
from tests.unit.admin.doctor.pairs import CHECK, PERMITS, write

NOTHING = Request(None, None, False, "", None, "", "", "", False, "", Path("/nonexistent"))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lang": "fr"}, "--lang 'fr' is not known"),
        ({"login": "a"}, "--login needs --password-file"),
        ({"smtp": "a:1"}, "--smtp needs --login"),
        ({"config_dir": Path("/nonexistent")}, "holds no main.cf"),
        ({"login": "a", "password_file": Path("/nonexistent")}, "cannot be read"),
        ({"login": "a\nb", "password_file": Path("/dev/null")}, "cannot be printed"),
        ({"login": "a", "password_file": Path("/dev/null")}, "has an empty first line"),
        ({"mail_log": Path("/nonexistent")}, "--mail-log /nonexistent cannot be read"),
    ],
)
def test_a_wrong_option_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, changes: dict[str, object], line: str
) -> None:
    """Nothing is asked or printed."""
    write(tmp_path, CHECK)
    code = consult(NOTHING._replace(**{"config_dir": tmp_path, **changes}))  # type: ignore[arg-type]
    output = capsys.readouterr()

    assert (code, output.out) == (2, "")
    assert line in output.err
    assert output.err.count("\n") == 1


def test_a_host_without_postfix_is_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says so."""
    monkeypatch.setattr("admin.doctor.postconf.SEARCH_PATH", "/nowhere")

    assert consult(NOTHING) == module.EXIT_NOT_THERE
    assert "is Postfix installed" in capsys.readouterr().err


def test_a_policy_port_that_does_not_answer_is_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With --live; without it nothing is asked."""
    port = free_port()
    monkeypatch.setenv("MTPOLICYD_PORT", str(port))
    write(tmp_path, f"{CHECK.replace('12345', str(port))}, {PERMITS}")
    request = NOTHING._replace(config_dir=tmp_path)

    assert consult(request) == 0
    assert consult(request._replace(live=True)) == 3
    assert "No answer from the policy port" in capsys.readouterr().out
