"""The little languages of Postfix's parameters: lists with braces, times, and the argument of
check_policy_service.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# CHARS_COMMA_SP and CHARS_BRACE of Postfix's mail_params.h.
SEPARATORS = ", \t\r\n"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def split_braced(text: str, separators: str = SEPARATORS) -> list[str]:
    """The words of a list; what stands in braces stays together, braces and all (mystrtokq(3))."""
    words: list[str] = []
    word, depth = "", 0
    for char in text:
        if depth == 0 and char in separators:
            if word:
                words.append(word)
            word = ""
            continue
        depth += {"{": 1, "}": -1}.get(char, 0)
        depth = max(depth, 0)
        word += char
    return [*words, word] if word else words


def strip_braces(text: str) -> str:
    """What stands inside of one pair of braces; anything else as it is."""
    return text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text


def seconds(text: str, unit: str = "s") -> float | None:
    """A time of Postfix such as `10s`, `100`, `2m`; None if it is none."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text.strip(), re.ASCII)
    return int(found[1]) * _SECONDS[found[2] or unit] if found else None


class PolicyService(NamedTuple):
    """One argument of check_policy_service.

    Attributes:
        text: the argument as Postfix prints it.
        endpoint: `inet:HOST:PORT`, `unix:PATH`.
        timeout: seconds; None: not to be understood.
        default_action: what Postfix does if it gets no reply.
        own: the attributes that the argument itself sets.
    """

    text: str
    endpoint: str
    timeout: float | None
    default_action: str
    own: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str, values: Mapping[str, str]) -> "PolicyService":
        """Args: values: smtpd_policy_service_timeout and smtpd_policy_service_default_action in force."""
        words = split_braced(strip_braces(text)) if text.startswith("{") else [text]
        own = dict(_attribute(word) for word in words[1:])
        timeout = own.get("timeout", values.get("smtpd_policy_service_timeout", "100s"))
        return cls(
            text,
            words[0] if words else "",
            seconds(timeout),
            own.get("default_action", values.get("smtpd_policy_service_default_action", "")),
            tuple(own.items()),
        )


def _attribute(word: str) -> tuple[str, str]:
    name, _, value = strip_braces(word).partition("=")
    return name.strip(), strip_braces(value.strip())


class Restriction(NamedTuple):
    """One restriction with the argument that it takes, empty if it takes none."""

    name: str
    argument: str = ""


# Restrictions with an access table, in Postfix 3.7's smtpd_check.c; another name like these is a class.
IS_TABLE = re.compile(
    r"check_((client|reverse_client_hostname|helo|sender|recipient)(_(ns|mx|a))?|etrn|ccert|sasl)_access"
)
# Those of generic_checks() that read the next word of the list.
_TAKE_ARGUMENT = re.compile(
    IS_TABLE.pattern + r"|check_policy_service|sleep|reject_rbl(_client)?|permit_(dns|rhs)wl_client"
    r"|reject_rhsbl_(client|reverse_client|helo|sender|recipient)"
)


def restrictions(words: list[str]) -> Iterator[Restriction]:
    """The restrictions of a list. A bare table (`hash:/path`) has an empty name."""
    remaining = iter(words)
    for word in remaining:
        if ":" in word:
            yield Restriction("", word)
        elif _TAKE_ARGUMENT.fullmatch(word.lower()):
            yield Restriction(word.lower(), next(remaining, ""))
        else:
            yield Restriction(word)
