"""The whole host: each entrance with its parameters in force, and the verdict on each kind of mail there."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from admin.doctor.clients import KINDS, Kind, Networks
from admin.doctor.endpoint import OurService, never_permits, parse_inet
from admin.doctor.entrances import Entrance, Way, entrances, possible_kinds
from admin.doctor.flows import Ask, Why
from admin.doctor.lists import PolicyService, restrictions, split_braced
from admin.doctor.postconf import Postconf, Service
from admin.doctor.tables import Tables
from admin.doctor.verdict import LISTS, Answer, Verdict, judge
from admin.doctor.walker import Surroundings

# What decides where mail goes, beside the lists.
_PARAMETERS = (
    "mail_version",
    "myhostname",
    "compatibility_level",
    "queue_directory",
    "inet_interfaces",
    "mynetworks",
    "smtpd_service_name",
    "smtpd_delay_reject",
    "smtpd_relay_before_recipient_restrictions",
    "smtpd_restriction_classes",
    "smtpd_helo_required",
    "smtpd_sasl_auth_enable",
    "smtpd_authorized_xclient_hosts",
    "smtpd_upstream_proxy_protocol",
    "smtpd_milters",
    "smtpd_tls_ask_ccert",
    "smtpd_tls_req_ccert",
    "smtpd_tls_wrappermode",
    "smtpd_proxy_filter",
    "content_filter",
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
    """

    entrance: Entrance
    values: Mapping[str, str]
    verdicts: Mapping[Kind, Verdict]
    sites: tuple[Site, ...] = ()
    others: tuple[str, ...] = ()
    networks: Networks = Networks(())

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


class Examination(NamedTuple):
    """What there is to say of the host.

    Attributes:
        main: what main.cf sets, unexpanded.
        values: parameters in force there.
        strangers: submission ports on which something else than Postfix listens.
    """

    main: Mapping[str, str]
    values: Mapping[str, str]
    services: Sequence[Service]
    entrances: Sequence[Examined]
    strangers: Sequence[int] = ()

    @property
    def answer(self) -> Answer:
        """On the mail of those who log in, wherever it can come in."""
        answers = {verdict.answer for examined in self.entrances for verdict in examined.logins}
        answers |= {Answer.UNKNOWN for _ in self.strangers}
        for answer in (Answer.NOT_COVERED, Answer.UNKNOWN, Answer.COVERED):
            if answer in answers:
                return answer
        return Answer.NONE


def examine(postconf: Postconf, ours: OurService) -> Examination:
    """Read Postfix's configuration and judge it. Raises PostfixMissing."""
    main, services, values = postconf.main(), postconf.services(), postconf.values(_PARAMETERS)
    tables = Tables()
    found = [_examine(postconf, entrance, services, ours, tables) for entrance in entrances(services, values)]
    policy_ports = {name for examined in found for name in examined.others}
    return Examination(
        main,
        values,
        services,
        [
            one
            for one in found
            if one.entrance.way is not Way.OTHER or not _serves(one.entrance, policy_ports)
        ],
    )


def _examine(
    postconf: Postconf, entrance: Entrance, services: Sequence[Service], ours: OurService, tables: Tables
) -> Examined:
    service = entrance.service
    # All of them: which ones are restriction classes is one of the answers.
    everything = lower_booleans(postconf.values((), service.overrides))
    values = {name: everything[name] for name in (*_PARAMETERS, *LISTS) if name in everything}
    names = split_braced(values.get("smtpd_restriction_classes", ""))
    classes = {name: split_braced(everything.get(name, "")) for name in names}
    networks = Networks.parse(values.get("mynetworks", ""), tables)
    is_ours = partial(
        ours.is_at, queue_directory=values.get("queue_directory", ""), chroot=is_chrooted(service, values)
    )
    kinds = possible_kinds(entrance, values, networks)
    if entrance.way is not Way.SMTPD:
        # Nothing there ever asks a policy service, and nobody logs in; what a program does, it alone knows.
        answer = Answer.UNKNOWN if entrance.way is Way.OTHER else Answer.NOT_COVERED
        verdict = Verdict(answer, why=(Why(f"way_{entrance.way}", service.name),))
        return Examined(
            entrance, values, {kind: verdict for kind in kinds if entrance.way is Way.OTHER or not kind.login}
        )
    surroundings = Surroundings(
        values,
        classes,
        networks,
        tables,
        lambda endpoint: is_ours(endpoint) or never_permits(endpoint, services),
    )
    verdicts = {
        kind: judge(surroundings, kind, is_ours=is_ours, certain=certain) for kind, certain in kinds.items()
    }
    if service.doubtful:
        doubt = Verdict(Answer.UNKNOWN, why=(Why("option_unread", service.doubtful),))
        verdicts = dict.fromkeys(KINDS, doubt)
    lists = {name: split_braced(values.get(name, "")) for name in LISTS} | classes
    found = list(_sites(lists, values))
    return Examined(
        entrance,
        values,
        verdicts,
        tuple(site for site in found if is_ours(site.service.endpoint)),
        tuple(dict.fromkeys(site.service.endpoint for site in found if not is_ours(site.service.endpoint))),
        networks,
    )


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


def _serves(entrance: Entrance, endpoints: set[str]) -> bool:
    """Whether a program on a port is a policy service that Postfix asks."""
    ports = {inet.port for inet in map(parse_inet, endpoints) if inet is not None}
    return entrance.port in ports


def lower_booleans(values: dict[str, str]) -> dict[str, str]:
    """Postfix takes YES for yes."""
    return {
        name: value.lower() if value.lower() in ("yes", "no") else value for name, value in values.items()
    }
