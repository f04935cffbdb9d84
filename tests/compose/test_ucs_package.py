"""The containers of the package, started by what `ucr set mtpolicyd/deployment=compose` starts."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from mtpolicyd_ucs import compose, places
from mtpolicyd_ucs.listening import Listening
from mtpolicyd_ucs.settings_file import text_of, values_of
from tests.compose.engine import Engine
from tests.support.policy import PolicyClient
from tests.support.ports import free_port
from tests.support.services import wait_until
from tests.support.ucr import UCS
from tests.ucs.packages import build, package

pytestmark = pytest.mark.compose

# An engine without a bridge builds in the host's network.
NETWORK = "services: {quota: {build: {network: host}}}\n"


class Installed:
    """The files of both packages in a directory, and the unit of the containers."""

    def __init__(self, root: Path, engine: Engine, port: int) -> None:
        self.root = root
        self.port = port
        self.place = root / "usr/share/univention-mtpolicyd/compose"
        self.settings = root / "etc/univention-mtpolicyd/settings.toml"
        text = compose.variables(
            Listening(("127.0.0.1",), port),
            {"allowed_clients": "127.0.0.0/8,::1/128", "geoip_directory": f"{root}/var/lib/GeoIP"},
        )
        self.variables: Mapping[str, str] = {
            **dict(line.split("=", 1) for line in text.splitlines()),
            "SETTINGS_DIRECTORY": str(self.settings.parent),
            "COMPOSE_FILE": "docker-compose.yml:network.yml",
            "POLICY_SUBNET": "10.201.99.0/24",
        }
        self.environment = {**engine.environment, **self.variables}
        self.unit = dict(re.findall(r"^(Exec\w+)=(.*)$", self._unit().read_text(), re.MULTILINE))

    def _unit(self) -> Path:
        return self.root / "lib/systemd/system/univention-mtpolicyd-compose.service"

    def ucr_set(self, **variables: str) -> None:
        """Replace the settings file as UCR does."""
        new = self.settings.with_name(".new")
        new.write_text(text_of(values_of({f"mtpolicyd/{name}": value for name, value in variables.items()})))
        new.chmod(0o644)
        new.replace(self.settings)

    def execute(self, line: str) -> "subprocess.Popen[bytes]":
        """Start what a line of the unit says."""
        return subprocess.Popen(
            self.unit[line].split(),
            cwd=self.place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, login: str, instance: str) -> str:
        with suppress(OSError, EOFError), PolicyClient(self.port) as client:
            return client.ask(sasl_username=login, instance=instance)
        return ""


@pytest.fixture(scope="module")
def installed(
    engine: Engine, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """Running, and taken away afterwards as the package is purged. Args: checkout: made the base image."""
    directory = tmp_path_factory.mktemp("ucs")
    repository = build(directory)
    root = directory / "root"
    root.mkdir()
    for name in ("univention-mtpolicyd", "univention-mtpolicyd-compose"):
        subprocess.run(["dpkg-deb", "--extract", package(repository, name), root], check=True)
    for path in (directory, root, root / "etc/univention-mtpolicyd"):
        path.chmod(0o755)
    installed = Installed(root, engine, free_port())
    (installed.place / "network.yml").write_text(NETWORK)
    installed.ucr_set(threshold="1000", onfailure="defer")
    assert installed.execute("ExecStartPre").wait() == 0
    running = installed.execute("ExecStart")
    try:
        wait_until(lambda: installed.ask("anna", "a.1") == "DUNNO", seconds=90, what="mail is checked")
        yield installed
    finally:
        assert installed.execute("ExecStop").wait() == 0
        running.wait(60)
        subprocess.run(
            ["docker-compose", "down", "--remove-orphans", "--volumes"],
            cwd=installed.place,
            env=installed.environment,
            capture_output=True,
            check=True,
        )
        shutil.rmtree(directory)


def test_they_refuse_by_country_and_at_the_port_of_the_settings(installed: Installed) -> None:
    """With the settings file of UCS, whose sockets no container has."""
    with PolicyClient(installed.port) as client:
        assert client.ask(sasl_username="bert", client_address="84.128.0.1").startswith("DUNNO")
        assert client.ask(sasl_username="bert", client_address="8.8.8.8").startswith("REJECT 5.7.1")


def test_a_change_of_a_variable_is_in_force_within_three_seconds(installed: Installed) -> None:
    """On a connection that is not closed."""
    with PolicyClient(installed.port) as client:
        assert client.ask(sasl_username="carl", instance="c.0") == "DUNNO"
        installed.ucr_set(threshold="1", onfailure="defer")
        numbers = iter(range(1, 1000))
        wait_until(
            lambda: client.ask(sasl_username="carl", instance=f"c.{next(numbers)}").startswith("DEFER"),
            seconds=3,
            what="the new threshold is in force",
        )
        installed.ucr_set(threshold="1000", onfailure="defer")


def test_the_admin_s_commands_reach_them(installed: Installed, tmp_path: Path) -> None:
    """Those that ask quota go into its container while the unit of the containers is active."""
    script = (UCS / "bin/mtpolicyctl").read_text().replace("/usr/share/", f"{installed.root}/usr/share/")
    (tmp_path / "mtpolicyctl").write_text(script)
    (tmp_path / "systemctl").write_text(
        '#!/bin/sh\n[ "$*" = "is-active --quiet univention-mtpolicyd-compose.service" ]\n'
    )
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    environment = {**installed.environment, "PATH": f"{tmp_path}:{installed.environment['PATH']}"}

    def mtpolicyctl(*arguments: str) -> str:
        done = subprocess.run(
            ["mtpolicyctl", *arguments],
            env=environment,
            executable=tmp_path / "mtpolicyctl",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "anna" in mtpolicyctl("top")
    mtpolicyctl("limit", "set", "dora", "1")
    assert installed.ask("dora", "d.1") == "DUNNO"
    assert installed.ask("dora", "d.2").startswith("DEFER")


def test_the_activation_sees_their_metrics(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not published at this host."""
    monkeypatch.setattr(places, "COMPOSE", installed.place)
    for name, value in installed.environment.items():
        monkeypatch.setenv(name, value)

    assert "mtpolicyd_requests_total" in compose.metrics("frontend")
    assert "mtpolicyd_config_last_reload_success_timestamp_seconds" in compose.metrics("decision")
    assert os.environ["COMPOSE_PROJECT_NAME"] == compose.PROJECT
