"""What the tests of decision share."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.observed import Observed


@pytest.fixture
def seen() -> Observed:
    """A log and metrics of one test's own."""
    return Observed()


@pytest.fixture
def rights_hold_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of mode 0 cannot be opened, whoever runs the test."""
    open_any = os.open

    def open_if_allowed(path: Any, *arguments: Any, **more: Any) -> int:
        if isinstance(path, Path) and path.stat().st_mode & 0o777 == 0:
            raise PermissionError(13, "Permission denied")
        return open_any(path, *arguments, **more)

    monkeypatch.setattr(os, "open", open_if_allowed)
