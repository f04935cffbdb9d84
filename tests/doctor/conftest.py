"""One Postfix for all pairs of the corpus, and what it asks."""

from collections.abc import Iterator

import pytest

from tests.doctor.corpus import LOGIN
from tests.doctor.recorder import Recorder
from tests.doctor.running import Ground


@pytest.fixture(scope="package")
def ground() -> Iterator[Ground]:
    """A Postfix without services that take mail; each test puts a pair in force."""
    with Ground() as ground:
        ground.add_login(LOGIN)
        yield ground


@pytest.fixture(scope="package")
def recorder() -> Iterator[Recorder]:
    """What listens at our port."""
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="package")
def stranger() -> Iterator[Recorder]:
    """What stands for all other policy services."""
    with Recorder() as recorder:
        yield recorder
