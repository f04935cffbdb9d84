"""A database with the schema of the store, in memory."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files

import pytest


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for number in range(1, 6):
            db.executescript(files("quota.store").joinpath(f"schema_{number}.sql").read_text())
        yield db
