"""One decision from its question to its answer: the chain, the charge at quota, the log line, the counts."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from chassis.blocks import Blocks
from chassis.logs import Level, Logger
from chassis.metrics import Metrics
from decision.chain import Finding, Opinion
from decision.ids import new_decision_id
from decision.policy import Policy
from decision.quota_client import QuotaClient, QuotaUnavailable
from decision.recorder import Recorder
from decision.rules import LOOKING, RULES
from decision.verdict import LimitState, MailEvent, Stage, Verb

QUOTA_SECONDS = 1.5
NO_REASON = "none"


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
    started: float
    noted: tuple[Finding, ...]
    decided: Decided


class Decider:
    """Decides for users who have logged in. Lives in one event loop."""

    def __init__(self, policy: Policy, quota: QuotaClient, *, log: Logger, metrics: Metrics) -> None:
        self.policy = policy
        self.recorder: Recorder | None = None  # while requests are to be recorded
        self._quota = quota
        self._log = log
        rules = list(RULES)
        self._decisions = metrics.counter(
            "decisions_total",
            "Mail with a login, by rule that objected. In mode observe or exempt it passed all the same.",
            action=[verb.lower() for verb in Verb],
            reason=[NO_REASON, *rules],
            mode=["enforce", "observe", "exempt"],
        )
        self._passed = self._decisions.labels("dunno", NO_REASON, "enforce")
        # What a limit refuses is counted by quota.
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
            country=policy.origins.peek(event.client_address).country,
            exempt=exempt,
            decision_id=case.decision_id,
            expires_unix_ms=expires_unix_ms,
            timeout=(expires_unix_ms - now_unix_ms) / 1000,
            done=partial(self._answered, case),
        )

    def _answered(self, case: _Case, answer: Sequence[LimitState] | QuotaUnavailable) -> None:
        try:
            self._charged(case, answer)
        except Exception:  # a bug in a rule must not leave the request without an outcome
            self._failures[INTERNAL].inc()
            self._log.exception("internal_error", id=case.decision_id, login=case.event.login)
            case.decided(INTERNAL)

    def _charged(self, case: _Case, answer: Sequence[LimitState] | QuotaUnavailable) -> None:
        if not isinstance(answer, QuotaUnavailable):
            opinion = case.policy.chain.judge(answer, exempt=case.exempt)
            if opinion.noted:
                case = case._replace(noted=case.noted + opinion.noted)
            self._close(case, opinion.refusal, answer)
        elif case.exempt or not case.policy.enforces_limits:
            # Whoever quota could not have refused is not refused because quota is away.
            self._close(case, None, ())
        else:
            failure = OVERLOADED if answer.overloaded else QUOTA_UNAVAILABLE
            self._failures[failure].inc()
            case.decided(failure)
            self._tell("undecided", case, None, (), cause=answer)

    def _close(self, case: _Case, refusal: Finding | None, states: Sequence[LimitState]) -> None:
        # Answered first: nothing that happens to the log can change or delay a verdict.
        if refusal is None:
            if not case.noted:
                self._passed.inc()
            case.decided(Verdict(Verb.DUNNO, "", case.decision_id))
        else:
            objection = refusal.objection
            self._decisions.labels(objection.verb.lower(), refusal.rule, "enforce").inc()
            text = f"{objection.status} {objection.text} (id {case.decision_id})"
            case.decided(Verdict(objection.verb, text, case.decision_id))
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
            "login": mail.login,
            "sender": mail.sender,
            "recipient": mail.recipient,
            "recipient_count": mail.recipient_count,
            "client": mail.client_address,
            "country": origin.country,
            "context": mail.policy_context,
        }
        if len(origin.answers) > 1:
            values["databases"] = origin
        if case.noted:
            values["would_refuse"] = ",".join(noted.rule for noted in case.noted)
        if states:
            values |= {"used": states[0].used, "limit": states[0].maximum, "refused": states[0].refused}
        values |= more
        values["settings"] = case.policy.version
        values["ms"] = round((time.perf_counter() - case.started) * 1000, 3)
        (self._log.warning if loud else self._log.info)(event, **values)

    def _record(self, case: _Case, look: Opinion) -> None:
        """Have quota remember what was, or would have been, refused without a charge."""
        # An exempt sender would not have been refused either.
        findings = [] if case.exempt else [(finding, False) for finding in look.noted]
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
