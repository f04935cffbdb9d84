"""What docker-compose.yml, .env.example and the image say agrees with each other and with the services."""

import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from chassis.config import CONFIG, check, read_file
from chassis.settings import declarations, registered
from tests.support.programs import require_program
from tests.support.protos import ROOT

COMPOSE_FILES = ("docker-compose.yml", "deploy/compose.metrics.yml", "deploy/compose.notify.yml")
# What the containers decide. The environment beats the file: any other name would hide a line of the admin's.
DECIDED_BY_COMPOSE = re.compile(r"MTPOLICYD_(CONFIG|HOST|PORT|ALLOWED_CLIENTS|\w+_(LISTEN|TARGET|METRICS))")
OF_COMPOSE_ITSELF = {"COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "COMPOSE_FILE"}


def variables_of_compose() -> dict[str, str]:
    """Each variable with its default."""
    text = "".join((ROOT / name).read_text() for name in COMPOSE_FILES)
    found = re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", text)
    assert len(found) == len(re.findall(r"(?<!\$)\$\{[A-Z]", text)), "a variable has no default"
    defaults = dict(found)
    assert all(defaults[name] == default for name, default in found), "a variable has two defaults"
    return defaults


def test_every_variable_is_explained_with_its_default() -> None:
    """.env.example has no other ones, and would change nothing if it were copied."""
    lines = re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    explained = {name: value for name, value in lines if name not in OF_COMPOSE_ITSELF}

    assert explained == variables_of_compose()
    assert ("COMPOSE_PROFILES", "monitoring") in lines


def test_monitoring_is_on_by_default() -> None:
    """`docker compose up` starts everything: .env says so, and nothing else."""
    lines = (ROOT / ".env").read_text().splitlines()

    assert [line for line in lines if not line.startswith("#")] == ["COMPOSE_PROFILES=monitoring"]


def test_compose_hides_no_setting_of_the_file() -> None:
    """Every setting that it names exists, and is one that containers decide."""
    names = set(re.findall(r"MTPOLICYD_\w+", (ROOT / "docker-compose.yml").read_text()))
    known = {item.name for item in declarations(registered().values())} | {CONFIG}

    assert names <= known
    assert [name for name in names if not DECIDED_BY_COMPOSE.fullmatch(name)] == []


@pytest.mark.parametrize("service", ["frontend", "decision", "quota"])
def test_the_settings_of_the_containers_are_good(service: str) -> None:
    """Nobody has to edit a file before the first start."""
    config = check(registered()[service], read_file(ROOT / "deploy/settings/settings.toml"))

    assert config.doubts == ()


def test_the_image_has_the_version_of_the_project() -> None:
    """In its label."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert f'org.opencontainers.image.version="{version}"' in (ROOT / "deploy/Dockerfile").read_text()


def test_the_data_source_has_the_scrape_interval() -> None:
    """Grafana makes $__rate_interval of it."""
    interval = re.search(r"scrape_interval: (\w+)", (ROOT / "deploy/prometheus/prometheus.yml").read_text())
    source = (ROOT / "deploy/grafana/provisioning/datasources/mtpolicyd.yml").read_text()

    assert interval
    assert f"timeInterval: {interval[1]}\n" in source


def test_the_image_has_every_package() -> None:
    """A command whose package is missing would end every mtpolicyctl."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = re.findall(r"^COPY (\w+) \1$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)

    assert sorted(copied) == sorted(packages)
    assert {f"!{package}" for package in packages} <= set((ROOT / ".dockerignore").read_text().split())


@pytest.mark.parametrize(
    ("file", "network"), [("deploy/compose.notify.yml", "outside"), ("deploy/compose.metrics.yml", "metrics")]
)
def test_compose_understands_each_further_file(file: str, network: str) -> None:
    """Over docker-compose.yml, as the documents name it: quota gets one more network, and keeps the rest."""
    compose = require_program("docker-compose", packages="docker-compose")

    def quota(*files: str) -> dict[str, Any]:
        named = [word for name in files for word in ("--file", name)]
        told = subprocess.run(
            [compose, *named, "config"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        found: dict[str, Any] = yaml.safe_load(told.stdout)["services"]["quota"]
        return found

    alone, both = quota("docker-compose.yml"), quota("docker-compose.yml", file)

    assert both["networks"].keys() - alone["networks"].keys() == {network}
    assert alone["networks"].keys() <= both["networks"].keys()
    assert alone["environment"].items() <= both["environment"].items()
    assert set(alone["volumes"]) <= set(both["volumes"])
