"""Postfix as it is configured now, by its own words: postconf(1)."""

import re
import shutil
import socket
import subprocess
from typing import NamedTuple

SECONDS = 60
_NESTED = 10  # parameters in parameters


class Smtpd(NamedTuple):
    """An smtpd of master.cf that clients connect to, with what matters of its parameters, expanded."""

    name: str  # as in master.cf: smtp, 465, submission, 127.0.0.1:2525
    recipient_restrictions: str
    end_of_data_restrictions: str
    takes_logins: bool
    wraps_in_tls: bool

    @property
    def address(self) -> tuple[str, int]:
        """Where it is reached on this host."""
        host, _, port = self.name.rpartition(":")
        number = int(port) if port.isdecimal() else socket.getservbyname(port, "tcp")
        return host.strip("[]") or "127.0.0.1", number


def smtpds() -> list[Smtpd]:
    """All of them. Raises OSError or subprocess.SubprocessError without a Postfix."""
    overrides = _overrides()
    return [_smtpd(name, overrides.get(name, {})) for name in _names()]


def is_installed() -> bool:
    return shutil.which("postconf") is not None


def is_running() -> bool:
    if not is_installed():
        return False
    done = subprocess.run(
        ["postfix", "status"], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
    )
    return done.returncode == 0


def reload() -> None:
    """Have the changed files read. Raises OSError or subprocess.SubprocessError."""
    subprocess.run(
        ["postfix", "reload"], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=True
    )


def hostname() -> str:
    return _parameter("myhostname")


def _names() -> list[str]:
    found = []
    for line in _postconf("-M").splitlines():
        words = line.split()
        # `inet`: what clients connect to; behind postscreen(8) it is a `pass`.
        if len(words) >= 8 and words[1] in ("inet", "pass") and words[7] == "smtpd":
            found.append(words[0])
    return found


def _overrides() -> dict[str, dict[str, str]]:
    """The options of each service in master.cf."""
    found: dict[str, dict[str, str]] = {}
    for line in _postconf("-P").splitlines():
        place, _, value = line.partition("=")
        name, kind, parameter = place.strip().rsplit("/", 2)
        if kind in ("inet", "pass"):
            found.setdefault(name, {})[parameter] = value.strip()
    return found


def _smtpd(name: str, own: dict[str, str]) -> Smtpd:
    def value(parameter: str) -> str:
        return _expanded(own.get(parameter, f"${parameter}"), own)

    return Smtpd(
        name,
        value("smtpd_recipient_restrictions"),
        value("smtpd_end_of_data_restrictions"),
        value("smtpd_sasl_auth_enable") == "yes",
        value("smtpd_tls_wrappermode") == "yes",
    )


def _expanded(text: str, own: dict[str, str]) -> str:
    for _ in range(_NESTED):
        new = re.sub(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+))", lambda match: _value(match, own), text)
        if new == text:
            break
        text = new
    return text


def _value(match: re.Match[str], own: dict[str, str]) -> str:
    name = match[1] or match[2] or match[3]
    return own.get(name) or _parameter(name)


def _parameter(name: str) -> str:
    return _postconf("-h", name).strip()


def _postconf(*arguments: str) -> str:
    # Warnings about unused parameters are none of ours.
    return subprocess.run(
        ["postconf", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    ).stdout
