"""Univention Configuration Registry: what UCS makes main.cf and master.cf from, and how to change it there.

UCS joins the values below `mail/postfix/smtpd/restrictions/recipient/` to smtpd_recipient_restrictions,
sorted as strings by their keys. `mail/postfix/submission/restrictions/recipient/` makes
submission_recipient_restrictions, which a service of master.cf has to name. The files are world-readable,
`KEY: VALUE` a line; a later layer hides an earlier.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

DIRECTORY = Path("/etc/univention")
_LAYERS = ("base-defaults.conf", "base.conf", "base-ldap.conf", "base-schedule.conf", "base-forced.conf")
SMTPD = "mail/postfix/smtpd/restrictions/recipient/"
SUBMISSION = "mail/postfix/submission/restrictions/recipient/"
OPTIONS = "mail/postfix/mastercf/options/"
OUR_SLOT = "08-mtpolicyd"
# What UCS itself adds, beside the keys (conffiles/etc/postfix/main.cf.d/50_restrictions).
_LISTFILTER = "mail/postfix/policy/listfilter"
_GREYLISTING = "mail/postfix/greylisting"


class Slot(NamedTuple):
    """One entry of the list that UCS makes. `name` is the last part of the key."""

    key: str
    value: str

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def number(self) -> int | None:
        """What the admin will have meant by the name."""
        found = re.match(r"[0-9]{1,9}", self.name)
        return int(found[0]) if found else None


class Registry(NamedTuple):
    """Args: values: in force; unread: files that exist and cannot be read."""

    values: Mapping[str, str]
    unread: tuple[str, ...] = ()

    def slots(self, prefix: str = SMTPD) -> list[Slot]:
        """The list's entries in the order in which UCS joins them: that of strings."""
        return sorted(Slot(key, value) for key, value in self.values.items() if key.startswith(prefix))


def read(directory: Path = DIRECTORY) -> Registry | None:
    """The registry of this host; None where there is none: it is no UCS."""
    if not (directory / "base.conf").exists():
        return None
    values: dict[str, str] = {}
    unread = []
    for layer in _LAYERS:
        try:
            values.update(_pairs((directory / layer).read_text("utf-8", "surrogateescape")))
        except FileNotFoundError:
            continue
        except OSError as error:
            unread.append(f"{directory / layer}: {error.strerror}")
    return Registry(values, tuple(unread))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, found, value = line.partition(": ")
        if found and not line.startswith("#"):
            yield key.strip(), value.strip()


def service_option(service: str) -> str:
    """How UCS names a service of master.cf below mail/postfix/mastercf/options/."""
    return {"465": "smtps", "smtps": "smtps", "587": "submission", "submission": "submission"}.get(
        service, "smtp"
    )


def out_of_order(slots: list[Slot], ours: Slot) -> list[Slot]:
    """The permits of the list that stand on the other side of our slot than their numbers say."""
    if ours.number is None:
        return []
    return [
        slot
        for slot in slots
        if slot.value.lower().startswith("permit")
        and slot.number is not None
        and slot.number != ours.number
        and (slot.key < ours.key) != (slot.number < ours.number)
    ]
