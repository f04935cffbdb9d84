"""One decision from its question to its answer: the chain, the charge at quota, the log line, the counts."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from chassis.blocks import Blocks
from chassis.logs import Level, Logger
from chassis.metrics import Metrics
from chassis.printable import Name
from decision.chain import NO_OBJECTION, Finding, Opinion
from decision.ids import new_decision_id
from decision.policy import Policy
from decision.quota_client import Answer, QuotaClient, QuotaUnavailable
from decision.recorder import Recorder
from decision.rules import LOOKING, RULES
from decision.tail import Decision, Tail
from decision.verdict import LOCK, LOCKED, LimitState, MailEvent, Objection, Stage, Verb

QUOTA_SECONDS = 1.5
NO_REASON = "none"
# RFC 3463: delivery not authorized. Why an account was locked is between the admin and its user.
LOCK_OBJECTION = Objection(
    Verb.REJECT, "5.7.1", "Sending mail with this login is not allowed, please ask your postmaster"
)


class Failure(NamedTuple):
    """There is no verdict; Postfix hears the failure action. `reason` is one of FAILURES."""

    reason: str


QUOTA_UNAVAILABLE = Failure("quota_unavailable")
OVERLOADED = Failure("overloaded")
INTERNAL = Failure("internal")  # a bug, which the log tells of
FAILURES = (QUOTA_UNAVAILABLE, OVERLOADED, INTERNAL)


class Verdict(NamedTuple):
    """What Postfix is told; `text` is complete, and empty with DUNNO."""

    verb: Verb
    text: str
    decision_id: str


Decided = Callable[[Verdict | Failure], None]


class _Case(NamedTuple):
    """One decision under way."""

    event: MailEvent
    policy: Policy
    exempt: bool
    decision_id: str
    started: float  # on the clock time.perf_counter, in seconds
    deadline: float  # the same; until then quota may be asked
    expires_unix_ms: int  # the same moment
    decided: Decided
    noted: tuple[Finding, ...] = ()
    permitted: tuple[str, ...] = ()  # rules whose objection an admin has overridden

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.perf_counter()


class _Told:
    """What quota has answered so far about the objections that it was told of."""

    __slots__ = ("overridden", "waiting")

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.overridden: list[str] = []


class Decider:
    """Decides for users who have logged in. Lives in one event loop."""

    def __init__(self, policy: Policy, quota: QuotaClient, *, log: Logger, metrics: Metrics) -> None:
        self.policy = policy
        self.recorder: Recorder | None = None  # while requests are to be recorded
        self.tail = Tail(log)
        self._quota = quota
        self._log = log
        rules = list(RULES)
        self._decisions = metrics.counter(
            "decisions_total",
            "Mail with a login, by rule that objected. In mode observe or exempt it passed all the same.",
            action=[verb.lower() for verb in Verb],
            reason=[NO_REASON, *rules, LOCK],
            mode=["enforce", "observe", "exempt"],
        )
        self._passed = self._decisions.labels("dunno", NO_REASON, "enforce")
        # What a limit or a lock refuses is counted by quota.
        self._blocks = Blocks(metrics, LOOKING)
        failures = metrics.counter(
            "undecided_total",
            "Requests without a verdict, by cause.",
            cause=[failure.reason for failure in FAILURES],
        )
        self._failures = {failure: failures.labels(failure.reason) for failure in FAILURES}

    def decide(self, event: MailEvent, *, expires_unix_ms: int, now_unix_ms: int, decided: Decided) -> None:
        """Decide one request; `decided` is called exactly once, perhaps before this returns."""
        policy = self.policy
        started = time.perf_counter()
        expires_unix_ms = min(expires_unix_ms, now_unix_ms + round(QUOTA_SECONDS * 1000))
        case = _Case(
            event,
            policy,
            policy.is_exempt(event.account, event.client_address),
            new_decision_id(),
            started,
            started + (expires_unix_ms - now_unix_ms) / 1000,
            expires_unix_ms,
            decided,
        )
        self._look(case)

    def _look(self, case: _Case) -> None:
        """Ask the rules that only look, but for those whose objection is known."""
        known = (*case.permitted, *[finding.rule for finding in case.noted])
        look = case.policy.chain.look(case.event, exempt=case.exempt, but=known)
        if look is NO_OBJECTION:
            self._charge(case)
        elif case.exempt:
            # He would not have been refused either: quota is not told.
            self._charge(case._replace(noted=look.noted))
        else:
            self._tell_quota(case, look)

    def _tell_quota(self, case: _Case, look: Opinion) -> None:
        """Have quota remember what was, or would have been, refused without a charge."""
        findings = [(finding, False) for finding in look.noted]
        if look.refusal is not None:
            findings.append((look.refusal, True))
        told = _Told(len(findings))
        for finding, enforced in findings:
            self._quota.record(
                case.event,
                finding.rule,
                finding.objection,
                enforced=enforced,
                decision_id=case.decision_id,
                settings=case.policy.version,
                day=case.policy.day,
                expires_unix_ms=case.expires_unix_ms,
                timeout=case.seconds_left,
                done=partial(self._told, case, look, told, finding.rule),
            )

    def _told(self, case: _Case, look: Opinion, told: _Told, rule: str, overridden: bool) -> None:
        told.waiting -= 1
        if overridden:
            told.overridden.append(rule)
        if not told.waiting:
            self._guarded(case, partial(self._go_on, case, look, told.overridden))

    def _go_on(self, case: _Case, look: Opinion, overridden: Sequence[str]) -> None:
        """Quota knows of the objections: those that stand, stand."""
        case = case._replace(
            noted=(*case.noted, *[finding for finding in look.noted if finding.rule not in overridden]),
            permitted=(*case.permitted, *overridden),
        )
        if look.refusal is None:
            self._charge(case)
        elif look.refusal.rule in overridden:
            self._look(case)
        else:
            self._close(case, look.refusal, ())

    def _charge(self, case: _Case) -> None:
        event, policy = case.event, case.policy
        self._quota.charge(
            event,
            # What charges nothing is sent for the sake of a lock alone.
            () if event.stage is Stage.OTHER else policy.limits[case.exempt],
            country=policy.origins.peek(event.client_address).country,
            exempt=case.exempt,
            decision_id=case.decision_id,
            settings=policy.version,
            day=policy.day,
            expires_unix_ms=case.expires_unix_ms,
            timeout=case.seconds_left,
            done=partial(self._answered, case),
        )

    def _answered(self, case: _Case, answer: Answer) -> None:
        self._guarded(case, partial(self._charged, case, answer))

    def _guarded(self, case: _Case, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception:  # a bug in a rule must not leave the request without an outcome
            self._failures[INTERNAL].inc()
            self._log.exception("internal_error", id=case.decision_id, login=Name(case.event.login))
            case.decided(INTERNAL)

    def _charged(self, case: _Case, answer: Answer) -> None:
        if answer is LOCKED:
            self._close(case, Finding(LOCK, LOCK_OBJECTION), ())
        elif not isinstance(answer, QuotaUnavailable):
            opinion = case.policy.chain.judge(answer, exempt=case.exempt) if answer else NO_OBJECTION
            if opinion.noted:
                case = case._replace(noted=case.noted + opinion.noted)
            self._close(case, opinion.refusal, answer)
        elif case.exempt or case.event.stage is Stage.OTHER or not case.policy.enforces_limits:
            # Whoever quota could not have refused, but for a lock, is not refused because quota is away.
            self._close(case, None, ())
        else:
            failure = OVERLOADED if answer.overloaded else QUOTA_UNAVAILABLE
            self._failures[failure].inc()
            case.decided(failure)
            self._tell("undecided", case, None, (), cause=answer)

    def _close(self, case: _Case, refusal: Finding | None, states: Sequence[LimitState]) -> None:
        # Answered first: nothing that happens to the log can change or delay a verdict.
        if refusal is None:
            case.decided(Verdict(Verb.DUNNO, "", case.decision_id))
            if not case.noted:
                self._passed.inc()
        else:
            objection = refusal.objection
            text = f"{objection.status} {objection.text} (id {case.decision_id})"
            case.decided(Verdict(objection.verb, text, case.decision_id))
            self._decisions.labels(objection.verb.lower(), refusal.rule, "enforce").inc()
            if refusal.rule in LOOKING:
                self._blocks.add(refusal.rule, objection.country)
        self._tell("decision", case, refusal, states)

    def _tell(
        self, event: str, case: _Case, refusal: Finding | None, states: Sequence[LimitState], **more: object
    ) -> None:
        """Write the one line of this case, and count what would have been refused."""
        verb = refusal.objection.verb if refusal else "none" if event == "undecided" else Verb.DUNNO
        if self.recorder is not None:
            origin = case.policy.origins.peek(case.event.client_address)
            self.recorder.record(case.event, origin, verb, refusal.rule if refusal else NO_REASON)
        mode = "exempt" if case.exempt else "observe"
        for finding in case.noted:
            self._decisions.labels("dunno", finding.rule, mode).inc()
        # An exempt sender is the admin's own wish; what observe mode lets pass is to be seen.
        loud = refusal is not None or (case.noted and not case.exempt)
        if self.tail.readers:
            self._publish(case, verb, refusal, states)
        if not loud and not self._log.enabled(Level.INFO):
            return
        decisive = refusal or (case.noted[0] if case.noted else None)
        mail = case.event
        origin = case.policy.origins.peek(mail.client_address)
        values: dict[str, object] = {
            "id": case.decision_id,
            "action": verb,
            "reason": decisive.rule if decisive else NO_REASON,
            "mode": "enforce" if refusal or decisive is None else mode,
            "stage": mail.stage.name,
            "instance": mail.instance,
            "queue_id": mail.queue_id,
            "login": Name(mail.login),
            "sender": mail.sender,
            "recipient": mail.recipient,
            "recipient_count": mail.recipient_count,
            "client": mail.client_address,
            "country": origin.country,
            "context": mail.policy_context,
        }
        if len(origin.answers) > 1:
            values["databases"] = origin
        if case.permitted:
            values["permitted"] = ",".join(case.permitted)
        if case.noted:
            values["would_refuse"] = ",".join(noted.rule for noted in case.noted)
        if states:
            values |= {"used": states[0].used, "limit": states[0].maximum, "refused": states[0].refused}
        values |= more
        values["settings"] = case.policy.version
        values["ms"] = round((time.perf_counter() - case.started) * 1000, 3)
        (self._log.warning if loud else self._log.info)(event, **values)

    def _publish(self, case: _Case, verb: str, refusal: Finding | None, states: Sequence[LimitState]) -> None:
        decisive = refusal or (case.noted[0] if case.noted else None)
        self.tail.publish(
            Decision(
                at_unix_ms=round(time.time() * 1000),
                decision_id=case.decision_id,
                action=verb,
                reason=decisive.rule if decisive else NO_REASON,
                mode="enforce" if refusal or decisive is None else "exempt" if case.exempt else "observe",
                event=case.event,
                country=case.policy.origins.peek(case.event.client_address).country,
                state=states[0] if states else None,
                settings=case.policy.version,
                would_refuse=",".join(noted.rule for noted in case.noted),
                permitted=",".join(case.permitted),
                ms=round((time.perf_counter() - case.started) * 1000, 3),
            )
        )
