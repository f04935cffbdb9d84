"""The UCR variables that put the check into Postfix's lists, by what a site has there."""

from collections.abc import Mapping
from typing import NamedTuple

from mtpolicyd_ucs.listening import Listening
from mtpolicyd_ucs.registry import ReadableRegistry, with_prefix
from mtpolicyd_ucs.restrictions import asks, check_for, check_without_blanks, permits
from mtpolicyd_ucs.settings_file import SETTINGS

POSTFIX = "mail/postfix/"
SMTPD = f"{POSTFIX}smtpd/restrictions/recipient/"
SUBMISSION = f"{POSTFIX}submission/restrictions/recipient/"
OPTIONS = (f"{POSTFIX}mastercf/options/submission/", f"{POSTFIX}mastercf/options/smtps/")
# Postfix has the slots in the order of strings. The second one is for sites that permit before the first.
SLOTS = ("08-mtpolicyd", "00-mtpolicyd")
MODES = tuple(setting.variable for setting in SETTINGS if setting.key.endswith("_mode"))


class Positions(NamedTuple):
    """Args: wanted: variables with their values; left_out: what cannot be done that way."""

    wanted: Mapping[str, str]
    left_out: tuple[str, ...]


def at_recipients(ucr: ReadableRegistry, where: Listening) -> Positions:
    """For each recipient, in the list of all ports, and in that of 465 and 587 where they have their own."""
    wanted = {}
    left_out = []
    lists = [SMTPD]
    for prefix in OPTIONS:
        own = ucr.get(f"{prefix}smtpd_recipient_restrictions")
        if own is None:
            continue
        if "submission_recipient_restrictions" in own:
            lists.append(SUBMISSION)
        elif "smtpd_recipient_restrictions" not in own and not asks(own, where.reached_at):
            left_out.append(
                f"{prefix}smtpd_recipient_restrictions is a list of the site's own, which stays as it is:"
                " put the check at its beginning, or use --end-of-data"
            )
    for prefix in dict.fromkeys(lists):
        there = with_prefix(ucr, prefix)
        if not there:
            left_out.append(f"{prefix}* is empty: a check alone would be no list")
        elif (slot := _slot(there, prefix, where)) is None:
            left_out.append(f"{prefix}* permits before every slot that is left for the check")
        elif slot:
            wanted[slot] = check_for(where.reached_at)
    return Positions(wanted, tuple(left_out))


def at_end_of_data(ucr: ReadableRegistry, where: Listening) -> Positions:
    """For each message, at the ports 465 and 587. What a site has there already comes after it."""
    wanted = {}
    for prefix in OPTIONS:
        name = f"{prefix}smtpd_end_of_data_restrictions"
        there = ucr.get(name)
        check = check_without_blanks(where.reached_at)
        if there is None or asks(there, where.reached_at):
            wanted[name] = there or check
        else:
            wanted[name] = f"{check},{there}"
    return Positions(wanted, ())


def asking(ucr: ReadableRegistry, where: Listening) -> dict[str, str]:
    """Variables of Postfix that have the check, whoever has set them."""
    values = with_prefix(ucr, POSTFIX)
    return {name: value for name, value in sorted(values.items()) if asks(value, where.reached_at)}


def late_checks(ucr: ReadableRegistry, where: Listening) -> list[str]:
    """Variables of the list of all ports whose check comes after a `permit`: it sees no mail with a login."""
    found = []
    permitted = False
    for name, value in sorted(with_prefix(ucr, SMTPD).items()):
        if permitted and asks(value, where.reached_at):
            found.append(name)
        permitted = permitted or permits(value)
    return found


def _slot(there: Mapping[str, str], prefix: str, where: Listening) -> str | None:
    """The name of the variable; empty: somebody has put the check there by hand; None: there is no place."""
    first = min((name for name, value in there.items() if permits(value)), default="~")
    for name in SLOTS:
        if prefix + name < first and prefix + name in there:
            return prefix + name  # ours, of before: another address perhaps
    if any(asks(value, where.reached_at) for name, value in there.items() if name < first):
        return ""
    return next((prefix + name for name in SLOTS if prefix + name < first), None)
