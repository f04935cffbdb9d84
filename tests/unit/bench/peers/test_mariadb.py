"""The private MariaDB."""

from pathlib import Path

import pytest

from bench.peers import mariadb
from bench.peers.mariadb import MariaDb


def test_it_is_missing_without_its_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not the driver is there."""
    monkeypatch.setattr(mariadb, "SEARCH_PATH", "")

    assert MariaDb("t").missing()


def test_nothing_runs_before_a_start(tmp_path: Path) -> None:
    """And there is nothing to stop."""
    database = MariaDb("t")
    database.stop()

    assert database.pids() == []
