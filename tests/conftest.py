"""What every test has: a clean environment, and at the end what was missing and what was drawn by lot."""

import os
import signal
from collections.abc import Iterator

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import settings

import chassis  # noqa: F401 - before anything imports grpc
from tests.support.effort import FULL, STANDSTILL, USED_SEED
from tests.support.programs import MISSING

# Deadlines of single examples measure the machine, not the code.
settings.register_profile("ours", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("ours")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`make test` is to stay below five minutes: tests marked `full` are for the targets that set FULL."""
    if not FULL:
        left_out = [item for item in items if item.get_closest_marker("full")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the machine do not reach a test."""
    for name in [name for name in os.environ if name.startswith("MTPOLICYD_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """What a service sets for its own process does not outlive its test."""
    umask, hang_up = os.umask(0o022), signal.getsignal(signal.SIGHUP)
    yield
    os.umask(umask)
    signal.signal(signal.SIGHUP, hang_up)


@pytest.fixture
def noticed_standstills() -> None:
    """Those of this test."""
    if not STANDSTILL.is_alive():
        STANDSTILL.start()
    STANDSTILL.longest = 0.0


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> Iterator[None] | None:
    if MISSING:
        terminalreporter.section("skipped: missing programs")
        for line in sorted(MISSING):
            terminalreporter.line(line)
    for number in USED_SEED:
        terminalreporter.line(f"faults chosen by MTPOLICYD_TEST_SEED={number}")
    return None
