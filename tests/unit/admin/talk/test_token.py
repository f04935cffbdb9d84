"""The token, and who brings it."""

import os
import pwd
import socket
from pathlib import Path

import pytest

from admin.talk.exits import EndError
from admin.talk.token import read_token, who
from tests.support.admin_fakes import TOKEN

Patch = pytest.MonkeyPatch


@pytest.mark.usefixtures("settings")
def test_the_token_is_that_of_the_state_directory() -> None:
    """Without its line end."""
    assert read_token() == TOKEN


def test_another_file_may_be_named(settings: Path, monkeypatch: Patch, tmp_path: Path) -> None:
    """By the setting that quota reads it from."""
    (tmp_path / "other").write_text("other")
    monkeypatch.setenv("MTPOLICYD_ADMIN_TOKEN_FILE", str(tmp_path / "other"))
    assert read_token() == "other"


def test_without_a_token_there_is_one_line_with_exit_code_2(settings: Path) -> None:
    """It names the file, and who makes it."""
    (settings / "admin.token").unlink()
    with pytest.raises(EndError) as caught:
        read_token()

    assert caught.value.code == 2
    assert str(caught.value) == (
        f"{settings}/admin.token cannot be read: No such file or directory; changes need this token: "
        "quota makes it when it starts, for root and its own user"
    )


@pytest.mark.parametrize("text", ["", "\n", "to\x1bken", "tökén"])
def test_a_file_without_a_token_is_told(settings: Path, text: str) -> None:
    """A header of HTTP/2 would not take it."""
    (settings / "admin.token").write_text(text)
    with pytest.raises(EndError, match="holds no token"):
        read_token()


def test_a_token_that_may_not_be_read_is_told(settings: Path, monkeypatch: Patch) -> None:
    """Whoever is not root and not quota's user."""
    open_any = os.open

    def refuse(path: object, *arguments: int) -> int:
        if str(path).endswith("admin.token"):
            raise PermissionError(13, "Permission denied")
        return open_any(str(path), *arguments)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(EndError, match=r"admin\.token cannot be read: Permission denied"):
        read_token()


def test_who_is_whoever_called_sudo(monkeypatch: Patch) -> None:
    """Else the user of the process, whatever USER says; a user without a name is a number."""
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setenv("SUDO_USER", "änne")
    assert who() == f"\\xe4nne@{socket.gethostname()}"

    monkeypatch.delenv("SUDO_USER")
    assert who() == f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"

    monkeypatch.setattr(os, "getuid", lambda: 54321)
    assert who() == f"uid54321@{socket.gethostname()}"
