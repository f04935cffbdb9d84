"""One engine, one build and one running stack for all tests; each test uses a login of its own."""

import itertools
import re
import subprocess
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.compose.engine import Engine, make_base_image, running_engine
from tests.compose.stack import COMPOSE, MONITORING, SERVICES, Stack, copy_checkout
from tests.support.debian import download_wheels, unpack
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
def v2(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """`docker compose` v2, which Debian 12 does not have: Debian 13's, of which nothing else is needed."""
    directory = tmp_path_factory.mktemp("debian-13") / "docker-compose"
    unpack("docker-compose", "trixie", directory)
    program = str(directory / "usr/libexec/docker/cli-plugins/docker-compose")
    assert " 2." in subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    return [program]


@pytest.fixture(scope="session", params=["1.29", "2"])
def program(request: pytest.FixtureRequest) -> Sequence[str]:
    """Each compose that docker-compose.yml is written for."""
    found: Sequence[str] = COMPOSE if request.param == "1.29" else request.getfixturevalue("v2")
    return found


@pytest.fixture(scope="session")
def checkout(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the images built from it; nothing in it is edited.

    It was checked out with `umask 077`, and made readable as the document says.
    """
    checkout = copy_checkout(tmp_path_factory.mktemp("checkout"))
    subprocess.run(["chmod", "-R", "go=", "."], cwd=checkout, check=True)
    for mend in re.findall(r"^chmod .+$", (checkout / "docs/CONTAINERS.md").read_text(), re.MULTILINE):
        subprocess.run(mend.split(), cwd=checkout, check=True)
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
    ports = {"POLICY_PORT": str(free_port()), "GRAFANA_PORT": str(free_port())}
    stack = Stack(engine, checkout, "mtpolicyd", **ports)
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
