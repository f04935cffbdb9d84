"""One scenario for all tests that need it."""

from collections.abc import Iterator

import pytest

from tests.monitoring.boards import filled, queries
from tests.monitoring.scenario import Scenario, played
from tests.support.programs import require_program


@pytest.fixture(scope="package")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenario]:
    program = require_program("prometheus", packages="prometheus")
    asked = {filled(query.expr) for query in queries()}
    with played(program, tmp_path_factory.mktemp("monitoring"), asked) as scenario:
        yield scenario
