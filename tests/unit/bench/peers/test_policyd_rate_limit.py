"""policyd-rate-limit's configuration, and its rows."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from bench.peers.policyd_rate_limit import configuration, count_rows


def test_the_configuration(tmp_path: Path) -> None:
    """A limit a day by login; what cannot be counted does not look as if it had passed."""
    found = json.loads(configuration(tmp_path, port=7, threshold=9))

    assert found["limits"] == [[9, 86400]]
    assert found["SOCKET"] == ["127.0.0.1", 7]
    assert found["limit_by_sasl"] is True
    assert found["db_error_action"].startswith("defer ")
    assert found["sqlite_config"]["database"].startswith(str(tmp_path))


def test_rows_of_the_database(tmp_path: Path) -> None:
    """One for each charge."""
    with closing(sqlite3.connect(tmp_path / "policyd-rate-limit.sqlite")) as db, db:
        db.execute("CREATE TABLE mail_count (id, date)")
        db.execute("INSERT INTO mail_count VALUES (1, 2)")

    assert count_rows(tmp_path) == 1
