"""What is wrong on the host itself: sendmail, UCR, strangers on Postfix's ports, hidden clients."""

import pwd
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from admin.doctor import ucr
from admin.doctor.entrances import Way
from admin.doctor.examination import Examination
from admin.doctor.findings import Finding, Severity
from admin.doctor.lists import split_braced
from admin.doctor.mends import RELOAD, RELOAD_UCS, Bench
from admin.doctor.verdict import RECIPIENT_LIST, Answer

# Accounts of the web servers of Debian, Red Hat and SUSE: what runs there may call sendmail.
WEB_ACCOUNTS = ("www-data", "apache", "nginx", "wwwrun")
SUBMISSION_PORTS = (465, 587)
_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h of Linux
# So many logins from one private address are no household any more.
MANY_LOGINS = 3
MOST_OF_THEM = 0.9


def of_host(bench: Bench) -> list[Finding]:
    """What does not belong to one entrance of smtpd."""
    examination = bench.examination
    found = [*_sendmail(examination, web_accounts()), *_registry(bench)]
    if examination.strangers:
        ports = ", ".join(map(str, examination.strangers))
        found.append(Finding("stranger", Severity.UNKNOWN, (), (ports,)))
    for directory in examination.instances:
        ask = f"mtpolicyctl doctor --config-dir {shlex.quote(directory)}"
        found.append(Finding("other_instance", Severity.UNKNOWN, (), (directory,), (ask,)))
    handed = {one.name for examined in examination.entrances for one in examined.filters}
    missing = sorted(examination.accepted - handed)
    found += [Finding("accepted_filter_missing", Severity.WARNING, (), (name,)) for name in missing]
    if examination.answer is Answer.NONE:
        found.append(Finding("no_login", Severity.ERROR))
    if any(
        kind.login is False and verdict.answer is not Answer.NONE and kind.origin != "outside"
        for examined in examination.entrances
        if examined.entrance.way is Way.SMTPD
        for kind, verdict in examined.verdicts.items()
    ):
        found.append(Finding("no_login_not_counted", Severity.INFO))
    return found


def web_accounts() -> list[str]:
    """The web servers' accounts of this host."""
    found = []
    for name in WEB_ACCOUNTS:
        with suppress(KeyError):
            pwd.getpwnam(name)
            found.append(name)
    return found


def strangers(examination: Examination, tables: Iterable[Path] = ()) -> list[int]:
    """Submission ports on which something listens that is no service of this Postfix.

    Args:
        tables: by default /proc/net/tcp and tcp6, see proc(5).
    """
    own = {examined.entrance.port for examined in examination.entrances}
    listening: set[int] = set()
    for path in tuple(tables) or (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with suppress(OSError):
            rows = [line.split() for line in path.read_text().splitlines()[1:]]
            listening |= {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTEN}
    return [port for port in SUBMISSION_PORTS if port in listening - own]


def hidden_clients(mails: Iterable[tuple[bytes, bytes]]) -> Finding | None:
    """Whether many users seem to come from one private address.

    Args:
        mails: login and client address of each mail.
    """
    by_address: dict[bytes, set[bytes]] = {}
    count: Counter[bytes] = Counter()
    for login, address in mails:
        by_address.setdefault(address, set()).add(login)
        count[address] += 1
    for address, mails_of in count.most_common(1):
        with suppress(ValueError):
            client = ip_address(address.decode("ascii", "replace"))
            hidden = client.is_private or client.is_loopback
            if (
                hidden
                and len(by_address[address]) >= MANY_LOGINS
                and mails_of >= MOST_OF_THEM * count.total()
            ):
                details = (str(client), str(len(by_address[address])), str(mails_of), str(count.total()))
                return Finding("clients_hidden", Severity.WARNING, (), details)
    return None


def _sendmail(examination: Examination, accounts: Sequence[str]) -> Iterator[Finding]:
    pickups = [examined for examined in examination.entrances if examined.entrance.way is Way.SENDMAIL]
    if not pickups:
        return
    where = tuple(examined.entrance.name for examined in pickups)
    allowed = examination.values.get("authorized_submit_users", "")
    if allowed == "static:anyone" and accounts:
        users = ", ".join([*(f"!{name}" for name in accounts), "static:all"])
        mend = (f"postconf -e {shlex.quote(f'authorized_submit_users = {users}')}", RELOAD)
        yield Finding("sendmail_web", Severity.WARNING, where, (", ".join(accounts),), mend)
    else:
        yield Finding("sendmail", Severity.INFO, where)


def _registry(bench: Bench) -> Iterator[Finding]:
    registry = bench.registry
    if registry is None:
        return
    for unread in registry.unread:
        yield Finding("ucr_unread", Severity.WARNING, (), (unread,))
    main = " ".join(split_braced(bench.examination.main.get(RECIPIENT_LIST, "")))
    for prefix in (ucr.SMTPD, ucr.SUBMISSION):
        slots = registry.slots(prefix)
        for slot in (slot for slot in slots if _is_check(bench, slot.value)):
            twisted = ucr.out_of_order(slots, slot)
            if twisted:
                mend = (
                    f"ucr unset {shlex.quote(slot.key)}",
                    f"ucr set {shlex.quote(f'{prefix}{ucr.OUR_SLOT}={bench.check}')}",
                    RELOAD_UCS,
                )
                details = (slot.name, ", ".join(other.name for other in twisted))
                yield Finding("ucr_key_order", Severity.WARNING, (), details, mend)
            if prefix == ucr.SMTPD and " ".join(split_braced(slot.value)) not in main:
                commit = ("ucr commit /etc/postfix/main.cf", RELOAD_UCS)
                yield Finding("ucr_not_in_force", Severity.ERROR, (), (slot.key,), commit)
    for key, value in registry.values.items():
        if key.startswith(ucr.OPTIONS) and _is_check(bench, value) and any(map(str.isspace, value)):
            yield Finding("ucr_blank", Severity.ERROR, (), (key,))


def _is_check(bench: Bench, value: str) -> bool:
    _, port = bench.ours.address
    return "check_policy_service" in value and (f":{port}" in value or "mtpolicyd" in value)
