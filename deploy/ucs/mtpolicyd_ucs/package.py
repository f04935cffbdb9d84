"""The part of the maintainer scripts that knows UCR: `python3 -m mtpolicyd_ucs.package STEP`."""

import shutil
import subprocess
import sys

from mtpolicyd_ucs import applying, compose, deployment, firewall, places, systemd
from mtpolicyd_ucs.registry import load
from mtpolicyd_ucs.telling import say, warn


def configure() -> None:
    """After the files are unpacked and UCR has written the settings: everything runs, with the new code."""
    systemd.reload_units()
    upgraded = systemd.is_active(deployment.WHOLE)
    applying.carry_out(start=True)
    running = systemd.is_active(deployment.WHOLE)
    if upgraded and running:
        # The socket stays: while a service starts anew, Postfix waits and is not refused.
        systemd.restart(*deployment.SERVICES)
    elif running:
        say("the services run. Postfix does not ask them yet; next: univention-mtpolicyd-activate --observe")


def remove() -> None:
    """Before the files are removed: nothing runs, nothing is open, what was written here is gone."""
    registry = load()
    deployment.remove()
    firewall.open_for(registry, None, "")
    shutil.rmtree(places.LISTEN_DROP_IN.parent, ignore_errors=True)
    places.COMPOSE_VARIABLES.unlink(missing_ok=True)
    systemd.reload_units()


def with_containers() -> None:
    """After the files of the containers are unpacked: they run if they are to, and with the new files."""
    systemd.reload_units()
    running = systemd.is_active(deployment.CONTAINERS)
    applying.carry_out(start=True)
    if running:
        systemd.restart_if_active(deployment.CONTAINERS)


def without_containers() -> None:
    """Before the files of the containers are removed; their volumes with the counts stay."""
    if systemd.is_active(deployment.CONTAINERS):
        systemd.stop(deployment.CONTAINERS)
    systemd.disable(deployment.CONTAINERS)
    compose.down()


def main() -> None:
    """A package must be installed and removed even where this fails; it says what."""
    steps = {
        "configure": configure,
        "remove": remove,
        "with-containers": with_containers,
        "without-containers": without_containers,
    }
    try:
        steps[sys.argv[1]]()
    except (OSError, ImportError, subprocess.SubprocessError, systemd.UnitError) as error:
        warn(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
