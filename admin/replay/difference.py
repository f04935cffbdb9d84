"""Where the answers of two sets of settings differ, summed up for each account."""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b

from admin.networks import network_of
from admin.replay.trial import Answer
from decision.record_format import RecordedRequest

# A mail's requests lie near each other: it is counted once if no more than so many mails lie between.
RECENT_MAILS = 10_000
# Countries and networks of one account; what comes behind them is counted as "others".
MOST_NAMES = 100
OTHERS = "others"
HASHED = "hashed"


@dataclass(slots=True)
class AccountDifference:
    """What one account would hear; counts are of requests, of which a mail has several, except `mails`.

    `countries` and `networks` are those of the requests whose answers differ; `first_unix_ms` is the time of
    the first of them, or 0.
    """

    login: bytes
    mails: int = 0
    requests: int = 0
    refused_before: int = 0
    refused_now: int = 0
    newly_refused: Counter[str] = field(default_factory=Counter)  # by the rule that refuses now
    newly_passed: Counter[str] = field(default_factory=Counter)  # by the rule that refused before
    refused_otherwise: Counter[str] = field(default_factory=Counter)  # by the rule that refuses now
    countries: Counter[str] = field(default_factory=Counter)
    networks: Counter[str] = field(default_factory=Counter)
    first_unix_ms: int = 0

    @property
    def differs(self) -> int:
        """How many answers differ, in the verb or in the rule that refuses."""
        return self.newly_refused.total() + self.newly_passed.total() + self.refused_otherwise.total()


class Comparison:
    """Takes both answers of each request; holds sums for each account, and no requests.

    Attributes:
        accounts: by their names.
        hashed: how many requests have hashed addresses.
        unlike_recorded: how many requests the settings in force answer otherwise than was recorded.
        first_unix_ms, last_unix_ms: the span of all requests.
    """

    def __init__(self) -> None:
        self.accounts: dict[bytes, AccountDifference] = {}
        self.hashed = 0
        self.unlike_recorded = 0
        self.first_unix_ms = 0
        self.last_unix_ms = 0
        self._recent: OrderedDict[bytes, None] = OrderedDict()

    def add(self, request: RecordedRequest, before: Answer, now: Answer) -> None:
        """Args: before, now: by the settings in force, and by the new ones."""
        event, time = request.event, request.time_unix_ms
        account = self.accounts.get(event.account)
        if account is None:
            account = self.accounts[event.account] = AccountDifference(event.login)
        self.first_unix_ms = min(self.first_unix_ms or time, time)
        self.last_unix_ms = max(self.last_unix_ms, time)
        self.hashed += request.hashed
        if request.verb and (request.verb, request.rule) != before[:2]:
            self.unlike_recorded += 1
        account.requests += 1
        account.mails += self._is_new_mail(request)
        account.refused_before += before.refuses
        account.refused_now += now.refuses
        if before[:2] == now[:2]:
            return
        if not before.refuses:
            account.newly_refused[now.rule] += 1
        elif not now.refuses:
            account.newly_passed[before.rule] += 1
        else:
            account.refused_otherwise[now.rule] += 1
        _count(account.countries, now.country or before.country or "-")
        _count(account.networks, _network(request))
        account.first_unix_ms = min(account.first_unix_ms or time, time)

    def totals(self) -> AccountDifference:
        """The sums over all accounts, without names."""
        totals = AccountDifference(b"")
        for account in self.accounts.values():
            totals.mails += account.mails
            totals.requests += account.requests
            totals.refused_before += account.refused_before
            totals.refused_now += account.refused_now
            totals.newly_refused += account.newly_refused
            totals.newly_passed += account.newly_passed
            totals.refused_otherwise += account.refused_otherwise
        return totals

    def differing(self) -> list[AccountDifference]:
        """The accounts whose answers differ, those with the most first."""
        found = [account for account in self.accounts.values() if account.differs]
        return sorted(found, key=lambda account: (-account.differs, account.login))

    def _is_new_mail(self, request: RecordedRequest) -> bool:
        event = request.event
        if not event.instance:
            return True
        key = blake2b(
            b"%d:%b%b" % (len(event.account), event.account, event.instance), digest_size=8
        ).digest()
        known = key in self._recent
        self._recent[key] = None
        self._recent.move_to_end(key)
        if len(self._recent) > RECENT_MAILS:
            self._recent.popitem(last=False)
        return not known


def _network(request: RecordedRequest) -> str:
    return HASHED if request.hashed else str(network_of(request.event.client_address) or "unknown")


def _count(names: Counter[str], name: str) -> None:
    names[name if name in names or len(names) < MOST_NAMES else OTHERS] += 1
