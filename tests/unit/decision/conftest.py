"""What the tests of decision share."""

import pytest

from tests.support.observed import Observed


@pytest.fixture
def seen() -> Observed:
    """A log and metrics of one test's own."""
    return Observed()
