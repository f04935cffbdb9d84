"""Every store, with its reader, runs the tests of this folder: a new store is one more `param` here."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from quota.store.admin_reader import SqliteAdminReader
from quota.store.interface import AdminReader, Reader, Store
from quota.store.mending import MendingStore
from quota.store.reader import SqliteReader
from quota.store.sqlite import SqliteStore

Opener = Callable[[], Store]


def sqlite(path: Path) -> SqliteStore:
    return SqliteStore(path)


def mending(path: Path) -> MendingStore:
    return MendingStore(
        path, lambda: SqliteStore(path), alone=nullcontext, moved=unexpected, rewritten=unexpected
    )


def unexpected(*what: object) -> None:
    raise AssertionError(what)


@pytest.fixture(params=[sqlite, mending])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store again each time: calling it twice is a restart."""
    opened: list[Store] = []

    def open_again() -> Store:
        if opened:
            opened[-1].close()
        opened.append(request.param(tmp_path / "quota.sqlite3"))
        return opened[-1]

    yield open_again
    if opened:
        opened[-1].close()


@pytest.fixture
def reader(open_store: Opener, tmp_path: Path) -> Reader:
    """Reads what the store has counted."""
    return SqliteReader(tmp_path / "quota.sqlite3")


@pytest.fixture
def admin(open_store: Opener, tmp_path: Path) -> AdminReader:
    """Reads what an admin sees."""
    return SqliteAdminReader(tmp_path / "quota.sqlite3")


@pytest.fixture
def store(open_store: Opener) -> Store:
    """A new, empty store."""
    return open_store()
