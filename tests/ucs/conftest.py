"""UCR over a directory of its own for each test."""

from pathlib import Path

import pytest

from tests.support.ucr import Ucr


@pytest.fixture
def ucr(tmp_path: Path) -> Ucr:
    return Ucr(tmp_path / "ucs")
