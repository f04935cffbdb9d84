"""One Postfix for all pairs of the corpus, and what it asks."""

from collections.abc import Iterator

import pytest

from tests.doctor.corpus import LOGIN
from tests.doctor.recorder import Recorder
from tests.doctor.running import Ground
from tests.support.effort import FULL


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Pairs that are marked `full` are run by `make test-doctor` alone."""
    if not FULL:
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


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
