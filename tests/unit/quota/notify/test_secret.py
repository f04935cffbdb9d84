"""Secrets are read when they are needed."""

from pathlib import Path

import pytest

from quota.notify.interface import NotDeliveredError
from quota.notify.secret import read_secret


async def test_blanks_around_a_secret_are_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(" correct horse \n")

    assert await read_secret(path) == "correct horse"


@pytest.mark.parametrize("content", [b"", b" \n", b"short", b"\xff\xfe\x00"])
async def test_what_is_no_secret_is_told_without_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(NotDeliveredError) as caught:
        await read_secret(path, at_least_bytes=16)
    assert "short" not in str(caught.value)
    assert str(path) in str(caught.value)


async def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotDeliveredError, match="No such file"):
        await read_secret(tmp_path / "missing")
