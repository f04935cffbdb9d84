"""What follows a change of the variables.

The services look at their file every second and take a change over by themselves, or refuse it and keep what
they have. What is left to do: tell the admin, move the policy port, open the firewall, and start or stop.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from mtpolicyd_ucs import compose, deployment, firewall, places, systemd
from mtpolicyd_ucs.good_values import is_outdated
from mtpolicyd_ucs.in_force import InForce, in_force
from mtpolicyd_ucs.listening import Listening, listening
from mtpolicyd_ucs.registry import ReadableRegistry, load, write_file
from mtpolicyd_ucs.restrictions import POLICY, asks
from mtpolicyd_ucs.telling import warn
from mtpolicyd_ucs.undoing import Changes

PACKAGE = "univention-mtpolicyd"
# How often a file was written anew in a row: there is an end to it, whatever happens.
ANEW = "UNIVENTION_MTPOLICYD_ANEW"
ANEW_AT_MOST = 5


def apply_settings() -> None:
    """Called by UCR once the settings file is written; nothing is raised that could end `ucr set`."""
    if os.environ.get("DPKG_MAINTSCRIPT_PACKAGE") == PACKAGE:
        # The maintainer script does all of it, once everything is in its place.
        return
    anew = int(os.environ.get(ANEW, "0"))
    if anew < ANEW_AT_MOST and is_outdated(load()):
        # Another `ucr set` has overtaken this one, whose file was the last to be put in its place: UCR
        # locks the values, but not what is made of them.
        write_file(places.SETTINGS_FILE, environment={ANEW: str(anew + 1)})
        return
    carry_out(start=False)


def carry_out(*, start: bool) -> None:
    """See deployment.arrange for `start`."""
    with _alone():
        _carry_out(load(), start=start)


@contextmanager
def _alone() -> Iterator[None]:
    """Of two changes at a time the one that comes later sees what there is then."""
    places.LOCK.parent.mkdir(parents=True, exist_ok=True)
    with places.LOCK.open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _carry_out(registry: ReadableRegistry, *, start: bool) -> None:
    found: InForce | None = None
    with _told():
        found = in_force()
        tell(found)
    if found is not None and found.settings is not None:
        with _told():
            where = listening(found.settings)
            if _move(where):
                _follow(registry, where, found.settings)
    with _told():
        deployment.arrange(registry, start=start)


def _follow(registry: ReadableRegistry, where: Listening, settings: Mapping[str, str]) -> None:
    """What goes with the place where the service listens."""
    _tell_postfix_is_elsewhere(registry, where)
    new = _write_if_new(places.COMPOSE_VARIABLES, compose.variables(where, settings))
    if new and not deployment.wants_units(registry):
        if len(where.addresses) > 1:
            warn(f"containers are reached at one address alone: {where.reached_at}")
        systemd.restart_if_active(deployment.CONTAINERS)
    firewall.open_for(registry, where, settings["allowed_clients"])


@contextmanager
def _told() -> Iterator[None]:
    """What fails is told, and the next step is taken nevertheless."""
    try:
        yield
    except (OSError, subprocess.SubprocessError, systemd.UnitError) as error:
        warn(f"the change cannot be applied: {error}")


def tell(found: InForce) -> None:
    """What is wrong, with what it means."""
    for line in found.wrong:
        warn(line)
    if found.wrong and found.settings is not None:
        warn("the settings before stay in force, all of them, until this is mended")
    for line in found.doubtful:
        warn(f"warning: {line}")


def _tell_postfix_is_elsewhere(registry: ReadableRegistry, where: Listening) -> None:
    asking = [value for value in Changes().ours(registry).values() if POLICY in value]
    if asking and not any(asks(value, where.reached_at) for value in asking):
        warn("Postfix still asks where the service was before: run univention-mtpolicyd-activate again")


def _move(where: Listening) -> bool:
    """Have systemd listen there. What cannot be listened on is told, and the place before stays.

    Returns:
        Whether it listens there, or will when it is started.

    Raises:
        UnitError: it listens nowhere.
    """
    before = places.LISTEN_DROP_IN.read_text() if places.LISTEN_DROP_IN.exists() else None
    if before == where.drop_in():
        return True
    running = systemd.is_active(deployment.SOCKET)
    if running and f":{where.port}\n" not in (before or "") and (address := where.taken()):
        # Nobody's connection is closed for what cannot be, with this change of a variable or a later one.
        warn(f"cannot listen on {address}, the address before stays: somebody else does")
        return False
    for address in where.absent():
        warn(f"warning: this host does not have the address {address} now, so nobody reaches it there")
    _write_if_new(places.LISTEN_DROP_IN, where.drop_in())
    systemd.reload_units()
    if not running:
        return True
    try:
        _listen_anew()
    except systemd.UnitError as error:
        warn(f"cannot listen on {where.reached_at}, the address before stays: {error}")
        if before is None:
            places.LISTEN_DROP_IN.unlink()
        else:
            places.LISTEN_DROP_IN.write_text(before)
        systemd.reload_units()
        _listen_anew()
        return False
    return True


def _listen_anew() -> None:
    # A socket cannot start while its service runs: both end, and the socket comes first again.
    systemd.stop(deployment.SOCKET, deployment.FRONTEND)
    systemd.start(deployment.SOCKET, deployment.FRONTEND)


def _write_if_new(path: Path, text: str) -> bool:
    """Replace a file in one step. Returns whether anything has changed."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(path)
    return True
