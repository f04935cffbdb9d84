"""The whole host: each way in, and what is said of all of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from admin.doctor.endpoint import OurService
from admin.doctor.entrances import Way, entrances
from admin.doctor.examined import PARAMETERS, Examined, Host, examine_entrance
from admin.doctor.lists import split_braced
from admin.doctor.postconf import Postconf, PostfixMissing, Service
from admin.doctor.tables import Tables
from admin.doctor.verdict import Answer


class Examination(NamedTuple):
    """What there is to say of the host.

    Attributes:
        main: what main.cf sets, unexpanded.
        values: parameters in force there.
        accepted: names of filters of which the admin knows that they send no other mail.
        strangers: submission ports on which something else than Postfix listens.
        instances: configuration directories of other Postfixes of this host that are on.
    """

    main: Mapping[str, str]
    values: Mapping[str, str]
    services: Sequence[Service]
    entrances: Sequence[Examined]
    accepted: frozenset[str] = frozenset()
    strangers: Sequence[int] = ()
    instances: Sequence[str] = ()

    @property
    def answer(self) -> Answer:
        """On the mail of those who log in, wherever it can come in."""
        answers = {verdict.answer for examined in self.entrances for verdict in examined.logins}
        answers |= {Answer.UNKNOWN for _ in (*self.strangers, *self.instances)}
        for answer in (Answer.NOT_COVERED, Answer.UNKNOWN, Answer.COVERED):
            if answer in answers:
                return answer
        return Answer.NONE


def examine(postconf: Postconf, ours: OurService, accepted: frozenset[str] = frozenset()) -> Examination:
    """Read Postfix's configuration and judge it.

    Args:
        accepted: names of milters and filters that make nothing unknown.

    Raises:
        PostfixMissing: it cannot be read.
    """
    main, services, values = postconf.main(), postconf.services(), postconf.values(PARAMETERS)
    host = Host(postconf, ours, accepted, services, "stress" in " ".join(main.values()), Tables())
    found = [examine_entrance(host, entrance) for entrance in entrances(services, values)]
    asked = _asked_ports([*main.values(), *(endpoint for one in found for endpoint in one.others)])
    return Examination(
        main,
        values,
        services,
        [one for one in found if one.entrance.way is not Way.OTHER or one.entrance.port not in asked],
        accepted,
    )


def other_instances(postconf: Postconf) -> list[str]:
    """Directories of the other instances that postmulti(1) starts, those that cannot be read among them."""
    found = []
    values = postconf.values(["multi_instance_directories"])
    for directory in split_braced(values.get("multi_instance_directories", "")):
        try:
            enabled = Postconf(Path(directory)).values(["multi_instance_enable"])
        except PostfixMissing:
            enabled = {}
        if enabled.get("multi_instance_enable") != "no":
            found.append(directory)
    return found


# A table server, a policy service, a milter: not a way in. What mail is delivered to may be one.
_ASKED = re.compile(r"(?<!mtp:)\b(?:tcp|inet):(?:\[[^\]\s]*\]:|[^][\s,:{}]*:)?([0-9]+)")


def _asked_ports(texts: Iterable[str]) -> set[int]:
    """Ports that Postfix itself asks, as main.cf names them."""
    return {int(port) for text in texts for port in _ASKED.findall(text)}
