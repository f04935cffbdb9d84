"""A report of quota as rows: by account and rule, and by country. No I/O."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from admin.networks import network_of
from decision.addresses import Network
from protos import quota_pb2 as pb


class AccountRow(NamedTuple):
    """One account and one rule that objected. Countries and networks are those of the objections."""

    account: bytes
    login: bytes
    rule: str
    refused: int  # requests
    would_be_refused: int  # requests that a rule in mode observe let pass
    accepted: int  # units of the account, whatever the rule
    countries: tuple[str, ...]  # most objections first
    networks: tuple[Network, ...]  # likewise; without the addresses that quota did not keep
    first_unix_ms: int
    last_unix_ms: int


class CountryRow(NamedTuple):
    """What came from one country; its code is empty for private and unknown addresses."""

    country: str
    accepted: int
    refused: int
    would_be_refused: int


def account_rows(accounts: Iterable[pb.AccountReport]) -> list[AccountRow]:
    """In the order of the accounts, by rule."""
    return [
        _account_row(account, rule)
        for account in accounts
        for rule in dict.fromkeys(refusals.rule for refusals in account.refusals)
    ]


def _account_row(account: pb.AccountReport, rule: str) -> AccountRow:
    refusals = [found for found in account.refusals if found.rule == rule]
    countries: Counter[str] = Counter()
    networks: Counter[Network] = Counter()
    for origin in account.origins:
        if origin.rule == rule:
            countries[origin.country] += origin.count
            network = network_of(origin.address)
            if network is not None:
                networks[network] += origin.count
    return AccountRow(
        account=account.account,
        login=account.login,
        rule=rule,
        refused=sum(found.count for found in refusals if found.mode == pb.MODE_ENFORCE),
        would_be_refused=sum(found.count for found in refusals if found.mode == pb.MODE_OBSERVE),
        accepted=sum(origin.count for origin in account.origins if not origin.rule),
        countries=tuple(country for country, _ in countries.most_common()),
        networks=tuple(network for network, _ in networks.most_common()),
        first_unix_ms=min(found.first_unix_ms for found in refusals),
        last_unix_ms=max(found.last_unix_ms for found in refusals),
    )


def country_rows(counts: Iterable[pb.CountryCount]) -> list[CountryRow]:
    """Those with most mail first, refused or not."""
    rows: dict[str, CountryRow] = {}
    for count in counts:
        row = rows.get(count.country, CountryRow(count.country, 0, 0, 0))
        if not count.rule:
            row = row._replace(accepted=row.accepted + count.count)
        elif count.mode == pb.MODE_ENFORCE:
            row = row._replace(refused=row.refused + count.count)
        else:
            row = row._replace(would_be_refused=row.would_be_refused + count.count)
        rows[count.country] = row
    # What would have been refused was accepted, so it is in there already.
    return sorted(rows.values(), key=lambda row: (-row.accepted - row.refused, row.country))
