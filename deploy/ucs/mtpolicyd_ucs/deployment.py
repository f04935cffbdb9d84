"""Units or containers, started at boot or not: `mtpolicyd/deployment` and `mtpolicyd/autostart`."""

from typing import Literal

from mtpolicyd_ucs import compose, systemd
from mtpolicyd_ucs.settings_file import Registry
from mtpolicyd_ucs.telling import say, warn

WHOLE = "univention-mtpolicyd.service"
SOCKET = "univention-mtpolicyd-frontend.socket"
FRONTEND = "univention-mtpolicyd-frontend.service"
# In the order in which one asks the other.
SERVICES = ("univention-mtpolicyd-quota.service", "univention-mtpolicyd-decision.service", FRONTEND)
CONTAINERS = "univention-mtpolicyd-compose.service"

AUTOSTART = "mtpolicyd/autostart"
DEPLOYMENT = "mtpolicyd/deployment"

Autostart = Literal["yes", "manually", "no"]


def autostart(registry: Registry) -> Autostart:
    """UCS's three words; what is none of them is told, and means yes."""
    value = (registry.get(AUTOSTART) or "yes").strip().lower()
    if value in ("no", "false", "0", "never", "off"):
        return "no"
    if value in ("manually", "manual"):
        return "manually"
    if value not in ("yes", "true", "1", "on"):
        warn(f"{AUTOSTART} = {value!r} is not allowed; allowed: yes, manually or no; taken as yes")
    return "yes"


def wants_units(registry: Registry) -> bool:
    """Whether the containers, if they run, are about to be stopped."""
    return _deployment(registry) == "units"


def _deployment(registry: Registry) -> str:
    return (registry.get(DEPLOYMENT) or "units").strip().lower()


def wanted_unit(registry: Registry) -> str:
    """The unit that stands for the whole: the three services, or the containers.

    What cannot be is told, and changes nothing.
    """
    value = _deployment(registry)
    if value == "compose":
        reason = compose.missing()
        if reason is None:
            return CONTAINERS
        warn(f"{DEPLOYMENT} = 'compose' cannot be: {reason}")
        return WHOLE
    if value == "units":
        return WHOLE
    warn(f"{DEPLOYMENT} = {value!r} is not allowed; allowed: units or compose")
    stays = systemd.is_enabled(CONTAINERS) or systemd.is_active(CONTAINERS)
    return CONTAINERS if stays and compose.missing() is None else WHOLE


def arrange(registry: Registry, *, start: bool) -> None:
    """Enable, start and stop what the two variables say.

    Args:
        start: also start what is enabled already and was stopped by hand, as on an installation.

    Raises:
        UnitError: a unit does not start.
    """
    unit = wanted_unit(registry)
    other = WHOLE if unit == CONTAINERS else CONTAINERS
    when = autostart(registry)
    moved = systemd.is_active(other)
    if moved:
        say(f"{other} is stopped, {unit} takes its place")
        _stop(other)
    systemd.disable(other)
    if when == "no":
        systemd.disable(unit)
        if systemd.is_active(unit):
            say(f"{AUTOSTART} = no: {unit} is stopped")
            _stop(unit)
        return
    new = when == "yes" and not systemd.is_enabled(unit)
    if when == "yes":
        systemd.enable(unit)
    else:
        systemd.disable(unit)
    if moved or new or (start and when == "yes"):
        systemd.start(unit)


def remove() -> None:
    """Stop everything and have nothing start again."""
    for unit in (WHOLE, CONTAINERS):
        systemd.disable(unit)
    if systemd.is_active(CONTAINERS):
        _stop(CONTAINERS)
    # Also what was started by hand, or by a connection that has just come.
    _stop(WHOLE)


def _stop(unit: str) -> None:
    """Wait until all of it has ended: systemd waits for this unit alone, which ends first."""
    systemd.stop(unit, *((SOCKET, *reversed(SERVICES)) if unit == WHOLE else ()))
