"""Services for the fault tests."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.effort import seed
from tests.support.load import LIMIT
from tests.support.services import Services, running


@pytest.fixture(autouse=True)
def each_notices_standstills(noticed_standstills: None) -> None:
    """Whatever is timed here."""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Services]:
    """Services that a test may kill; mail with a login is deferred on failure."""
    with running(tmp_path, ON_FAILURE="defer", THRESHOLD="1000000") as services:
        yield services


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Services]:
    """Such services under load, with the limit of the load; somebody holds the socket for Postfix."""
    with running(tmp_path, held=True, ON_FAILURE="defer", THRESHOLD=str(LIMIT)) as services:
        yield services


@pytest.fixture
def chance() -> Random:
    """What chooses; MTPOLICYD_TEST_SEED repeats a run."""
    return Random(seed())
