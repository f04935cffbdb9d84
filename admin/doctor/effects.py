"""What one restriction, or one access table, can do to mail of one kind.

It is known by name, from the kind of mail, and from what a table holds; the restrictions around it do not
matter here. Names are those of generic_checks() in Postfix 3.7's smtpd_check.c: any other may be a
restriction class.
"""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from admin.doctor.clients import LOOPBACK, Kind, Networks, Origin, as_network
from admin.doctor.entrances import own_host_is_own_address
from admin.doctor.flows import End, Flow, Stage, Why
from admin.doctor.tables import Entry, Tables

GO_ON = Flow()
LOOPBACK_6 = ip_address("::1")
# What refuses mail or lets the list go on, whatever is known of the mail.
_REFUSING = {
    "check_recipient_maps",
    "defer_if_reject",
    "defer_unauth_destination",
    "reject_authenticated_sender_login_mismatch",
    "reject_invalid_helo_hostname",
    "reject_invalid_hostname",
    "reject_known_sender_login_mismatch",
    "reject_maps_rbl",
    "reject_multi_recipient_bounce",
    "reject_non_fqdn_helo_hostname",
    "reject_non_fqdn_hostname",
    "reject_non_fqdn_recipient",
    "reject_non_fqdn_sender",
    "reject_plaintext_session",
    "reject_rbl",
    "reject_rbl_client",
    "reject_rhsbl_client",
    "reject_rhsbl_helo",
    "reject_rhsbl_recipient",
    "reject_rhsbl_reverse_client",
    "reject_rhsbl_sender",
    "reject_sender_login_mismatch",
    "reject_unauth_destination",
    "reject_unauth_pipelining",
    "reject_unauthenticated_sender_login_mismatch",
    "reject_unknown_address",
    "reject_unknown_client",
    "reject_unknown_client_hostname",
    "reject_unknown_helo_hostname",
    "reject_unknown_hostname",
    "reject_unknown_recipient_domain",
    "reject_unknown_reverse_client_hostname",
    "reject_unknown_sender_domain",
    "reject_unlisted_recipient",
    "reject_unlisted_sender",
    "reject_unverified_recipient",
    "reject_unverified_sender",
    "sleep",
}
_STAGES = list(Stage)
# The stage from which on there is something to look up; for all others, the client is there at once.
_KNOWN_FROM = {"helo": Stage.HELO, "sasl": Stage.MAIL, "sender": Stage.MAIL, "recipient": Stage.RCPT}


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


class Effects:
    """Of restrictions of one entrance on one kind of mail."""

    def __init__(self, surroundings: Surroundings, kind: Kind) -> None:
        self._s = surroundings
        self._kind = kind

    def simple(self, name: str, stage: Stage) -> list[Flow] | None:
        """The flows of a restriction that asks and looks up nothing; None for one that is not known."""
        match name:
            case "permit":
                return [permit(name)]
            case "reject" | "defer" | "defer_if_permit":
                return [Flow(End.REJECT)]
            case "check_relay_domains" | "permit_auth_destination":
                # check_relay_domains refuses what it does not permit.
                passed = permit(name, condition=True)
                return [passed] if name == "check_relay_domains" else [GO_ON, passed]
            case "permit_mynetworks":
                return self._mynetworks()
            case "permit_inet_interfaces":
                return self._inet_interfaces()
            case "permit_sasl_authenticated":
                return [permit(name)] if self._logged_in(stage) else [GO_ON]
            case "permit_tls_clientcerts" | "permit_tls_all_clientcerts":
                return [GO_ON, permit(name, doubt=True)] if self._certificates else [GO_ON]
            case (
                "permit_mx_backup" | "permit_naked_ip_address" | "permit_dnswl_client" | "permit_rhswl_client"
            ):
                return [GO_ON, permit(name, doubt=True)]
        return [GO_ON] if name in _REFUSING else None

    def answers(self, command: str, table: str, stage: Stage) -> list[tuple[Flow, str | None]]:
        """Each answer of an access table: the flow that leads to it, and the answer; None: it has none."""
        if not self._looked_up(command, stage):
            return [(GO_ON, None)]
        read = self._s.tables.read(table)
        if read.unread:
            doubt = Flow(doubts=(Why("table_unread", f"{table}: {read.unread}"),))
            # It may also lead to a class that asks.
            asking = any(
                "check_policy_service" in map(str.lower, words) for words in self._s.classes.values()
            )
            return [(doubt if asking else GO_ON, None), (doubt, "OK")]
        entries = [
            entry for entry in read.entries if command != "check_client_access" or self._can_match(entry)
        ]
        always = read.always and self._always_looked_up(command, stage) and read.entries[-1] in entries
        by_entry = Flow(conditions=(Why("entry", table),))
        # What has no entry of its own gets the last one, or none.
        found: list[tuple[Flow, str | None]] = [(GO_ON, entries[-1].value if always else None)]
        values = dict.fromkeys(entry.value for entry in entries)
        return found + [(by_entry, value) for value in values if value != found[0][1]]

    def _logged_in(self, stage: Stage) -> bool:
        """Nobody has before MAIL."""
        sasl = self._s.values.get("smtpd_sasl_auth_enable") == "yes"
        return self._kind.login and sasl and _reached(stage, "sasl")

    @property
    def _certificates(self) -> bool:
        return "yes" in (self._s.values.get("smtpd_tls_ask_ccert"), self._s.values.get("smtpd_tls_req_ccert"))

    def _mynetworks(self) -> list[Flow]:
        name = "permit_mynetworks"
        match self._kind.origin:
            case Origin.NETWORK:
                return [permit(name)]
            case Origin.OUTSIDE:
                return [GO_ON]
        held = self._s.networks.hold(LOOPBACK)
        if held is None:
            return [GO_ON, permit(name, doubt=True)]
        if held:
            return [permit(name)]
        # This host has another address of its own.
        by_6 = self._s.networks.hold(LOOPBACK_6) and self._s.values.get("inet_protocols") != "ipv4"
        return [GO_ON, permit(name, condition=True)] if by_6 else [GO_ON]

    def _inet_interfaces(self) -> list[Flow]:
        if self._kind.origin is not Origin.HOST:
            return [GO_ON]
        own = own_host_is_own_address(self._s.values)
        passed = permit("permit_inet_interfaces", doubt=own is None)
        return [passed] if own else [GO_ON, passed]

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

    def _looked_up(self, command: str, stage: Stage) -> bool:
        """Whether there can be a key to look up."""
        if command == "check_sasl_access":
            return self._logged_in(stage)
        if command == "check_ccert_access":
            return self._certificates
        return _reached(stage, command.split("_")[1])

    def _always_looked_up(self, command: str, stage: Stage) -> bool:
        match command:
            case "check_client_access" | "check_sender_access" | "check_sasl_access":
                return True
            case "check_helo_access":
                return self._s.values.get("smtpd_helo_required") == "yes"
            case "check_recipient_access":
                return stage is Stage.RCPT  # later there is no recipient, or there are several
        return False


def permit(name: str, *, condition: bool = False, doubt: bool = False) -> Flow:
    """The flow that a permit_* ends."""
    why = Why("permit", name)
    return Flow(
        End.PERMIT, conditions=(why,) if condition else (), doubts=(why,) if doubt else (), ended_by=(why,)
    )


def _reached(stage: Stage, what: str) -> bool:
    return _STAGES.index(stage) >= _STAGES.index(_KNOWN_FROM.get(what, Stage.CONNECT))
