"""Bytes that once broke something, and those that the search begins with."""

from pathlib import Path

import pytest

from tests.fuzz.checks import check_policy_wire

HERE = Path(__file__).parent
FILES = [path for folder in ("seeds", "findings") for path in sorted((HERE / folder).glob("[!.]*"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_holds_for_these_bytes(path: Path) -> None:
    """See checks.py."""
    check_policy_wire(path.read_bytes())


def test_there_is_something_to_begin_with() -> None:
    """The search would find little from nothing."""
    assert len(FILES) >= 5
