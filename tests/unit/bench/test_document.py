"""Sections between markers."""

from pathlib import Path

import pytest

from bench.document import DocumentError, markers, with_section, write_section
from tests.support.protos import ROOT

BEGIN, END = markers("rates")
TEXT = f"# Title\n\nby hand\n\n{BEGIN}\nold\n{END}\n\nalso by hand\n"


def test_only_the_section_changes(tmp_path: Path) -> None:
    """And writing it again changes nothing."""
    path = tmp_path / "document.md"
    path.write_text(TEXT)

    for _ in range(2):
        write_section(path, "rates", ["| a |", "| b |"])
        expected = f"# Title\n\nby hand\n\n{BEGIN}\n\n| a |\n| b |\n\n{END}\n\nalso by hand\n"
        assert path.read_text() == expected


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}\n", TEXT + TEXT, TEXT + END])
def test_without_exactly_one_place_nothing_is_written(text: str) -> None:
    """Better than a document that is half overwritten."""
    with pytest.raises(DocumentError):
        with_section(text, "rates", [])


@pytest.mark.parametrize("section", ["rates", "minute", "large"])
def test_our_document_has_a_place_for_each_run(section: str) -> None:
    """The names that app.py uses."""
    assert with_section((ROOT / "docs/BENCHMARKS.md").read_text(), section, ["new"]).count("\nnew\n") == 1
