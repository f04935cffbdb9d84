"""Services for the tests of this folder; one set is shared where a test changes nothing but its own user."""

from collections.abc import Iterator

import pytest

from tests.support.policy import PolicyClient
from tests.support.services import Services, running


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """All three, with a threshold of 10; each test uses a login of its own."""
    with running(tmp_path_factory.mktemp("services"), THRESHOLD="10") as services:
        yield services


@pytest.fixture
def policy(services: Services) -> Iterator[PolicyClient]:
    with PolicyClient(services.port) as client:
        yield client
