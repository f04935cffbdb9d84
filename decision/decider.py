"""One decision from its question to its answer: the chain, the charge at quota, the log line, the counts."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from chassis.logs import Level, Logger
from chassis.metrics import Metrics
from decision.chain import Finding, Opinion
from decision.ids import new_decision_id
from decision.policy import Policy
from decision.quota_client import QuotaClient, QuotaUnavailable
from decision.verdict import LimitState, MailEvent, Stage, Verb

QUOTA_SECONDS = 1.5
NO_REASON = "none"


class Failure(NamedTuple):
    """There is no verdict; Postfix hears the failure action. `reason` is one of FAILURES."""

    reason: str


QUOTA_UNAVAILABLE = Failure("quota_unavailable")
OVERLOADED = Failure("overloaded")
FAILURES = (QUOTA_UNAVAILABLE, OVERLOADED)


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
    started: float
    noted: tuple[Finding, ...]
    decided: Decided


class Decider:
    """Decides for users who have logged in. Lives in one event loop."""

    def __init__(self, policy: Policy, quota: QuotaClient, *, log: Logger, metrics: Metrics) -> None:
        self.policy = policy
        self._quota = quota
        self._log = log
        rules = [rule.name for rule in policy.chain.rules]
        self._decisions = metrics.counter(
            "decisions_total",
            "Decisions on mail with a login. In mode observe or exempt it passed though a rule objected.",
            action=[verb.lower() for verb in Verb],
            reason=[NO_REASON, *rules],
            mode=["enforce", "observe", "exempt"],
        )
        self._passed = self._decisions.labels("dunno", NO_REASON, "enforce")
        failures = metrics.counter(
            "undecided_total",
            "Requests without a verdict, by cause.",
            cause=[failure.reason for failure in FAILURES],
        )
        self._failures = {failure: failures.labels(failure.reason) for failure in FAILURES}

    def decide(self, event: MailEvent, *, expires_unix_ms: int, now_unix_ms: int, decided: Decided) -> None:
        """Decide one request; `decided` is called exactly once, perhaps before this returns."""
        policy = self.policy
        exempt = policy.is_exempt(event.account, event.client_address)
        look = policy.chain.look(event, exempt=exempt)
        case = _Case(event, policy, exempt, new_decision_id(), time.perf_counter(), look.noted, decided)
        self._record(case, look)
        if look.refusal is not None or event.stage is Stage.OTHER or not policy.chain.limiting:
            self._close(case, look.refusal, ())
            return
        expires_unix_ms = min(expires_unix_ms, now_unix_ms + round(QUOTA_SECONDS * 1000))
        self._quota.charge(
            event,
            policy.limits[exempt],
            decision_id=case.decision_id,
            expires_unix_ms=expires_unix_ms,
            timeout=(expires_unix_ms - now_unix_ms) / 1000,
            done=partial(self._charged, case),
        )

    def _charged(self, case: _Case, answer: Sequence[LimitState] | QuotaUnavailable) -> None:
        if not isinstance(answer, QuotaUnavailable):
            opinion = case.policy.chain.judge(answer, exempt=case.exempt)
            self._close(case._replace(noted=case.noted + opinion.noted), opinion.refusal, answer)
            return
        if case.exempt or not case.policy.enforces_limits:
            # Whoever quota could not have refused is not refused because quota is away.
            self._close(case, None, ())
            return
        failure = OVERLOADED if answer.overloaded else QUOTA_UNAVAILABLE
        self._failures[failure].inc()
        if self._log.enabled(Level.INFO):
            self._log.info("undecided", id=case.decision_id, reason=answer, **_mail(case.event))
        case.decided(failure)

    def _close(self, case: _Case, refusal: Finding | None, states: Sequence[LimitState]) -> None:
        if refusal is None and not case.noted:
            self._passed.inc()
            if self._log.enabled(Level.INFO):
                self._log.info("decision", **self._line(case, None, states))
            case.decided(Verdict(Verb.DUNNO, "", case.decision_id))
            return
        mode = "exempt" if case.exempt else "observe"
        for finding in case.noted:
            self._decisions.labels("dunno", finding.rule, mode).inc()
            self._log.warning("decision", **self._line(case, finding, states, mode=mode))
        if refusal is None:
            case.decided(Verdict(Verb.DUNNO, "", case.decision_id))
            return
        objection = refusal.objection
        self._decisions.labels(objection.verb.lower(), refusal.rule, "enforce").inc()
        self._log.warning("decision", **self._line(case, refusal, states))
        text = f"{objection.status} {objection.text} (id {case.decision_id})"
        case.decided(Verdict(objection.verb, text, case.decision_id))

    def _record(self, case: _Case, look: Opinion) -> None:
        """Have quota remember what was, or would have been, refused without a charge."""
        findings = [(finding, False) for finding in look.noted]
        if look.refusal is not None:
            findings.append((look.refusal, True))
        for finding, enforced in findings:
            self._quota.record(
                case.event,
                finding.rule,
                finding.objection,
                enforced=enforced,
                decision_id=case.decision_id,
                time_zone=case.policy.time_zone,
                timeout=QUOTA_SECONDS,
            )

    def _line(
        self, case: _Case, finding: Finding | None, states: Sequence[LimitState], *, mode: str = "enforce"
    ) -> dict[str, object]:
        event = case.event
        passed = finding is None or mode != "enforce"
        values: dict[str, object] = {
            "id": case.decision_id,
            "action": Verb.DUNNO if passed or finding is None else finding.objection.verb,
            "reason": NO_REASON if finding is None else finding.rule,
            "mode": mode,
            **_mail(event),
            "country": case.policy.origins.peek(event.client_address).country,
        }
        if states:
            values |= {"used": states[0].used, "limit": states[0].maximum, "refused": states[0].refused}
        return values | {"ms": round((time.perf_counter() - case.started) * 1000, 3)}


def _mail(event: MailEvent) -> dict[str, object]:
    return {
        "stage": event.stage.name,
        "instance": event.instance,
        "queue_id": event.queue_id,
        "login": event.login,
        "sender": event.sender,
        "recipient": event.recipient,
        "recipient_count": event.recipient_count,
        "client": event.client_address,
        "context": event.policy_context,
    }
