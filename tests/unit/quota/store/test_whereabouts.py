"""Where the files of an open SQLite database are."""

from pathlib import Path

from quota.store.whereabouts import files_of, whereabouts


def test_each_file_is_known_by_its_identity(tmp_path: Path) -> None:
    """Not by what is in it."""
    path = tmp_path / "store"
    path.write_bytes(b"old")
    before = whereabouts(path)
    assert [file is None for file in before] == [False, True, True]
    path.write_bytes(b"new")
    assert whereabouts(path) == before

    wal = path.with_name("store-wal")
    assert files_of(path)[1] == wal
    wal.touch()
    assert whereabouts(path)[0] == before[0]
    assert whereabouts(path)[1] is not None
    # The old one stays until then, so that the new one has another inode.
    other = tmp_path / "other"
    other.touch()
    other.replace(path)
    assert whereabouts(path)[0] not in (None, before[0])


def test_what_cannot_be_looked_at_is_not_there(tmp_path: Path) -> None:
    """The directory is gone."""
    assert whereabouts(tmp_path / "away" / "store") == (None, None, None)
