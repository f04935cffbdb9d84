"""Postfix's lists of restrictions: is the check asked before a `permit` ends the list?"""

import re
from collections.abc import Iterator
from enum import Enum

# Separated by blanks and commas, except inside braces: postconf(5), "check_policy_service".
_TOKEN = re.compile(r"\{[^{}]*\}|[^\s,{}]+")
POLICY = "check_policy_service"


class Seen(Enum):
    """Whose mail reaches a check, by its place in a list."""

    ALL = "logins from everywhere, mail of this host and of others"
    NOT_FROM_HERE = "logins from outside, but nothing from mynetworks (webmail on this host)"
    NO_LOGIN = "no mail with a login: it comes after permit_sasl_authenticated"
    NOWHERE = "nothing: it is not in the list"


def check_for(address: str) -> str:
    """The check, for main.cf. Mail passes while nobody answers. Args: address: HOST:PORT."""
    return f"{POLICY} {{ inet:{address}, timeout=10s, default_action=DUNNO }}"


def check_without_blanks(address: str) -> str:
    """The same for an option of master.cf, which may hold no blank."""
    return f"{POLICY},{{inet:{address},timeout=10s,default_action=DUNNO}}"


def asks(text: str, address: str) -> bool:
    """Whether some restriction of a list is a check of this address."""
    return any(restriction == f"{POLICY} inet:{address}" for restriction in _restrictions(text))


def seen(text: str, address: str) -> Seen:
    """What a check of this address sees in a list whose parameters are expanded."""
    result = Seen.ALL
    for restriction in _restrictions(text):
        if restriction == f"{POLICY} inet:{address}":
            return result
        if restriction in ("permit", "permit_sasl_authenticated"):
            result = Seen.NO_LOGIN
        elif restriction in ("permit_mynetworks", "permit_inet_interfaces") and result is Seen.ALL:
            result = Seen.NOT_FROM_HERE
    return Seen.NOWHERE


def permits(text: str) -> bool:
    """Whether a list has something that may end it with the mail accepted."""
    return any(restriction.startswith("permit") for restriction in _restrictions(text))


def _restrictions(text: str) -> Iterator[str]:
    """Each with its argument; of a check that has options, those are left out, and a name is an address."""
    words = iter(_TOKEN.findall(text))
    for word in words:
        if word == POLICY:
            argument = next(words, "")
            inside = _TOKEN.findall(argument.strip("{}")) if argument.startswith("{") else [argument]
            service = inside[0] if inside else ""
            yield f"{POLICY} {service.replace('inet:localhost:', 'inet:127.0.0.1:')}"
        else:
            yield word
