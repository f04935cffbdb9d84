"""One engine, one build and one running stack for all tests; each test uses a login of its own."""

import itertools
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.compose.engine import Engine, make_base_image, running_engine
from tests.compose.stack import MONITORING, SERVICES, Stack, copy_checkout
from tests.support.debian import download_wheels
from tests.support.ports import free_port

_numbers = itertools.count(1)

LIMIT = 20


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the containers have said last stands beside a failure."""
    report = yield
    stack = item.funcargs.get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections.append(("containers", stack.compose("logs", "--no-color", "--tail", "30")))
    return report


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with running_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def checkout(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the images built from it; nothing in it is edited."""
    checkout = copy_checkout(tmp_path_factory.mktemp("checkout"))
    stack = Stack(engine, checkout, "build")
    with ThreadPoolExecutor() as pool:
        base = pool.submit(make_base_image, engine, "debian:bookworm-slim")
        wheels = pool.submit(download_wheels, checkout / "deploy/wheels")
        base.result()
        wheels.result()
        # Two at a time, and the others find every step of the first one done.
        list(pool.map(lambda service: stack.compose("build", service), ("quota", "prometheus")))
    stack.compose("build")
    return checkout


@pytest.fixture(scope="session")
def stack(engine: Engine, checkout: Path) -> Iterator[Stack]:
    """The services and the monitoring, healthy and connected, with a threshold of LIMIT.

    A mail that could not be checked is deferred, so that it does not look like one that passed.
    """
    stack = Stack(engine, checkout, "mtpolicyd", POLICY_PORT=str(free_port()))
    with stack.settings_file.open("a") as settings:
        settings.write(f'threshold = {LIMIT}\non_failure = "defer"\n')
    try:
        stack.compose("up", "-d", *SERVICES, *MONITORING)
        stack.wait_healthy(*SERVICES, *MONITORING)
        stack.wait_connected()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def login() -> str:
    """The login of a user who has sent nothing yet."""
    return f"user{next(_numbers)}@example.org"
