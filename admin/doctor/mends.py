"""The commands that put the check where it is asked. Nothing here is run: the admin does that."""

import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from admin.doctor import ucr
from admin.doctor.endpoint import OurService
from admin.doctor.examination import Examination
from admin.doctor.examined import Examined
from admin.doctor.lists import PolicyService, split_braced
from admin.doctor.verdict import RECIPIENT_LIST

RELOAD = "postfix reload"
RELOAD_UCS = "systemctl reload postfix"


class Bench(NamedTuple):
    """What a mend is made from. Args: registry: None where it is no UCS."""

    examination: Examination
    ours: OurService
    registry: ucr.Registry | None

    @property
    def check(self) -> str:
        """The restriction as it should stand in a list."""
        return f"check_policy_service {{ {self.ours.endpoint}, timeout=10s, default_action=DUNNO }}"

    def accept(self, name: str) -> tuple[str, ...]:
        """The call of the doctor by which the admin says that he knows a milter or filter."""
        return (f"mtpolicyctl doctor --accept-filter {shlex.quote(name)}",)

    def put_first(self, examined: Examined) -> tuple[str, ...]:
        """Commands that make the check the first of the recipient restrictions of an entrance, once."""
        overridden = examined.entrance.service.overrides.get(RECIPIENT_LIST)
        if self.registry is not None:
            return (*self._ucs(self.registry, examined, overridden), RELOAD_UCS)
        if overridden is None:
            words = self._without_ours(self.examination.main.get(RECIPIENT_LIST, ""), examined.values)
            value = f"{RECIPIENT_LIST} = {joined([self.check, *words])}"
            return (f"postconf -e {shlex.quote(value)}", RELOAD)
        words = [*split_braced(self.check), *self._without_ours(overridden, examined.values)]
        service = examined.entrance.service.key
        if all(_is_plain(word) for word in words):
            # postconf -P takes no blank, and a list may as well have commas.
            value = ",".join(map(without_blanks, words))
            return (f"postconf -P {shlex.quote(f'{service}/{RECIPIENT_LIST}={value}')}", RELOAD)
        # Nested braces need their blanks: they go into a parameter of main.cf that the service names.
        name = f"mtpolicyd_{service.split('/')[0].replace(':', '_').strip('[]')}_{RECIPIENT_LIST}"
        setting = f"{name} = {joined([self.check, *words[2:]])}"
        return (
            f"postconf -e {shlex.quote(setting)}",
            f"postconf -P {shlex.quote(f'{service}/{RECIPIENT_LIST}=${name}')}",
            RELOAD,
        )

    def _without_ours(self, value: str, values: Mapping[str, str]) -> list[str]:
        """The words of a list without the check for our service."""
        words, found = split_braced(value), []
        position = 0
        while position < len(words):
            argument = words[position + 1] if position + 1 < len(words) else ""
            if words[position].lower() == "check_policy_service" and self._is_ours(argument, values):
                position += 2
                continue
            found.append(words[position])
            position += 1
        return found

    def _is_ours(self, argument: str, values: Mapping[str, str]) -> bool:
        endpoint = PolicyService.parse(argument, values).endpoint
        return self.ours.is_at(endpoint, queue_directory=values.get("queue_directory", ""), chroot=False)

    def _ucs(self, registry: ucr.Registry, examined: Examined, overridden: str | None) -> list[str]:
        if overridden is None:
            prefix = ucr.SMTPD
        elif "$submission_recipient_restrictions" in overridden:
            prefix = ucr.SUBMISSION
        else:
            words = [*split_braced(self.check), *self._without_ours(overridden, examined.values)]
            option = ucr.service_option(examined.entrance.service.name)
            value = ",".join(map(without_blanks, words))
            return [f"ucr set {shlex.quote(f'{ucr.OPTIONS}{option}/{RECIPIENT_LIST}={value}')}"]
        misplaced = [
            slot.key
            for slot in registry.slots(prefix)
            if slot.name != ucr.OUR_SLOT
            and any(
                self._is_ours(argument, examined.values)
                for word, argument in _pairs(split_braced(slot.value))
                if word.lower() == "check_policy_service"
            )
        ]
        commands = [f"ucr unset {' '.join(map(shlex.quote, misplaced))}"] if misplaced else []
        return [*commands, f"ucr set {shlex.quote(f'{prefix}{ucr.OUR_SLOT}={self.check}')}"]


def joined(words: Sequence[str]) -> str:
    """A list as main.cf may have it; the argument of a restriction stays behind it."""
    return " ".join(words)


def without_blanks(word: str) -> str:
    """`{ inet:HOST:PORT, timeout=10s }` as UCS and postconf -P can take it; other words as they are."""
    return f"{{{','.join(split_braced(word[1:-1]))}}}" if word.startswith("{") else word


def _is_plain(word: str) -> bool:
    inner = without_blanks(word)
    return not any(char.isspace() for char in inner) and inner.count("{") <= 1


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise(words))
