"""Building the C programs."""

import os
import shutil
from pathlib import Path

import pytest

from bench import build as module
from bench.build import COMPILER_HINT, BuildError, build
from tests.support.programs import require_program


def test_a_missing_compiler_is_told_with_the_line_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BuildError, match=f"cc is missing: {COMPILER_HINT}"):
        build("dunno", tmp_path / "bin")
    assert not (tmp_path / "bin").exists()


def test_a_program_is_built_when_its_source_is_newer(tmp_path: Path) -> None:
    """And only then; the sources compile without a warning's being an error."""
    require_program("cc", packages="gcc libc6-dev")
    program = build("dunno", tmp_path)
    assert os.access(program, os.X_OK)
    os.utime(program, (2**31, 2**31))
    assert build("dunno", tmp_path).stat().st_mtime == 2**31
    os.utime(program, (0, 0))

    assert build("dunno", tmp_path).stat().st_mtime > 0


def test_what_the_compiler_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a compiler but without the C library's headers, for one."""
    require_program("cc", packages="gcc libc6-dev")
    assert shutil.which("cc")
    monkeypatch.setattr(module, "SOURCES", tmp_path)
    (tmp_path / "broken.c").write_text("#include <no-such-header.h>\n")

    with pytest.raises(BuildError, match=r"no-such-header\.h"):
        build("broken", tmp_path)
