"""One call, from the options to the exit code."""

from pathlib import Path

import pytest

from admin.doctor import consultation as module
from admin.doctor.consultation import Request, consult
from tests.support.ports import free_port
from tests.unit.admin.doctor.pairs import CHECK, PERMITS, write

NOTHING = Request(None, None, False, "", None, "", "", "", False, "", Path("/nonexistent"), frozenset())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lang": "fr"}, "--lang fr is not known"),
        ({"login": "a"}, "--login needs --password-file"),
        ({"smtp": "a:1"}, "--smtp needs --login"),
        ({"config_dir": Path("/nonexistent")}, "holds no main.cf"),
        ({"login": "a", "password_file": Path("/nonexistent")}, "cannot be read"),
        ({"login": "a\nb", "password_file": Path("/dev/null")}, "cannot be printed"),
        ({"login": "a", "password_file": Path("/dev/null")}, "is no regular file of at most 4096 bytes"),
        ({"login": "a", "password_file": Path("{tmp}/empty")}, "has an empty first line"),
        ({"login": "a", "password_file": Path("{tmp}/large")}, "is no regular file of at most 4096 bytes"),
        ({"login": "a", "password_file": Path("{tmp}/latin")}, "holds no UTF-8"),
        ({"login": "a", "password_file": Path("{tmp}/good"), "smtp": "x"}, "--smtp x is not allowed"),
        ({"mail_log": Path("/nonexistent")}, "--mail-log /nonexistent cannot be read"),
    ],
)
def test_a_wrong_option_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, changes: dict[str, object], line: str
) -> None:
    """Nothing is asked or printed; German has a line of its own."""
    write(tmp_path, CHECK)
    files = {"empty": b"\nsecret", "large": b"x" * 4097, "latin": b"\xe4", "good": b"secret\r\n"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    changes = {
        name: Path(str(value).replace("{tmp}", str(tmp_path))) if isinstance(value, Path) else value
        for name, value in changes.items()
    }
    request = NOTHING._replace(**{"config_dir": tmp_path, **changes})  # type: ignore[arg-type]
    code = consult(request)
    output = capsys.readouterr()

    assert (code, output.out) == (2, "")
    assert line in output.err
    assert output.err.count("\n") == 1
    if not request.lang:
        assert consult(request._replace(lang="de")) == 2
        assert capsys.readouterr().err not in ("", output.err)


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


def test_a_filter_is_unknown_until_it_is_accepted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """By the name that the doctor gives it, in the command that it prints; a wrong name is told."""
    milter, content = "inet:127.0.0.1:8891", "smtp-amavis:[127.0.0.1]:10024"
    write(tmp_path, f"{CHECK}, {PERMITS}", more=f"smtpd_milters = {milter}\ncontent_filter = {content}")
    request = NOTHING._replace(config_dir=tmp_path)

    assert consult(request) == 1
    output = capsys.readouterr().out
    assert f"mtpolicyctl doctor --accept-filter {milter}\n" in output
    assert f"mtpolicyctl doctor --accept-filter '{content}'\n" in output
    assert consult(request._replace(accepted=frozenset({milter}))) == 1
    assert consult(request._replace(accepted=frozenset({milter, content}))) == 0
    capsys.readouterr()
    assert consult(request._replace(accepted=frozenset({milter, content, "other:1"}))) == 0
    assert "--accept-filter other:1: no milter or filter" in capsys.readouterr().out


def test_a_mail_log_that_may_not_be_read_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The one that is looked at unasked; a host that has none is none the worse."""
    write(tmp_path, f"{CHECK}, {PERMITS}")
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path))
    monkeypatch.setattr(module, "strangers", lambda examination: [])
    for log, told in ((tmp_path, True), (tmp_path / "none", False)):
        monkeypatch.setattr(module, "DEFAULT", log)

        assert consult(NOTHING) == 0
        assert ("whether a proxy hides the clients was not looked for" in capsys.readouterr().out) is told
