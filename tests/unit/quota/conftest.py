"""What the tests of quota share."""

import pytest

from tests.support.observed import Observed


@pytest.fixture
def seen() -> Observed:
    """A log and metrics of one test's own."""
    return Observed()
