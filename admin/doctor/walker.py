"""Follows one kind of mail through a restriction list, as generic_checks() of Postfix's smtpd_check.c does.

What a restriction can do to a mail is a few flows (flows.py). A reject_* ends only mail that does not come
in, so it is passed over. `permit` ends the list, DUNNO goes on. What is not known to be one or the other is
a flow in doubt.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from admin.doctor.clients import LOOPBACK, Kind, Networks, Origin, as_network
from admin.doctor.entrances import own_host_is_own_address
from admin.doctor.flows import Ask, End, Flow, Stage, Why, joined
from admin.doctor.lists import PolicyService, Restriction, restrictions, split_braced
from admin.doctor.tables import Entry, Tables

MAX_DEPTH = 20
GO_ON = Flow()
PERMIT = End.PERMIT
_NO_OK = re.compile(r"check_(client|helo|sender|recipient|reverse_client_hostname)_(ns|mx|a)_access")
# Actions of access(5) behind which the list goes on.
_GO_ON = {"dunno", "info", "warn", "filter", "hold", "redirect", "bcc", "prepend", "defer_if_reject"}
_ENDS = {"reject", "defer", "hangup", "discard", "defer_if_permit"}
# What a bare table means in a list (the def_acl of each smtpd_check_*()).
_SHORTHAND = {
    "smtpd_client_restrictions": "check_client_access",
    "smtpd_helo_restrictions": "check_helo_access",
    "smtpd_sender_restrictions": "check_sender_access",
    "smtpd_relay_restrictions": "check_recipient_access",
    "smtpd_recipient_restrictions": "check_recipient_access",
}


class Surroundings(NamedTuple):
    """What does not change within an entrance.

    Attributes:
        values: its parameters in force.
        classes: the restriction classes, by name.
        never_permits: whether a policy service is known never to say OK.
    """

    values: Mapping[str, str]
    classes: Mapping[str, Sequence[str]]
    networks: Networks
    tables: Tables
    never_permits: Callable[[str], bool]


class Walker:
    """Walks the lists of one entrance for one kind of mail."""

    def __init__(self, surroundings: Surroundings, kind: Kind) -> None:
        self._s = surroundings
        self._kind = kind
        self._sasl = surroundings.values.get("smtpd_sasl_auth_enable") == "yes"

    def walk(self, parameter: str, words: Sequence[str], stage: Stage) -> list[Flow]:
        """The flows of mail that a whole list does not refuse, each at its end."""
        return _List(self, parameter, words, stage).flows()

    def simple(self, name: str) -> list[Flow] | None:
        """The flows of a restriction that asks and looks up nothing; None for one that is not known."""
        match name:
            case "permit":
                return [_permit(name)]
            case "reject" | "defer" | "defer_if_permit" | "check_relay_domains":
                # check_relay_domains refuses what it does not permit.
                return [_permit(name, condition=True)] if name.startswith("check") else [Flow(End.REJECT)]
            case "permit_mynetworks":
                return self._mynetworks()
            case "permit_inet_interfaces":
                return self._inet_interfaces()
            case "permit_sasl_authenticated":
                return [_permit(name)] if self._kind.login and self._sasl else [GO_ON]
            case "permit_tls_clientcerts" | "permit_tls_all_clientcerts":
                return [GO_ON, _permit(name, doubt=True)] if self._certificates else [GO_ON]
            case "permit_auth_destination":
                return [GO_ON, _permit(name, condition=True)]
            case (
                "permit_mx_backup" | "permit_naked_ip_address" | "permit_dnswl_client" | "permit_rhswl_client"
            ):
                return [GO_ON, _permit(name, doubt=True)]
        known = name.startswith(("reject_", "defer_")) or name in ("sleep", "check_recipient_maps")
        return [GO_ON] if known else None

    def table(self, command: str, table: str, stage: Stage) -> list[tuple[Flow, str | None]]:
        """Each answer of an access table: the flow that leads to it, and the answer; None: it has none."""
        if command == "check_sasl_access" and not (self._kind.login and self._sasl):
            return [(GO_ON, None)]
        if command == "check_ccert_access" and not self._certificates:
            return [(GO_ON, None)]
        read = self._s.tables.read(table)
        if read.unread:
            doubt = Why("table_unread", f"{table}: {read.unread}")
            return [(GO_ON, None), (Flow(doubts=(doubt,)), "OK")]
        entries = [
            entry for entry in read.entries if command != "check_client_access" or self._can_match(entry)
        ]
        always = read.always and self._always_looked_up(command, stage) and read.entries[-1] in entries
        by_entry = Flow(conditions=(Why("entry", table),))
        # What has no entry of its own gets the last one, or none.
        found: list[tuple[Flow, str | None]] = [(GO_ON, entries[-1].value if always else None)]
        answers = dict.fromkeys(entry.value for entry in entries)
        return found + [(by_entry, answer) for answer in answers if answer != found[0][1]]

    @property
    def surroundings(self) -> Surroundings:
        return self._s

    @property
    def _certificates(self) -> bool:
        return "yes" in (self._s.values.get("smtpd_tls_ask_ccert"), self._s.values.get("smtpd_tls_req_ccert"))

    def _mynetworks(self) -> list[Flow]:
        permit = _permit("permit_mynetworks")
        match self._kind.origin:
            case Origin.NETWORK:
                return [permit]
            case Origin.OUTSIDE:
                return [GO_ON]
        held = self._s.networks.hold(LOOPBACK)
        if held is None:
            return [GO_ON, _permit("permit_mynetworks", doubt=True)]
        return [permit] if held else [GO_ON]

    def _inet_interfaces(self) -> list[Flow]:
        if self._kind.origin is not Origin.HOST:
            return [GO_ON]
        own = own_host_is_own_address(self._s.values)
        permit = _permit("permit_inet_interfaces", doubt=own is None)
        return [permit] if own else [GO_ON, permit]

    def _can_match(self, entry: Entry) -> bool:
        """Whether an entry of a check_client_access table can be about such a client."""
        network = as_network(entry.key)
        if entry.key.lower() in ("localhost", "localhost.localdomain"):
            return self._kind.origin is Origin.HOST
        if network is None or network.prefixlen == 0:
            return True
        loopback = network.is_loopback or (LOOPBACK.version == network.version and LOOPBACK in network)
        match self._kind.origin:
            case Origin.HOST:
                return loopback
            case Origin.NETWORK:
                return not network.is_loopback
        trusted = self._s.networks.hold(network.network_address) and self._s.networks.hold(
            network.broadcast_address
        )
        return not network.is_loopback and not trusted

    def _always_looked_up(self, command: str, stage: Stage) -> bool:
        match command:
            case "check_client_access" | "check_sender_access" | "check_sasl_access":
                return True
            case "check_helo_access":
                return self._s.values.get("smtpd_helo_required") == "yes"
            case "check_recipient_access":
                return stage is Stage.RCPT  # later there is no recipient, or there are several
        return False


class _List:
    """One list, and the classes and table entries that it leads to."""

    def __init__(self, walker: Walker, parameter: str, words: Sequence[str], stage: Stage) -> None:
        self._walker = walker
        self._surroundings = walker.surroundings
        self._parameter = parameter
        self._stage = stage
        self._restrictions = list(restrictions(list(words)))
        self._position = 0

    def flows(self) -> list[Flow]:
        found = self._run(self._restrictions, warn=False, through="", depth=0)
        return [
            replace(flow, ended_by=tuple(why._replace(parameter=self._parameter) for why in flow.ended_by))
            for flow in found
        ]

    def _run(self, found: Sequence[Restriction], *, warn: bool, through: str, depth: int) -> list[Flow]:
        flows, warned = [GO_ON], warn
        for position, restriction in enumerate(found, 1):
            if depth == 0:
                self._position = position
            if restriction.name.lower() == "warn_if_reject":
                warned = True
                continue
            going = [flow for flow in flows if flow.end is End.NEXT]
            if not going:
                break
            branches = self._step(restriction, warn=warned, through=through, depth=depth)
            ended = [flow for flow in flows if flow.end is not End.NEXT]
            flows = joined([*ended, *(flow.then(branch) for flow in going for branch in branches)])
            warned = warn
        return flows

    def _step(self, restriction: Restriction, *, warn: bool, through: str, depth: int) -> list[Flow]:
        name, argument = restriction.name.lower(), restriction.argument
        refused = [GO_ON] if warn else [Flow(End.REJECT)]
        if depth > MAX_DEPTH:
            return refused
        if not name:
            name = _SHORTHAND.get(self._parameter, "")
        if name == "check_policy_service":
            return self._policy(argument, warn=warn, through=through) if ":" in argument else refused
        if re.fullmatch(r"check_\w+_access", name):
            return self._table(name, argument, warn=warn, depth=depth) if ":" in argument else refused
        if name == "":
            return refused  # a bare table where none may stand: a server error for each mail
        simple = self._walker.simple(name)
        if simple is not None:
            return refused if simple == [Flow(End.REJECT)] else simple
        if restriction.name in self._surroundings.classes:
            inner = list(restrictions(list(self._surroundings.classes[restriction.name])))
            where = through or restriction.name
            return self._run(inner, warn=warn, through=where, depth=depth + 1)
        doubt = Why("unknown_restriction", restriction.name)
        return [GO_ON, Flow(End.PERMIT, doubts=(doubt,), ended_by=(doubt,))]

    def _policy(self, argument: str, *, warn: bool, through: str) -> list[Flow]:
        service = PolicyService.parse(argument, self._surroundings.values)
        names = [restriction.name.lower() for restriction in self._restrictions]
        ask = Ask(
            service,
            self._parameter,
            self._stage,
            self._position,
            not warn,
            through,
            tuple(name for name in names[: self._position - 1] if name.startswith("permit")),
            tuple(name for name in names[self._position :] if name.startswith("permit")),
        )
        asked = Flow(asks=(ask,))
        if self._surroundings.never_permits(service.endpoint):
            return [asked]
        doubt = Why("other_policy_service", service.endpoint)
        return [asked, Flow(End.PERMIT, asks=(ask,), doubts=(doubt,), ended_by=(doubt,))]

    def _table(self, command: str, table: str, *, warn: bool, depth: int) -> list[Flow]:
        flows = []
        for way, answer in self._walker.table(command, table, self._stage):
            for branch in [GO_ON] if answer is None else self._answer(answer, table, warn=warn, depth=depth):
                flow = way.then(branch)
                if flow.end is End.PERMIT and _NO_OK.fullmatch(command):
                    continue  # forbid_allowlist(): a server error
                flows.append(flow)
        return joined(flows)

    def _answer(self, answer: str, table: str, *, warn: bool, depth: int) -> list[Flow]:
        """check_table_result() of smtpd_check.c."""
        action = answer.split(maxsplit=1)[0].lower() if answer.strip() else "ok"
        permit = Flow(End.PERMIT, ended_by=(Why("table_permits", table),))
        refused = [GO_ON] if warn else [Flow(End.REJECT)]
        if action in _GO_ON:
            return [GO_ON]
        if action in ("ok", "relay") or answer.isdecimal():
            return [permit]
        if action in _ENDS:
            # DISCARD takes the mail and throws it away, warn_if_reject or not.
            return [Flow(End.REJECT)] if action == "discard" else refused
        if re.fullmatch(r"[45][0-9]{2}", action):
            return refused
        if "$" in answer:
            doubt = Why("table_unread", f"{table}: {answer}")
            return [GO_ON, Flow(End.PERMIT, doubts=(doubt,), ended_by=(Why("table_permits", table),))]
        if ":" in answer:
            return refused  # a server error: tables and services must stand in a restriction class
        inner = list(restrictions(split_braced(answer)))
        return self._run(inner, warn=warn, through=table, depth=depth + 1)


def _permit(name: str, *, condition: bool = False, doubt: bool = False) -> Flow:
    why = Why("permit", name)
    return Flow(
        End.PERMIT, conditions=(why,) if condition else (), doubts=(why,) if doubt else (), ended_by=(why,)
    )
