"""One entrance with its parameters in force, and the verdict on each kind of mail there."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from admin.doctor import filters
from admin.doctor.clients import KINDS, Kind, Networks
from admin.doctor.effects import Surroundings
from admin.doctor.endpoint import OurService, never_permits
from admin.doctor.entrances import Entrance, Way, possible_kinds
from admin.doctor.flows import Ask, Filter, Why
from admin.doctor.lists import PolicyService, restrictions, split_braced
from admin.doctor.postconf import Postconf, Service
from admin.doctor.tables import Tables
from admin.doctor.verdict import LISTS, Answer, Verdict, judge, worse

# What decides where mail goes, beside the lists.
PARAMETERS = (
    "mail_version",
    "myhostname",
    "compatibility_level",
    "queue_directory",
    "inet_interfaces",
    "inet_protocols",
    "mynetworks",
    "master_service_disable",
    "smtpd_service_name",
    "smtpd_delay_reject",
    "smtpd_relay_before_recipient_restrictions",
    "smtpd_restriction_classes",
    "smtpd_helo_required",
    "smtpd_sasl_auth_enable",
    "smtpd_authorized_xclient_hosts",
    "smtpd_upstream_proxy_protocol",
    "postscreen_upstream_proxy_protocol",
    "smtpd_milters",
    "smtpd_milter_maps",
    "smtpd_tls_ask_ccert",
    "smtpd_tls_req_ccert",
    "smtpd_tls_wrappermode",
    "smtpd_proxy_filter",
    "content_filter",
    "cleanup_service_name",
    "receive_override_options",
    "smtpd_policy_service_timeout",
    "smtpd_policy_service_default_action",
    "authorized_submit_users",
    "maillog_file",
)


class Site(NamedTuple):
    """A check_policy_service for our service in a list.

    Attributes:
        parameter: the list, or the restriction class.
        before: the permit_* that stand before it there.
    """

    parameter: str
    service: PolicyService
    before: tuple[str, ...]


class Examined(NamedTuple):
    """One entrance.

    Attributes:
        values: the service's parameters in force.
        verdicts: on each kind of mail that can come in there.
        sites: where our check stands, asked or not.
        others: the policy services that are asked there and are not ours.
        filters: what mail with a login is handed to once it was asked about.
    """

    entrance: Entrance
    values: Mapping[str, str]
    verdicts: Mapping[Kind, Verdict]
    sites: tuple[Site, ...] = ()
    others: tuple[str, ...] = ()
    networks: Networks = Networks(())
    filters: tuple[Filter, ...] = ()

    @property
    def logins(self) -> list[Verdict]:
        """Those on mail with a login that can come in."""
        return [
            verdict
            for kind, verdict in self.verdicts.items()
            if kind.login and verdict.answer is not Answer.NONE
        ]

    @property
    def asks(self) -> list[Ask]:
        """Where our service is asked, for any kind of mail."""
        return list(dict.fromkeys(ask for verdict in self.verdicts.values() for ask in verdict.asks))


class Host(NamedTuple):
    """What all entrances have in common.

    Attributes:
        accepted: names of milters and filters that make nothing unknown.
        stress: whether main.cf speaks of it.
    """

    postconf: Postconf
    ours: OurService
    accepted: frozenset[str]
    services: Sequence[Service]
    stress: bool
    tables: Tables


def examine_entrance(host: Host, entrance: Entrance) -> Examined:
    """Judge each kind of mail that can come in there. Raises PostfixMissing."""
    service = entrance.service
    # All of them: which ones are restriction classes is one of the answers.
    everything = lower_booleans(host.postconf.values((), service.overrides))
    values = {name: everything[name] for name in (*PARAMETERS, *LISTS) if name in everything}
    networks = Networks.parse(values.get("mynetworks", ""), host.tables)
    kinds = possible_kinds(entrance, values, networks)
    if entrance.way in (Way.SENDMAIL, Way.QMQPD):
        # Nothing there ever asks a policy service, and nobody logs in.
        verdict = Verdict(Answer.NOT_COVERED, why=(Why(f"way_{entrance.way}", service.name),))
        return Examined(entrance, values, {kind: verdict for kind in kinds if not kind.login})
    unread = _unread(entrance)
    if unread is not None:
        return Examined(entrance, values, dict.fromkeys(KINDS, Verdict(Answer.UNKNOWN, why=(unread,))))
    is_ours = partial(
        host.ours.is_at,
        queue_directory=values.get("queue_directory", ""),
        chroot=is_chrooted(service, values),
    )

    def verdict_on(kind: Kind, everything: Mapping[str, str]) -> Verdict:
        surroundings = Surroundings(
            everything,
            _classes(everything),
            networks,
            host.tables,
            lambda endpoint: is_ours(endpoint) or never_permits(endpoint, host.services),
        )
        return judge(surroundings, kind, is_ours=is_ours, certain=kinds[kind])

    verdicts = {kind: verdict_on(kind, everything) for kind in kinds}
    if host.stress or "stress" in " ".join(service.overrides.values()):
        # master(8) adds this option while all processes of the service are busy (STRESS_README).
        overrides = {**service.overrides, "stress": "yes"}
        busy = lower_booleans(host.postconf.values((), overrides))
        verdicts = {kind: worse(verdict, verdict_on(kind, busy)) for kind, verdict in verdicts.items()}
    always = list(filters.behind_smtpd(values, _cleanup(host, values), host.tables))
    handed = {
        kind: [*always, *filters.named(verdict.filters, values)]
        for kind, verdict in verdicts.items()
        if kind.login and verdict.answer is not Answer.NONE
    }
    verdicts |= {kind: _in_doubt(verdicts[kind], found, host.accepted) for kind, found in handed.items()}
    lists = {name: split_braced(values.get(name, "")) for name in LISTS} | _classes(everything)
    sites = list(_sites(lists, values))
    return Examined(
        entrance,
        values,
        verdicts,
        tuple(site for site in sites if is_ours(site.service.endpoint)),
        tuple(dict.fromkeys(site.service.endpoint for site in sites if not is_ours(site.service.endpoint))),
        networks,
        tuple(dict.fromkeys(one for found in handed.values() for one in found)),
    )


def _unread(entrance: Entrance) -> Why | None:
    """Why nothing can be known of an entrance, if that is so."""
    if entrance.service.twice:
        return Why("service_twice", entrance.service.key)
    if entrance.service.doubtful:
        return Why("option_unread", entrance.service.doubtful)
    # What a program does, it alone knows.
    return Why("way_other", entrance.service.name) if entrance.way is Way.OTHER else None


def _classes(everything: Mapping[str, str]) -> dict[str, list[str]]:
    names = split_braced(everything.get("smtpd_restriction_classes", ""))
    return {name: split_braced(everything.get(name, "")) for name in names}


def _cleanup(host: Host, values: Mapping[str, str]) -> dict[str, str]:
    """The tables of content of the service that takes the mail of an entrance."""
    name = values.get("cleanup_service_name", "cleanup")
    overrides = next((one.overrides for one in host.services if one.key == f"{name}/unix"), {})
    return host.postconf.values(filters.CONTENT_CHECKS, overrides)


def _in_doubt(verdict: Verdict, handed: Sequence[Filter], accepted: frozenset[str]) -> Verdict:
    """Mail that is asked about, and then handed to something that may send other mail in its place."""
    why = tuple(Why(one.kind, one.name, one.parameter) for one in handed if one.name not in accepted)
    if verdict.answer is not Answer.COVERED or not why:
        return verdict
    return verdict._replace(answer=Answer.UNKNOWN, why=why)


def is_chrooted(service: Service, values: Mapping[str, str]) -> bool:
    """The column of master.cf; `-` is its default, which is no longer `y` since compatibility level 1."""
    level = values.get("compatibility_level", "0").split(".")[0]
    return service.chroot == "y" or (service.chroot == "-" and level == "0")


def _sites(lists: Mapping[str, Sequence[str]], values: Mapping[str, str]) -> Iterator[Site]:
    for parameter, words in lists.items():
        permits: list[str] = []
        for restriction in restrictions(list(words)):
            name = restriction.name.lower()
            if name == "check_policy_service":
                yield Site(parameter, PolicyService.parse(restriction.argument, values), tuple(permits))
            elif name.startswith("permit"):
                permits.append(name)


def lower_booleans(values: dict[str, str]) -> dict[str, str]:
    """Postfix takes YES for yes."""
    return {
        name: value.lower() if value.lower() in ("yes", "no") else value for name, value in values.items()
    }
