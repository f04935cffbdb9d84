"""Builds the C programs of this package."""

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
OUTPUT = SOURCES / "bin"
COMPILER_HINT = "apt-get install gcc libc6-dev"


class BuildError(Exception):
    """A program cannot be built; the message says why, or what to install."""


def build(name: str, output: Path = OUTPUT) -> Path:
    """The path of the program `name`, compiled from `name`.c when that is newer.

    Raises:
        BuildError: there is no C compiler, or it fails.
    """
    source, program = SOURCES / f"{name}.c", output / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise BuildError(f"cc is missing: {COMPILER_HINT}")
    output.mkdir(exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{' '.join(command)} failed: {COMPILER_HINT}\n{done.stderr}")
    return program
