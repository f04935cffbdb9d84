"""Sections of a document that a program writes, between markers; what stands around them is people's."""

from collections.abc import Sequence
from pathlib import Path


class DocumentError(Exception):
    """The document has no place for a section."""


def markers(section: str) -> tuple[str, str]:
    """The lines in front of a section and behind it."""
    return f"<!-- {section}: begin, written by python -m bench -->", f"<!-- {section}: end -->"


def with_section(text: str, section: str, lines: Sequence[str]) -> str:
    """The text with another content of the section. Raises DocumentError without exactly one place for it."""
    begin, end = markers(section)
    before, begin_found, rest = text.partition(begin)
    _, end_found, after = rest.partition(end)
    if not begin_found or not end_found or begin in rest or end in after:
        raise DocumentError(f"there must be one section between {begin!r} and {end!r}")
    return "\n".join([before + begin, "", *lines, "", end + after])


def write_section(path: Path, section: str, lines: Sequence[str]) -> None:
    """Write a section anew. Raises DocumentError, OSError."""
    path.write_text(with_section(path.read_text(), section, lines))
