"""mtpolicyd's configuration, and its counts in SQLite."""

import sqlite3
from contextlib import closing
from pathlib import Path

from bench.peers.mtpolicyd import TABLE, Mtpolicyd, SqliteFile, configuration


def test_the_configuration(tmp_path: Path) -> None:
    """Both limits of what it can: country first, then the quota, then the accounting that the quota reads."""
    text = configuration(tmp_path, port=7, dsn="dbi:SQLite:dbname=/x", db_user="", threshold=9)

    places = [
        text.index(f'module = "{name}"')
        for name in ("Sql", "GeoIPLookup", "GeoIPAction", "Quota", "Accounting")
    ]
    assert places == sorted(places)
    assert "<VirtualHost 7>" in text
    assert 'port = "127.0.0.1:7"' in text
    assert "threshold = 9\n" in text
    assert "{" not in text


def test_counts_of_the_database_file(tmp_path: Path) -> None:
    """Units, rows and users: two rows of one user are its fault, and are told."""
    database = SqliteFile()
    assert database.start(tmp_path) == (f"dbi:SQLite:dbname={tmp_path}/mtpolicyd.sqlite", "")
    with closing(sqlite3.connect(tmp_path / "mtpolicyd.sqlite")) as db, db:
        db.execute(f"CREATE TABLE {TABLE} (key TEXT, count_rcpt INT)")
        db.executemany(f"INSERT INTO {TABLE} VALUES (?, ?)", [("a", 3), ("a", 1), ("b", 2)])

    tally = Mtpolicyd(database).tally([])

    assert database.counted() == (6, 3, 2)
    assert tally.counted == 6
    assert tally.wrong == ["1 users have two rows of counts"]
    assert database.size() > 0


def test_the_title_tells_the_database() -> None:
    """And the key, which --only takes."""
    assert Mtpolicyd(SqliteFile()).title == "mtpolicyd, SQLite"
    assert Mtpolicyd(SqliteFile()).key == "mtpolicyd-sqlite"
