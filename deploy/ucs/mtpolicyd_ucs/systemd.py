"""systemd, as far as it runs here: in a chroot units are enabled and nothing is started."""

import os
import subprocess

from mtpolicyd_ucs import places

SECONDS = 120


class UnitError(Exception):
    """systemctl has not done what it was told; the text says why."""


def runs() -> bool:
    """Whether there is a systemd to talk to, sd_booted(3)."""
    return places.SYSTEMD_RUNS.is_dir()


def is_active(unit: str) -> bool:
    return runs() and _run("systemctl", "is-active", "--quiet", unit).returncode == 0


def is_enabled(unit: str) -> bool:
    return _run("systemctl", "is-enabled", "--quiet", unit).returncode == 0


def enable(unit: str) -> None:
    """At every boot from now on."""
    if not is_enabled(unit):
        _must("enable", "--quiet", unit)


def disable(unit: str) -> None:
    if is_enabled(unit):
        _must("disable", "--quiet", unit)


def start(*units: str) -> None:
    _act("start", *units)


def stop(*units: str) -> None:
    _act("stop", *units)


def restart(*units: str) -> None:
    _act("restart", *units)


def restart_if_active(unit: str) -> None:
    if is_active(unit):
        restart(unit)


def reload_units() -> None:
    """Have changed files of units read."""
    if runs():
        _must("daemon-reload")


def _act(verb: str, *units: str) -> None:
    if not runs():
        return
    # In a maintainer script policy-rc.d has a say, deb-systemd-invoke(1p).
    own = "DPKG_MAINTSCRIPT_PACKAGE" in os.environ
    _check(_run("deb-systemd-invoke" if own else "systemctl", verb, *units))


def _must(*arguments: str) -> None:
    _check(_run("systemctl", *arguments))


def _check(done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode != 0:
        raise UnitError(" ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}")


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
