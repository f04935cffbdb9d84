"""The container stack in the place of the units: the same settings, the same address and port."""

import shutil
from collections.abc import Mapping

from mtpolicyd_ucs import places
from mtpolicyd_ucs.listening import Listening

PACKAGE = "univention-mtpolicyd-compose"


def missing() -> str | None:
    """Why the containers cannot run here."""
    if not (places.COMPOSE / "docker-compose.yml").exists():
        return f"the package {PACKAGE} is not installed"
    if shutil.which("docker-compose") is None and shutil.which("docker") is None:
        return "neither docker-compose nor docker is installed"
    return None


def variables(where: Listening, settings: Mapping[str, str]) -> str:
    """The text of the file of variables, see .env.example. Docker publishes at one address: the first."""
    address = where.addresses[0]
    values = {
        "COMPOSE_PROJECT_NAME": "univention-mtpolicyd",
        "POLICY_ADDRESS": f"[{address}]" if ":" in address else address,
        "POLICY_PORT": str(where.port),
        # docker-compose.yml has loopback itself.
        "POLICY_CLIENTS": settings["allowed_clients"],
        "SETTINGS_DIRECTORY": str(places.SETTINGS_FILE.parent),
        "GEOIP_DIRECTORY": settings["geoip_directory"],
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
