"""Who is asked about now, port by port, and who is not: what the admin is told after the activation."""

from collections.abc import Mapping

from mtpolicyd_ucs import postfix, registry
from mtpolicyd_ucs.listening import Listening
from mtpolicyd_ucs.positions import late_checks
from mtpolicyd_ucs.postfix import Smtpd
from mtpolicyd_ucs.proving import Login, is_asked
from mtpolicyd_ucs.restrictions import Seen, seen
from mtpolicyd_ucs.telling import say, warn

Settings = Mapping[str, str]

# No place in Postfix changes these.
UNCOVERED = (
    "mail that programs on this host hand to sendmail: Postfix asks nobody about it",
    "webmail and groupware on this host, for the country rule: 127.0.0.1 has no country (the quota counts)",
    "the members of a mailing list: its address is one recipient",
)


def report(where: Listening, settings: Settings, login: Login | None) -> bool:
    """Say it. Returns whether every port where users log in asks."""
    address = where.reached_at
    covered = True
    for smtpd in postfix.smtpds():
        line, good = _port(smtpd, address, settings, login)
        if good:
            say(line)
        else:
            covered = False
            warn(line)
    for name in late_checks(registry.load(), where):
        say(f"{name} asks too, but sees no mail with a login: it does no harm, and no good")
    say("not covered, wherever the check stands:")
    for line in UNCOVERED:
        say(f"  - {line}")
    return covered


def _port(smtpd: Smtpd, address: str, settings: Settings, login: Login | None) -> tuple[str, bool]:
    """A line for the admin, and whether that is as it should be."""
    name = f"port {smtpd.name}"
    at_end = seen(smtpd.end_of_data_restrictions, address) is not Seen.NOWHERE
    at_recipients = seen(smtpd.recipient_restrictions, address)
    if at_recipients in (Seen.NOWHERE, Seen.NO_LOGIN) and not at_end:
        if smtpd.takes_logins:
            return f"{name}: users log in there, and Postfix does not ask about their mail", False
        return f"{name}: nobody logs in there, and nothing is asked", True
    if at_end and at_recipients is not Seen.ALL:
        return (
            f"{name}: Postfix asks once for each message, after its body (a proof would be a mail)",
            True,
        )
    asked = f"{name}: Postfix asks for each recipient; the check sees {at_recipients.value}"
    if at_recipients is Seen.NOT_FROM_HERE:
        return f"{asked} (not proven: this host is in mynetworks)", True
    try:
        recipient = f"postmaster@{postfix.hostname()}"
        proven = is_asked(smtpd, settings, recipient, login if smtpd.takes_logins else None)
    except OSError as error:
        return f"{asked} (not proven by a mail: {error})", True
    if proven:
        return f"{asked} (proven)", True
    if smtpd.takes_logins and login is None:
        return f"{asked} (a mail without a login does not get so far; --login NAME proves it)", True
    return f"{name}: the check is in the list, but the service was not asked about a mail", False
