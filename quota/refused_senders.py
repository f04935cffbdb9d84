"""The metrics of who is refused now: exact totals, and a bounded list of accounts.

An account's name is personal data and would be a label without bound: so the list has one, a row is gone
with the next scrape when the account is no longer refused, and the name can be hashed or left out. What
Prometheus has scraped it keeps for its own retention time.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chassis.logs import Logger
from chassis.metrics import PREFIX
from quota.domain import RefusedAccount, RefusedNow
from quota.store.interface import Reader, StoreError

REFRESH_SECONDS = 5.0
_LABELS = ("account", "reason", "country")
_NOBODY = RefusedNow({}, ())


class RefusedSenders(Collector):
    """Asks the store every REFRESH_SECONDS; a scrape never waits for it.

    Args:
        reasons: rules that are shown with 0 as long as they refuse nobody.
        clock: the wall clock, in seconds since the epoch.
    """

    most = 0  # accounts in the list
    name: Callable[[bytes], str] | None = None  # how an account is shown; None: there is no list

    def __init__(
        self,
        reader: Reader,
        *,
        reasons: Iterable[str],
        log: Logger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._reader = reader
        self._reasons = tuple(reasons)
        self._log = log
        self._clock = clock
        self._now = _NOBODY
        self._refreshed: float | None = None
        self._works = True

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Ask the store once; if it cannot be read, the last list stands, and its age can be seen."""
        most = self.most if self.name is not None else 0
        try:
            self._now = await asyncio.to_thread(self._reader.refused_now, round(self._clock() * 1000), most)
        except StoreError as error:
            if self._works:
                self._log.warning("refused_senders_unread", reason=error)
            self._works = False
            return
        self._works = True
        self._refreshed = self._clock()

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        now, name = self._now, self.name
        total = _gauge("blocked_senders", "Accounts that are refused now.", ("reason",))
        for reason in dict.fromkeys([*self._reasons, *now.counts]):
            total.add_metric([reason], now.counts.get(reason, 0))
        yield total
        listed = {} if name is None else _by_labels(now.accounts, name)
        yield _value("blocked_senders_listed", "Accounts in the list of refused ones.", len(listed))
        # Where no list is wanted none is cut.
        truncated = name is not None and self.most > 0 and sum(now.counts.values()) > len(listed)
        yield _value("blocked_senders_truncated", "1 if more are refused than are listed.", truncated)
        if self._refreshed is not None:
            yield _value(
                "blocked_senders_refreshed_timestamp_seconds", "When the store was asked.", self._refreshed
            )
        if name is not None:
            yield from _list(listed)


def _by_labels(
    accounts: Iterable[RefusedAccount], name: Callable[[bytes], str]
) -> dict[tuple[str, str, str], RefusedAccount]:
    """A series may be there once only: of accounts that are cut to one name the last refused one stands."""
    rows: dict[tuple[str, str, str], RefusedAccount] = {}
    for account in accounts:
        rows.setdefault((name(account.account), account.rule, account.country or "unknown"), account)
    return rows


def _list(rows: Mapping[tuple[str, str, str], RefusedAccount]) -> Iterator[Metric]:
    since = _gauge("blocked_sender_since_timestamp_seconds", "The period's first refusal.", _LABELS)
    until = _gauge("blocked_sender_until_timestamp_seconds", "When it is no longer refused.", _LABELS)
    used = _gauge("blocked_sender_used", "Units that it has used of the limit that refuses it.", _LABELS)
    limit = _gauge("blocked_sender_limit", "That limit, in units.", _LABELS)
    for labels, account in rows.items():
        since.add_metric(labels, account.since_unix_ms / 1000)
        until.add_metric(labels, account.until_unix_ms / 1000)
        if account.maximum is not None:
            used.add_metric(labels, account.used or 0)
            limit.add_metric(labels, account.maximum)
    yield from (since, until, used, limit)


def _gauge(name: str, text: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=tuple(labels))


def _value(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value)
