"""`docker compose` v2, which builds with BuildKit: what an admin does with it. The other tests have 1.29."""

import subprocess
from collections.abc import Iterator, Sequence

import pytest

from tests.compose.conftest import LIMIT
from tests.compose.engine import Engine
from tests.compose.stack import FILES, MONITORING, SERVICES, Stack
from tests.compose.test_service import used_up
from tests.support.policy import AMERICAN, PolicyClient
from tests.support.ports import free_port

pytestmark = pytest.mark.compose

FURTHER = ("deploy/compose.metrics.yml", "deploy/compose.notify.yml")


@pytest.fixture(scope="module")
def modern(engine: Engine, stack: Stack, v2: Sequence[str]) -> Iterator[Stack]:
    """Built and started by v2, beside the stack of 1.29; the settings are the same."""
    modern = Stack(
        engine,
        stack.checkout,
        "modern",
        v2,
        POLICY_PORT=str(free_port()),
        GRAFANA_PORT=str(free_port()),
        POLICY_SUBNET="10.201.98.0/24",
        IMAGE="univention-mtpolicyd:v2",
    )
    try:
        modern.compose("up", "-d")
        modern.wait_healthy(*SERVICES, *MONITORING)
        modern.wait_connected()
        yield modern
    finally:
        modern.down()


def test_it_has_nothing_to_say_about_our_files(engine: Engine, stack: Stack, v2: Sequence[str]) -> None:
    """It would warn of what is obsolete or not set."""
    for files in (FILES, *(f"docker-compose.yml:{name}" for name in FURTHER)):
        done = subprocess.run(
            [*v2, "config", "--quiet"],
            cwd=stack.checkout,
            env={**engine.environment, "COMPOSE_FILE": files, "COMPOSE_PROFILES": "monitoring,geo"},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_up_starts_what_works(modern: Stack) -> None:
    """All of it, with the image that BuildKit has made."""
    (port,) = modern.policy_ports()
    image = modern.container("quota")["Config"]["Image"]

    assert {one["Config"]["Labels"]["com.docker.compose.service"] for one in modern.containers()} == {
        *SERVICES,
        *MONITORING,
    }
    assert image == "univention-mtpolicyd:v2"
    with PolicyClient(port) as client:
        assert client.ask(sasl_username="v2@example.org") == "DUNNO"
        assert client.ask(sasl_username="v2@example.org", client_address=AMERICAN).startswith("REJECT 5.7.1 ")


def test_a_second_up_changes_nothing(modern: Stack) -> None:
    """The image is that of all services, as the first one has labelled them."""
    before = {one["Id"] for one in modern.containers()}

    modern.compose("up", "-d")

    assert {one["Id"] for one in modern.containers()} == before


def test_a_change_replaces_what_it_concerns(modern: Stack) -> None:
    """Another port: a new frontend, and the others run on. The counts are those of before."""
    login = "moved@example.org"
    with PolicyClient(modern.policy_ports()[0]) as client:
        assert client.ask(sasl_username=login) == "DUNNO"
    before = {name: modern.container(name)["Id"] for name in SERVICES}
    modern.variables["POLICY_PORT"] = str(free_port())

    modern.compose("up", "-d")
    modern.wait_healthy(*SERVICES)
    modern.wait_connected()

    after = {name: modern.container(name)["Id"] for name in SERVICES}
    assert [name for name in SERVICES if before[name] != after[name]] == ["frontend"]
    assert modern.policy_ports() == [int(modern.variables["POLICY_PORT"])]
    assert used_up(modern.policy_ports()[0], login) == LIMIT - 1


def test_more_of_them_and_down_and_up(modern: Stack) -> None:
    """Two decisions count exactly; the volumes outlive everything."""
    login = "scaled@example.org"
    modern.compose("up", "-d", "--scale", "decision=2")
    modern.wait_healthy("decision")
    modern.wait_connected()
    with PolicyClient(modern.policy_ports()[0]) as client:
        assert [client.ask(sasl_username=login) for _ in range(5)] == ["DUNNO"] * 5
    assert len(modern.containers("decision")) == 2

    modern.compose("down")
    modern.compose("up", "-d")
    modern.wait_healthy(*SERVICES)
    modern.wait_connected()

    assert len(modern.containers("decision")) == 1
    assert used_up(modern.policy_ports()[0], login) == LIMIT - 5
