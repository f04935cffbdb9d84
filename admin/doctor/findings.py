"""What is wrong at the entrances, each with its mend."""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from admin.doctor import ucr
from admin.doctor.entrances import Way
from admin.doctor.examined import Examined, Site
from admin.doctor.filters import KINDS as FILTERS
from admin.doctor.flows import COUNTED
from admin.doctor.mends import RELOAD, RELOAD_UCS, Bench
from admin.doctor.verdict import EARLY_LISTS, RECIPIENT_LIST, Answer
from frontend.asker import DECISION_SECONDS

# smtpd's own client waits so long twice; Postfix's default of 100 s is longer than clients wait.
LONG_SECONDS = 60.0


# What only an editor mends.
_OF_MASTER_CF = ("option_unread", "service_twice")


class Severity(StrEnum):
    """How bad: an error leaves mail unguarded, or harms; an unknown keeps from saying that all is well."""

    ERROR = "error"
    UNKNOWN = "unknown"
    WARNING = "warning"
    INFO = "info"


class Finding(NamedTuple):
    """One thing to say.

    Attributes:
        id: of its sentence in wording.py.
        where: the entrances that it is about; empty: the host.
        details: what the sentence speaks of.
        mend: the commands.
    """

    id: str
    severity: Severity
    where: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()


def at_entrances(bench: Bench) -> list[Finding]:
    """What is wrong at any entrance; the same thing at several is one finding."""
    found = [finding for examined in bench.examination.entrances for finding in _at_entrance(bench, examined)]
    return merged(found)


def merged(found: Iterable[Finding]) -> list[Finding]:
    """Findings that differ in nothing but the entrance, joined; in the order of the first."""
    joined: dict[Finding, list[str]] = {}
    for finding in found:
        joined.setdefault(finding._replace(where=()), []).extend(finding.where)
    return [finding._replace(where=tuple(dict.fromkeys(where))) for finding, where in joined.items()]


def _at_entrance(bench: Bench, examined: Examined) -> Iterator[Finding]:
    where = (examined.entrance.name,)
    if examined.entrance.way is Way.QMQPD:
        yield Finding("qmqpd", Severity.WARNING, where)
    if examined.entrance.way is Way.OTHER:
        yield Finding("other_program", Severity.UNKNOWN, where, (examined.entrance.service.command,))
    if examined.entrance.way is not Way.SMTPD:
        return
    if any(why.key == "smtpd_cannot_start" for verdict in examined.verdicts.values() for why in verdict.why):
        yield Finding("smtpd_cannot_start", Severity.WARNING, where)
        return
    mend = bench.put_first(examined)
    if any(verdict.answer is Answer.NOT_COVERED for verdict in examined.logins):
        yield from (finding._replace(where=where) for finding in _uncovered(bench, examined, mend))
    for verdict in examined.logins:
        if verdict.answer is Answer.UNKNOWN:
            for why in verdict.why:
                if why.key not in ("entry", *FILTERS):
                    commands = () if why.key in _OF_MASTER_CF else mend
                    yield Finding(f"unknown_{why.key}", Severity.UNKNOWN, where, (why.detail,), commands)
    yield from (finding._replace(where=where) for finding in _about_sites(bench, examined, mend))
    yield from (finding._replace(where=where) for finding in _surroundings(examined))
    yield from (finding._replace(where=where) for finding in _filters(bench, examined))


def _uncovered(bench: Bench, examined: Examined, mend: tuple[str, ...]) -> Iterator[Finding]:
    """Why mail with a login is certainly not asked about."""
    missed = [verdict for verdict in examined.logins if verdict.answer is Answer.NOT_COVERED]
    reasons = dict.fromkeys(why for verdict in missed for why in verdict.why)
    asks = [ask for verdict in missed for ask in verdict.asks]
    permits = {(why.parameter, why.detail) for why in reasons if why.key == "permit"}
    lists = {site.parameter for site in examined.sites} | {ask.parameter for ask in asks}
    number = 0
    for ask in dict.fromkeys(asks):
        if not ask.heeded:
            yield Finding("answer_ignored", Severity.ERROR, (), (ask.parameter,), mend)
            number += 1
        elif ask.stage not in COUNTED:
            yield Finding("asked_too_early", Severity.ERROR, (), (ask.parameter, ask.stage), mend)
            number += 1
    for why in reasons:
        if why.key == "table_permits" and why.parameter in lists:
            yield Finding("table_lets_pass", Severity.ERROR, (), (why.detail,), mend)
            number += 1
    for site in examined.sites:
        passed = [name for name in dict.fromkeys(site.before) if (site.parameter, name) in permits]
        slot = _slot(bench, site) if "permit_sasl_authenticated" in passed else ""
        if passed:
            name = "ucs_slot" if slot else "check_after_permit"
            yield Finding(name, Severity.ERROR, (), (slot or site.parameter, ", ".join(passed)), mend)
            number += 1
    through = dict.fromkeys(ask.through for ask in asks if ask.through)
    if through and not number:
        yield Finding("only_some", Severity.ERROR, (), (", ".join(through),), mend)
        number += 1
    if number:
        return
    elsewhere = _elsewhere(bench, examined)
    for endpoint in elsewhere:
        yield Finding("wrong_endpoint", Severity.ERROR, (), (endpoint, bench.ours.endpoint), mend)
    if elsewhere:
        return
    own = examined.entrance.service.overrides.get(RECIPIENT_LIST)
    if own is None:
        yield Finding("no_check", Severity.ERROR, (), (), mend)
    elif own.strip():
        yield Finding("own_list_without_check", Severity.ERROR, (), (own,), mend)
    else:
        yield Finding("list_emptied", Severity.ERROR, (), (RECIPIENT_LIST,), mend)


def _slot(bench: Bench, site: Site) -> str:
    """The key of UCR that puts the check there, empty if there is none."""
    if bench.registry is None or site.parameter not in (RECIPIENT_LIST, "submission_recipient_restrictions"):
        return ""
    for prefix in (ucr.SMTPD, ucr.SUBMISSION):
        for slot in bench.registry.slots(prefix):
            if site.service.endpoint in slot.value:
                return slot.key
    return ""


# Policy services that are known by their ports: Postgrey, iRedAPD, Dovecot's quota-status, cluebringer.
_WELL_KNOWN = (":10023", ":7777", ":12340", ":10031", ":10030", ":10040", ":60000")


def _elsewhere(bench: Bench, examined: Examined) -> list[str]:
    """Policy services that may be meant to be ours, where ours does not stand."""
    if examined.sites:
        return []
    return [
        endpoint
        for endpoint in examined.others
        if not endpoint.endswith(_WELL_KNOWN)
        and (endpoint.startswith("inet:") or "mtpolicyd" in endpoint)
        and re.search(r"mtpolicyd|^inet:(127\.|localhost|\[::1\]|\[?[0-9])", endpoint)
    ]


def _about_sites(bench: Bench, examined: Examined, mend: tuple[str, ...]) -> Iterator[Finding]:
    for site in examined.sites:
        service = site.service
        action = (service.default_action.split(maxsplit=1) or [""])[0].lower()
        if action in ("ok", "permit", "relay") or re.fullmatch(r"[0-9]+", service.default_action):
            yield Finding(
                "default_action_permits", Severity.ERROR, (), (site.parameter, service.default_action), mend
            )
        elif action not in ("dunno", "warn", "info", "prepend"):
            yield Finding(
                "no_default_action", Severity.WARNING, (), (site.parameter, service.default_action), mend
            )
        if service.timeout is None or service.timeout <= DECISION_SECONDS:
            shown = "?" if service.timeout is None else f"{service.timeout:g}"
            details = (site.parameter, shown, f"{DECISION_SECONDS:g}")
            yield Finding("timeout_short", Severity.WARNING, (), details, mend)
        elif service.timeout > LONG_SECONDS:
            yield Finding("timeout_long", Severity.INFO, (), (site.parameter, f"{service.timeout:g}"), mend)
        if site.parameter in EARLY_LISTS and examined.values.get("smtpd_delay_reject") == "no":
            yield Finding("delay_reject", Severity.WARNING, (), (site.parameter,), _delay(bench))
    if any(verdict.twice for verdict in examined.verdicts.values()):
        yield Finding("check_twice", Severity.INFO, (), (), mend)


def _delay(bench: Bench) -> tuple[str, ...]:
    if bench.registry is not None:
        return ("postconf -e 'smtpd_delay_reject = yes'", RELOAD_UCS)
    return ("postconf -e 'smtpd_delay_reject = yes'", RELOAD)


def _surroundings(examined: Examined) -> Iterator[Finding]:
    values = examined.values
    if not examined.logins:
        return
    if examined.networks.everybody:
        yield Finding("everybody_trusted", Severity.ERROR, (), (values.get("mynetworks", ""),))
    if examined.networks.unread:
        yield Finding("networks_unread", Severity.WARNING, (), (", ".join(examined.networks.unread),))
    if values.get("smtpd_authorized_xclient_hosts"):
        yield Finding("xclient", Severity.INFO, (), (values["smtpd_authorized_xclient_hosts"],))
    elif (
        examined.entrance.here_only
        and values.get("smtpd_sasl_auth_enable") == "yes"
        and not values.get("smtpd_upstream_proxy_protocol")
    ):
        yield Finding("proxy_hides_clients", Severity.WARNING)


def _filters(bench: Bench, examined: Examined) -> Iterator[Finding]:
    """What mail is handed to: in doubt until the admin says that it sends no other mail."""
    for one in examined.filters:
        details = (one.name, one.parameter)
        if one.name in bench.examination.accepted:
            yield Finding("filter_accepted", Severity.INFO, (), details)
        else:
            yield Finding(f"unknown_{one.kind}", Severity.UNKNOWN, (), details, bench.accept(one.name))


def by_severity(found: Sequence[Finding]) -> list[Finding]:
    """The worst first."""
    order = list(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))
