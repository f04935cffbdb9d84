"""What decision works with, made for tests: mails, country data, and a quota that answers as told."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from decision.addresses import Address
from decision.country_data import CountryData
from decision.decider import Failure, Verdict
from decision.origins import RESULTS, Kind, Origins
from decision.quota_client import Answer, Charged, QuotaClient
from decision.tail import Decision
from decision.verdict import LimitState, MailEvent, Objection, Stage
from protos import quota_pb2 as pb
from tests.support.observed import Observed
from tests.support.policy import AMERICAN, GERMAN

COUNTRIES = {
    GERMAN: "DE",
    AMERICAN: "US",
    "2001:4860:4860::8888": "US",
    "2a00:1450::1": "DE",
}
# Addresses that belong to no country.
NON_GLOBAL = [
    ("10.0.0.1", Kind.PRIVATE),
    ("172.31.255.255", Kind.PRIVATE),
    ("192.168.1.1", Kind.PRIVATE),
    ("fd00::1", Kind.PRIVATE),
    ("fc00::1", Kind.PRIVATE),
    ("::ffff:10.0.0.1", Kind.PRIVATE),
    ("2002:a00:1::", Kind.PRIVATE),
    ("64:ff9b::192.168.0.1", Kind.PRIVATE),
    ("127.0.0.1", Kind.LOOPBACK),
    ("127.255.0.1", Kind.LOOPBACK),
    ("::1", Kind.LOOPBACK),
    ("::ffff:127.0.0.1", Kind.LOOPBACK),
    ("169.254.1.1", Kind.LINK_LOCAL),
    ("fe80::1", Kind.LINK_LOCAL),
    ("fe80::1%eth0", Kind.LINK_LOCAL),
    ("100.64.0.0", Kind.CGNAT),
    ("100.127.255.255", Kind.CGNAT),
    ("::ffff:100.64.0.1", Kind.CGNAT),
    ("0.0.0.0", Kind.OTHER_NON_GLOBAL),
    ("192.0.2.1", Kind.OTHER_NON_GLOBAL),
    ("198.18.0.1", Kind.OTHER_NON_GLOBAL),
    ("203.0.113.1", Kind.OTHER_NON_GLOBAL),
    ("224.0.0.1", Kind.OTHER_NON_GLOBAL),
    ("240.0.0.1", Kind.OTHER_NON_GLOBAL),
    ("255.255.255.255", Kind.OTHER_NON_GLOBAL),
    ("::", Kind.OTHER_NON_GLOBAL),
    ("2001:db8::1", Kind.OTHER_NON_GLOBAL),
    ("ff02::1", Kind.OTHER_NON_GLOBAL),
    # Site-local, RFC 3879: deprecated, but never routed on the Internet.
    ("fec0::1", Kind.OTHER_NON_GLOBAL),
    ("unknown", Kind.UNPARSABLE),
    ("", Kind.UNPARSABLE),
]


def mail(
    *,
    login: bytes = b"Alice",
    account: bytes = b"alice",
    stage: Stage = Stage.RCPT,
    client_address: bytes = GERMAN.encode(),
    instance: bytes = b"i1",
    recipient_count: int = 0,
) -> MailEvent:
    """A RCPT request of alice from Germany."""
    return MailEvent(
        stage=stage,
        login=login,
        account=account,
        client_address=client_address,
        instance=instance,
        recipient=b"bob@example.net",
        recipient_count=recipient_count,
        sender=b"alice@example.org",
        queue_id=b"4XyZ",
        policy_context=b"submission",
    )


def decision(
    *,
    decision_id: str = "0123456789",
    account: bytes = b"alice",
    action: str = "DUNNO",
    reason: str = "none",
    mode: str = "enforce",
    state: LimitState | None = None,
) -> Decision:
    """What is told of a decision on `mail()`."""
    return Decision(
        at_unix_ms=1_800_000_000_123,
        decision_id=decision_id,
        action=action,
        reason=reason,
        mode=mode,
        event=mail(account=account),
        country="DE",
        state=state,
        settings="0a1b2c3d",
        would_refuse="",
        permitted="",
        ms=1.5,
    )


def country_data(
    countries: dict[str, str] = COUNTRIES, *, asked: list[Address] | None = None, source: str = "test"
) -> CountryData:
    """Data that knows these addresses. Args: asked collects every look-up."""
    known = {ip_address(address): country for address, country in countries.items()}

    def lookup(address: Address) -> str:
        if asked is not None:
            asked.append(address)
        return known.get(address, "")

    return CountryData(source, 0, lookup)


def broken_data(error: Exception, source: str = "broken") -> CountryData:
    """Data whose every look-up fails."""

    def lookup(_: Address) -> str:
        raise error

    return CountryData(source, 0, lookup)


def origins(seen: Observed, *databases: CountryData) -> Origins:
    """Origins with the counter that decision gives them."""
    return Origins(databases, seen.metrics.counter("geoip_lookups_total", "Look-ups.", result=RESULTS))


@dataclass(frozen=True)
class AskedCharge:
    """One call of QuotaClient.charge."""

    event: MailEvent
    limits: tuple[pb.Limit, ...]
    country: str
    exempt: bool
    decision_id: str
    settings: str
    day: pb.CalendarDay
    expires_unix_ms: int
    timeout: float


@dataclass(frozen=True)
class AskedRecord:
    """One call of QuotaClient.record."""

    event: MailEvent
    rule: str
    objection: Objection
    enforced: bool
    decision_id: str
    settings: str
    day: pb.CalendarDay
    expires_unix_ms: int
    timeout: float


class FakeQuota(QuotaClient):
    """Answers each charge with `answer`, or keeps silent while that is None.

    Each record is answered with whether its rule is in `overrides`, or not while that is None.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self.overrides: Container[str] | None = ()
        self.open_records: list[Callable[[bool], None]] = []
        self.charges: list[AskedCharge] = []
        self.records: list[AskedRecord] = []
        self.open: list[Charged] = []

    def charge(
        self,
        event: MailEvent,
        limits: Iterable[pb.Limit],
        *,
        country: str,
        exempt: bool,
        decision_id: str,
        settings: str,
        day: pb.CalendarDay,
        expires_unix_ms: int,
        timeout: float,
        done: Charged,
    ) -> None:
        self.charges.append(
            AskedCharge(
                event, tuple(limits), country, exempt, decision_id, settings, day, expires_unix_ms, timeout
            )
        )
        if self.answer is None:
            self.open.append(done)
        else:
            done(self.answer)

    def record(
        self,
        event: MailEvent,
        rule: str,
        objection: Objection,
        *,
        enforced: bool,
        decision_id: str,
        settings: str,
        day: pb.CalendarDay,
        expires_unix_ms: int,
        timeout: float,
        done: Callable[[bool], None],
    ) -> None:
        self.records.append(
            AskedRecord(
                event, rule, objection, enforced, decision_id, settings, day, expires_unix_ms, timeout
            )
        )
        if self.overrides is None:
            self.open_records.append(done)
        else:
            done(rule in self.overrides)


Outcome = Verdict | Failure
Decided = Callable[[Outcome], None]
