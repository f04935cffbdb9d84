"""Follows one kind of mail through a restriction list, as generic_checks() of Postfix's smtpd_check.c does.

What a restriction can do to a mail is a few flows (flows.py, effects.py). A reject_* ends only mail that does
not come in, so it is passed over. `permit` ends the list, DUNNO goes on. What is not known to be one or the
other is a flow in doubt.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from admin.doctor.clients import Kind
from admin.doctor.effects import GO_ON, Effects, Surroundings
from admin.doctor.flows import Ask, End, Filter, Flow, Stage, Why, joined
from admin.doctor.lists import IS_TABLE, PolicyService, Restriction, restrictions, split_braced

MAX_DEPTH = 20
# Actions of access(5) behind which the list goes on.
_GO_ON = {"dunno", "info", "warn", "hold", "redirect", "bcc", "prepend", "defer_if_reject"}
_ENDS = {"reject", "defer", "hangup", "discard", "defer_if_permit"}
# Tables that may not answer OK.
_NO_OK = re.compile(r"check_\w+_(ns|mx|a)_access")
# What a bare table means in a list (the def_acl of each smtpd_check_*()).
_SHORTHAND = {
    "smtpd_client_restrictions": "check_client_access",
    "smtpd_helo_restrictions": "check_helo_access",
    "smtpd_sender_restrictions": "check_sender_access",
    "smtpd_relay_restrictions": "check_recipient_access",
    "smtpd_recipient_restrictions": "check_recipient_access",
}


class Walker:
    """Walks the lists of one entrance for one kind of mail."""

    def __init__(self, surroundings: Surroundings, kind: Kind) -> None:
        self._surroundings = surroundings
        self._effects = Effects(surroundings, kind)

    def walk(self, parameter: str, words: Sequence[str], stage: Stage) -> list[Flow]:
        """The flows of mail that a whole list does not refuse, each at its end."""
        return _List(self._surroundings, self._effects, parameter, words, stage).flows()


class _List:
    """One list, and the classes and table entries that it leads to."""

    def __init__(
        self,
        surroundings: Surroundings,
        effects: Effects,
        parameter: str,
        words: Sequence[str],
        stage: Stage,
    ) -> None:
        self._surroundings = surroundings
        self._effects = effects
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
        if IS_TABLE.fullmatch(name):
            return self._table(name, argument, warn=warn, depth=depth) if ":" in argument else refused
        if name == "":
            return refused  # a bare table where none may stand: a server error for each mail
        simple = self._effects.simple(name, self._stage)
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
        for way, answer in self._effects.answers(command, table, self._stage):
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
        if action == "filter":
            return [Flow(filter=Filter("filter", table, "".join(answer.split(maxsplit=1)[1:])))]
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
