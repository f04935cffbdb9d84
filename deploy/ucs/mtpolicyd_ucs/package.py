"""The part of the maintainer scripts that knows UCR: `python3 -m mtpolicyd_ucs.package STEP`."""

import shutil
import subprocess
import sys

from mtpolicyd_ucs import applying, deployment, firewall, in_force, places, systemd
from mtpolicyd_ucs.registry import load
from mtpolicyd_ucs.telling import say, warn


def configure() -> None:
    """After the files are unpacked and UCR has written the settings: everything runs, with the new code."""
    registry = load()
    found = in_force.in_force()
    if found.settings is None:
        # A variable was wrong before there was anything to fall back to.
        in_force.make_last_good()
    systemd.reload_units()
    upgraded = systemd.is_active(deployment.TARGET)
    applying.carry_out(registry, start=True)
    if upgraded:
        # The socket stays: while a service starts anew, Postfix waits and is not refused.
        systemd.restart(*deployment.SERVICES)
    elif systemd.is_active(deployment.TARGET):
        say("the services run. Postfix does not ask them yet: see univention-mtpolicyd-activate --help")


def remove() -> None:
    """Before the files are removed: nothing runs, nothing is open, what was written here is gone."""
    registry = load()
    deployment.remove()
    firewall.open_for(registry, None, "")
    shutil.rmtree(places.LISTEN_DROP_IN.parent, ignore_errors=True)
    places.COMPOSE_VARIABLES.unlink(missing_ok=True)
    systemd.reload_units()


def without_containers() -> None:
    """Before the files of the containers are removed."""
    if systemd.is_active(deployment.CONTAINERS):
        systemd.stop(deployment.CONTAINERS)
    systemd.disable(deployment.CONTAINERS)


def main() -> None:
    """A package must be installed and removed even where this fails; it says what."""
    steps = {"configure": configure, "remove": remove, "without-containers": without_containers}
    try:
        steps[sys.argv[1]]()
    except (OSError, ImportError, subprocess.SubprocessError, systemd.UnitError) as error:
        warn(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
