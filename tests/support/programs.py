"""Programs of the system that some tests need."""

import os
import shutil
from typing import NoReturn

import pytest

# Before any test clears the environment.
REQUIRE_ALL = os.environ.get("MTPOLICYD_TEST_REQUIRE_ALL") == "1"
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
MISSING: set[str] = set()


def require_program(name: str, *, packages: str) -> str:
    """The program's path; without it the test is skipped with the apt-get line that helps.

    With MTPOLICYD_TEST_REQUIRE_ALL=1 the test fails instead.
    """
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        unmet(f"{name} is missing: apt-get install {packages}")
    return path


def require_root() -> None:
    """Some programs (Postfix) start only as root."""
    if os.geteuid() != 0:
        unmet("these tests start a Postfix of their own: run `make test` as root")


def unmet(line: str) -> NoReturn:
    """Skip or fail for a reason that the summary repeats."""
    if REQUIRE_ALL:
        pytest.fail(line, pytrace=False)
    MISSING.add(line)
    pytest.skip(line)
