"""What the process does that opens a file first (as a process: test_country_check.py)."""

import errno
import os
import resource
from pathlib import Path

import pytest

from decision.country_reader import How, main, read_all
from tests.support.mmdb import country_file


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Forty networks and their countries."""
    return country_file(tmp_path / "good.mmdb", {f"{number}.0.0.0/8": "DE" for number in range(20, 60)})


def test_every_network_is_read(good: Path) -> None:
    """Their number is known at the end."""
    assert read_all(good) == 40


def test_the_reason_is_written_for_the_process_that_asked(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says the rest. A process that may set nothing for itself reads all the same."""

    def forbidden(*_: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "nice", forbidden)
    monkeypatch.setattr(resource, "setrlimit", forbidden)
    text = tmp_path / "text.mmdb"
    text.write_bytes(b"no country data")

    assert (main(How.WHOLE, str(good)), capsys.readouterr().err) == (0, "")
    assert main(How.OPENING, str(text)) == 1
    assert capsys.readouterr().err.count("\n") == 1
