"""What the services answer under one set of settings: decision's chain, and quota's counts in a store.

As decision.decider does, without what a running service needs: streams, time-outs, log lines.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from chassis.logs import Logger
from chassis.metrics import Metrics
from decision.chain import Opinion
from decision.country_files import open_databases
from decision.decider import NO_REASON
from decision.origins import RESULTS, Origin, Origins
from decision.policy import make_policy
from decision.record_format import RecordedRequest
from decision.settings import Settings
from decision.verdict import LimitState, Stage, Verb
from protos import quota_pb2 as pb
from quota.domain import Charge, ChargeResult
from quota.domain import Stage as QuotaStage
from quota.service import read_charge
from quota.store.sqlite import SqliteStore

# A day begins, in every time zone of today, on a full quarter of an hour, and the store moves a message's
# time by steps of one: to it, requests of one quarter have one time.
QUARTER_MS = 900_000
# More than a portion can leave behind.
FORGET_PER_REQUEST = 2
PORTIONS_PER_CHECKPOINT = 100


class Answer(NamedTuple):
    """What Postfix hears, by which rule (or "none"), and the country that the address was taken to be in."""

    verb: str
    rule: str
    country: str

    @property
    def refuses(self) -> bool:
        return self.verb != Verb.DUNNO


class Trial:
    """One set of settings, with counts of its own that begin at zero.

    Args:
        recorded_countries: believe what the databases said when a request was recorded, where that is known;
            a hashed address leaves no choice.
        log: is told of country data that cannot be used.

    Raises:
        quota.store.interface.StoreError: there is no room for the counts.
    """

    def __init__(self, settings: Settings, counts: Path, *, recorded_countries: bool, log: Logger) -> None:
        metrics = Metrics(CollectorRegistry())
        databases, errors = asyncio.run(open_databases(settings.databases, settings.geoip_directory))
        for error in errors:
            log.error("country_data_refused", reason=error)
        lookups = metrics.counter("replay_lookups_total", "Looked-up addresses.", result=RESULTS)
        self._origins = _Origins(databases, lookups)
        self._recorded_countries = recorded_countries
        self._policy = make_policy(settings, self._origins)
        # What quota makes of decision's limits; the rest of a charge comes with each request.
        self._charges = {
            exempt: read_charge(pb.Charge(account=b"-", limits=limits))
            for exempt, limits in self._policy.limits.items()
            if limits
        }
        self._store = SqliteStore(counts)
        self._portions = 0

    def answer(self, requests: Sequence[RecordedRequest]) -> list[Answer]:
        """Decide requests of one quarter of an hour, in order. Raises StoreError."""
        answers = []
        charges = []
        charged = []
        for index, request in enumerate(requests):
            event = request.event
            self._origins.recorded = request.origin if request.hashed or self._recorded_countries else None
            exempt = self._policy.is_exempt(event.account, event.client_address)
            look = self._policy.chain.look(event, exempt=exempt)
            answers.append(_answer(look, self._origins.of(event.client_address).country))
            if look.refusal is None and event.stage is not Stage.OTHER and self._charges:
                charges.append(self._charge(request, exempt))
                charged.append((index, exempt))
        now_unix_ms = requests[0].time_unix_ms
        for (index, exempt), result in zip(charged, self._store.apply(charges, now_unix_ms), strict=True):
            assert isinstance(result, ChargeResult)
            states = [
                LimitState(state.maximum, state.used, state.refused, state.resets_unix_ms, state.would_refuse)
                for state in result.limits
            ]
            judgement = self._policy.chain.judge(states, exempt=exempt)
            answers[index] = _answer(judgement, answers[index].country)
        self._store.expire(now_unix_ms, FORGET_PER_REQUEST * len(requests))
        self._portions += 1
        if self._portions % PORTIONS_PER_CHECKPOINT == 0:
            self._store.checkpoint()
        return answers

    def close(self) -> None:
        """Close the counts."""
        self._store.close()

    def _charge(self, request: RecordedRequest, exempt: bool) -> Charge:
        event = request.event
        return self._charges[exempt]._replace(
            account=event.account,
            login=event.login,
            instance=event.instance,
            recipient=event.recipient,
            stage=QuotaStage(event.stage),
            recipient_count=event.recipient_count,
        )


class _Origins(Origins):
    """Tells what was recorded, where `recorded` is set, and otherwise what the databases say."""

    recorded: Origin | None = None

    def of(self, client_address: bytes) -> Origin:
        return self.peek(client_address) if self.recorded is None else self.recorded


def _answer(opinion: Opinion, country: str) -> Answer:
    if opinion.refusal is None:
        return Answer(Verb.DUNNO, NO_REASON, country)
    return Answer(opinion.refusal.objection.verb, opinion.refusal.rule, country)
