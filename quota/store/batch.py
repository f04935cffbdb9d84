"""The items of one transaction: what they read is kept, what they change is written once at the end."""

from hashlib import blake2b

from quota.assessment import Assessment, Counter, assess
from quota.domain import LOCK, Charge, ChargeResult, Item, LimitState, Noted, Outcome, Refusal, Stage
from quota.periods import day_of, end_of_day
from quota.store import refusal_log
from quota.store.interface import REFUSED_MS
from quota.store.origins import ACCEPTED, OriginKey
from quota.store.overrides import Standing
from quota.store.refusal_log import Place
from quota.store.tables import CounterKey, Message, Tables
from quota.store.telling import Telling

REMEMBER_SECONDS = 6 * 3600
# A message's time is moved only once in this span, so that most repeats write nothing.
EXPIRY_STEP_SECONDS = 900
_HASH_BYTES = 16
_OWN_ROW = b""


class Batch:
    """Begins and ends within one transaction: `do` for each item, then `write`."""

    def __init__(self, tables: Tables, now_unix_ms: int) -> None:
        self._tables = tables
        self._now_ms = now_unix_ms
        step = now_unix_ms // 1000 // EXPIRY_STEP_SECONDS
        self._expires = (step + 1) * EXPIRY_STEP_SECONDS + REMEMBER_SECONDS
        # Decision asks again for as long as its deadline, some seconds.
        self._refusal_expires = (step + 2) * EXPIRY_STEP_SECONDS
        self._today: dict[str, int] = {}
        self._messages: dict[bytes, Message | None] = {}
        self._counters: dict[CounterKey, Counter] = {}
        self._changed_messages: set[bytes] = set()
        self._changed_counters: set[CounterKey] = set()
        self._new_recipients: dict[tuple[bytes, bytes], None] = {}
        self._refusals: list[tuple[object, ...]] = []
        self._logged: dict[Place, tuple[object, ...]] = {}
        self._origins: dict[OriginKey, int] = {}
        self._telling = Telling(tables.outbox, tables.keeping, now_unix_ms)
        tables.log.begin()

    def do(self, item: Item) -> ChargeResult | Noted:
        """Do one item; see Store.apply."""
        if isinstance(item, Charge):
            return self._charge(item)
        if isinstance(item, Refusal):
            return self._note(item)
        self._telling.settle(item)
        return Noted.RECORDED

    def write(self) -> None:
        """Write what the items have changed."""
        messages = self._messages
        self._tables.write(
            messages=[(key, *(messages[key] or ())) for key in self._changed_messages],
            recipients=self._new_recipients,
            counters=[(*key, *self._counters[key]) for key in self._changed_counters],
            refusals=self._refusals,
            logged=self._logged.values(),
            origins=self._origins,
        )
        self._telling.write()

    def _charge(self, charge: Charge) -> ChargeResult:
        account, standing = self._tables.accounts.of(charge.account, charge.login)
        limits = charge.limits
        if standing is not None:
            if standing.locks(self._now_ms):
                return self._locked(account, charge, standing)
            limits = standing.limits(limits, self._now_ms)
        key = _message_key(charge.account, charge.instance) if charge.instance else b""
        message = self._message(key) if key else None
        day = self._day(charge.time_zone) if message is None else message.day
        recipient = _hash(charge.recipient) if key and charge.stage is Stage.RCPT else _OWN_ROW
        counter_keys = [(day, account, limit.name, limit.unit) for limit in limits]
        counters = [self._counter(counter_key) for counter_key in counter_keys]
        assessment = assess(
            charge,
            limits,
            charged=message.recipients if message else 0,
            recipient_known=message is not None
            and recipient != _OWN_ROW
            and (recipient == message.first or self._has_recipient(key, recipient)),
            counters=counters,
            resets_unix_ms=end_of_day(day, charge.time_zone),
        )
        for counter_key, before, after in zip(counter_keys, counters, assessment.counters, strict=True):
            if after != before:
                self._counters[counter_key] = after
                self._changed_counters.add(counter_key)
        if key and assessment.outcome is Outcome.CHARGED:
            if message is None:
                self._put_message(key, Message(day, assessment.recipients, self._expires, recipient))
            else:
                self._put_message(
                    key, message._replace(recipients=assessment.recipients, expires=self._expires)
                )
                if recipient != _OWN_ROW:
                    self._new_recipients[key, recipient] = None
        elif message is not None and message.expires < self._expires:
            self._put_message(key, message._replace(expires=self._expires))
        if assessment.units:
            address = self._tables.keeping.address(charge.address)
            origin = (day, account, charge.country, address, ACCEPTED, 0)
            self._origins[origin] = self._origins.get(origin, 0) + assessment.units
        for state in assessment.limits:
            if state.would_refuse:
                self._record_limits(day, account, charge, assessment)
                break
        for state in assessment.limits:
            if state.first_refusal or state.crossed_80:
                self._telling.of_limits(day, account, charge, assessment)
                break
        return ChargeResult(assessment.outcome, assessment.units, assessment.limits)

    def _locked(self, account: int, charge: Charge, standing: Standing) -> ChargeResult:
        until_ms = min(self._now_ms + REFUSED_MS, standing.locked_until_ms)
        self._refuse(self._day(charge.time_zone), account, LOCK, True, charge, until_ms)
        return ChargeResult(Outcome.LOCKED, 0, ())

    def _record_limits(self, day: int, account: int, charge: Charge, assessment: Assessment) -> None:
        """Record the limits that refused the charge, or, if none did, those that would have."""
        over = [
            (limit, state)
            for limit, state in zip(charge.limits, assessment.limits, strict=True)
            if state.would_refuse
        ]
        enforced = [(limit, state) for limit, state in over if limit.enforce]
        for limit, state in enforced or (() if charge.exempt else over):
            self._refuse(day, account, limit.name, limit.enforce, charge, state.resets_unix_ms, state)

    def _note(self, refusal: Refusal) -> Noted:
        account, standing = self._tables.accounts.of(refusal.account, refusal.login)
        key = _refusal_key(refusal) if refusal.decision_id else b""
        if key and self._message(key) is not None:
            # Asked again, because the answer was lost: the first answer stands.
            return Noted.RECORDED
        if standing is not None and standing.permits(refusal, self._now_ms):
            return Noted.OVERRIDDEN
        day = self._day(refusal.time_zone)
        until_ms = self._now_ms + REFUSED_MS
        self._refuse(day, account, refusal.rule, refusal.enforced, refusal, until_ms)
        self._telling.of_refusal(day, account, refusal)
        if key:
            self._put_message(key, Message(day, 0, self._refusal_expires, None))
        return Noted.RECORDED

    def _refuse(
        self,
        day: int,
        account: int,
        rule: str,
        enforced: bool,
        item: Charge | Refusal,
        until_ms: int,
        state: LimitState | None = None,
    ) -> None:
        country, address, now_ms = item.country, item.address, self._now_ms
        place = self._tables.log.place(account, day)
        self._logged[place] = refusal_log.row(place, now_ms, item, rule, enforced, state)
        maximum = None if state is None else state.maximum
        where = (country, address, item.decision_id)
        self._refusals.append((day, account, rule, enforced, now_ms, now_ms, *where, until_ms, maximum))
        origin = (day, account, country, address, rule, int(enforced))
        self._origins[origin] = self._origins.get(origin, 0) + 1

    def _day(self, time_zone: str) -> int:
        day = self._today.get(time_zone)
        if day is None:
            day = self._today[time_zone] = day_of(self._now_ms, time_zone)
        return day

    def _message(self, key: bytes) -> Message | None:
        if key not in self._messages:
            self._messages[key] = self._tables.message(key)
        return self._messages[key]

    def _has_recipient(self, key: bytes, recipient: bytes) -> bool:
        return (key, recipient) in self._new_recipients or self._tables.has_recipient(key, recipient)

    def _counter(self, key: CounterKey) -> Counter:
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._tables.counter(key)
        return counter

    def _put_message(self, key: bytes, message: Message) -> None:
        self._messages[key] = message
        self._changed_messages.add(key)


def _hash(value: bytes) -> bytes:
    return blake2b(value, digest_size=_HASH_BYTES).digest()


def _message_key(account: bytes, instance: bytes) -> bytes:
    """A hash of (account, instance), behind the second at which Postfix made the instance.

    So messages of one time lie together, and a batch of new ones touches a few pages of the ledger instead
    of one page each. Postfix's instance is `pid.seconds.microseconds.count` in hexadecimal (smtpd.c); of any
    other form only the hash counts.
    """
    # The length keeps (account "a", instance "bc") apart from ("ab", "c").
    digest = blake2b(b"%d:%b%b" % (len(account), account, instance), digest_size=_HASH_BYTES - 4).digest()
    fields = instance.split(b".", 2)
    try:
        seconds = int(fields[1], 16) if len(fields) == 3 else 0
    except ValueError:
        seconds = 0
    return (seconds & 0xFFFFFFFF).to_bytes(4) + digest


def _refusal_key(refusal: Refusal) -> bytes:
    """A refusal stands in the ledger as a message of its own, under a key that no message can have."""
    of = b"%d:%b%b" % (len(refusal.account), refusal.account, refusal.decision_id.encode())
    return b"refused:" + _hash(of + b":" + refusal.rule.encode())
