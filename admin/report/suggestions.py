"""Which lines of the settings file would let pass what a report says was refused. No I/O.

A suggestion is a question to the admin, not an answer: whoever sends from abroad or very much may be the
user on a journey, or the thief. What looks like a botnet is therefore named and not suggested.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from admin.networks import network_of
from chassis.settings import holds, split_list
from decision.addresses import Network
from decision.rules.country import CountryRule
from decision.rules.quota import QuotaRule
from decision.settings import Settings
from protos import quota_pb2 as pb

# People are refused in the few places where they are, stolen accounts all over the world.
MAX_COUNTRIES = 3
MAX_NETWORKS = 10


class Suggestions(NamedTuple):
    """What may be added to the settings, without what stands there already."""

    networks: tuple[Network, ...]  # to allowed_networks
    accounts: tuple[bytes, ...]  # to exempt_accounts
    doubtful: tuple[bytes, ...]  # accounts that look stolen: nothing is suggested for them


def suggest(accounts: Iterable[pb.AccountReport], settings: Settings) -> Suggestions:
    """Networks in which the country rule met a known sender, and accounts that were over the limit.

    A known sender has accepted mail from elsewhere, or from there on an earlier day. In mode observe what the
    country rule objects to is accepted as well: that proves nothing.
    """
    networks: dict[Network, None] = {}
    over: list[bytes] = []
    doubtful: list[bytes] = []
    passed = (*settings.allowed_networks, *settings.exempt_networks)
    for account in accounts:
        if account.account in settings.exempt_accounts:
            continue
        abroad = [origin for origin in account.origins if origin.rule == CountryRule.name]
        first_days = _first_days(abroad)
        if len({origin.country for origin in abroad}) > MAX_COUNTRIES or len(first_days) > MAX_NETWORKS:
            doubtful.append(account.account)
            continue
        if any(refusals.rule == QuotaRule.name for refusals in account.refusals):
            over.append(account.account)
        accepted = _first_days(origin for origin in account.origins if not origin.rule)
        elsewhere = any(network not in first_days for network in accepted)
        for network, first_day in first_days.items():
            known = elsewhere or accepted.get(network, first_day) < first_day
            if known and not any(holds(large, network) for large in passed):
                networks[network] = None
    return Suggestions(
        tuple(sorted(networks, key=lambda network: (network.version, network))), tuple(over), tuple(doubtful)
    )


def allowed_networks_line(suggestions: Suggestions, settings: Settings) -> str:
    """The whole line, with what it holds now."""
    return toml_line("allowed_networks", map(str, [*settings.allowed_networks, *suggestions.networks]))


def exempt_accounts_line(suggestions: Suggestions, settings: Settings) -> str:
    """The whole line, with what it holds now; without logins that are no UTF-8, which a file cannot hold."""
    known = sorted(settings.exempt_accounts)
    return toml_line("exempt_accounts", [name.decode() for name in (*known, *writable(suggestions.accounts))])


def writable(accounts: Iterable[bytes]) -> list[bytes]:
    """The accounts that a settings file can name: TOML is UTF-8."""
    found = []
    for account in accounts:
        try:
            account.decode()
        except UnicodeDecodeError:
            continue
        found.append(account)
    return found


def toml_line(key: str, values: Iterable[str]) -> str:
    """One line of TOML in ASCII; a list where commas or blanks would be lost in a string."""
    items = tuple(values)
    text = ", ".join(items)
    return f"{key} = {_quoted(text) if split_list(text) == items else _array(items)}"


def _array(items: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, items))}]"


def _quoted(text: str) -> str:
    """A basic string (https://toml.io/en/v1.0.0#string)."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isascii() and character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _first_days(origins: Iterable[pb.Origin]) -> dict[Network, str]:
    """The first day (ISO 8601) of each network; addresses that are none are left out."""
    days: dict[Network, str] = {}
    for origin in origins:
        network = network_of(origin.address)
        if network is not None:
            days[network] = min(origin.first_day, days.get(network, origin.first_day))
    return days
