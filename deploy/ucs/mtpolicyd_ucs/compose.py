"""The container stack in the place of the units: the same settings, the same address and port."""

import os
import shutil
import subprocess
from collections.abc import Mapping

from mtpolicyd_ucs import places
from mtpolicyd_ucs.listening import Listening

PACKAGE = "univention-mtpolicyd-compose"
PROJECT = "univention-mtpolicyd"
SECONDS = 120
METRICS = {"frontend": 9101, "decision": 9102, "quota": 9103}  # in the containers; not published
_READ = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:{}/metrics').read().decode())"


def missing() -> str | None:
    """Why the containers cannot run here."""
    if not (places.COMPOSE / "docker-compose.yml").exists():
        return f"the package {PACKAGE} is not installed"
    if shutil.which("docker-compose") is None:
        return "docker-compose is not installed"
    return None


def variables(where: Listening, settings: Mapping[str, str]) -> str:
    """The text of the file of variables, see .env.example. Docker publishes at one address: the first."""
    address = where.addresses[0]
    values = {
        "COMPOSE_PROJECT_NAME": PROJECT,
        "POLICY_ADDRESS": f"[{address}]" if ":" in address else address,
        "POLICY_PORT": str(where.port),
        # docker-compose.yml has loopback itself.
        "POLICY_CLIENTS": settings["allowed_clients"],
        "SETTINGS_DIRECTORY": str(places.SETTINGS_FILE.parent),
        "GEOIP_DIRECTORY": settings["geoip_directory"],
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def metrics(service: str) -> str:
    """What a service in its container tells Prometheus. Raises OSError."""
    try:
        return compose("exec", "-T", service, "python", "-c", _READ.format(METRICS[service]))
    except subprocess.SubprocessError as error:
        raise OSError(f"the container of {service} does not tell its metrics: {error}") from error


def down() -> None:
    """Remove containers and networks, not the volumes. Raises OSError or subprocess.SubprocessError."""
    if missing() is None:
        compose("down", "--remove-orphans")


def compose(*arguments: str) -> str:
    """What docker-compose prints. Raises OSError or subprocess.SubprocessError."""
    return subprocess.run(
        ["docker-compose", *arguments],
        cwd=places.COMPOSE,
        env={**os.environ, "COMPOSE_PROJECT_NAME": PROJECT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    ).stdout
