"""One decision from its question to its answer."""

from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.logs import Level
from decision.country_data import CountryData
from decision.decider import OVERLOADED, QUOTA_UNAVAILABLE, Decider, Failure, Verdict
from decision.ids import ALPHABET
from decision.origins import Origin
from decision.policy import make_policy
from decision.quota_client import Answer, QuotaUnavailable
from decision.recorder import Recorder
from decision.settings import Settings
from decision.tail import Decision, Filter
from decision.verdict import LOCKED, LimitState, MailEvent, Mode, Stage, Verb
from protos import quota_pb2 as pb
from tests.support.charges import utc
from tests.support.mails import FakeQuota, Outcome, country_data, mail, origins
from tests.support.observed import Observed
from tests.support.policy import AMERICAN, GERMAN

MIDNIGHT = utc("2026-11-23 23:00")
FINE = LimitState(1000, 4, 0, MIDNIGHT, would_refuse=False)
OVER = LimitState(1000, 1000, 3, MIDNIGHT, would_refuse=True)
AWAY = QuotaUnavailable("down")
FROM_US = mail(client_address=AMERICAN.encode())
NOW = 1_800_000_000_000


class Case:
    """A decider, its quota, and every outcome that it gave."""

    def __init__(
        self,
        answer: Answer | None = (FINE,),
        *,
        data: CountryData | None = None,
        level: Level = Level.DEBUG,
        **settings: Any,
    ) -> None:
        self.seen = Observed()
        self.seen.log.logger.threshold = level
        self.quota = FakeQuota(answer)
        policy = make_policy(
            Settings(timezone="Europe/Berlin", **settings), origins(self.seen, data or country_data())
        )
        self.decider = Decider(policy, self.quota, log=self.seen.log.logger, metrics=self.seen.metrics)
        self.outcomes: list[Outcome] = []

    def decide(self, event: MailEvent, *, expires_unix_ms: int = NOW + 60_000) -> None:
        self.decider.decide(
            event, expires_unix_ms=expires_unix_ms, now_unix_ms=NOW, decided=self.outcomes.append
        )

    def verdict(self, event: MailEvent) -> Verdict:
        """Decide one mail; there is exactly one outcome, a verdict."""
        before = len(self.outcomes)
        self.decide(event)
        (outcome,) = self.outcomes[before:]
        assert isinstance(outcome, Verdict)
        return outcome

    def failure(self, event: MailEvent) -> Failure:
        """Decide one mail; there is exactly one outcome, a failure."""
        before = len(self.outcomes)
        self.decide(event)
        (outcome,) = self.outcomes[before:]
        assert isinstance(outcome, Failure)
        return outcome

    @property
    def counted(self) -> dict[tuple[str, ...], float]:
        """decisions_total by (action, reason, mode), without the zeros."""
        return {labels: n for labels, n in self.seen.samples("decisions_total").items() if n}

    @property
    def lines(self) -> list[dict[str, Any]]:
        return self.seen.log.lines

    @property
    def modes(self) -> list[int]:
        """Of every limit that was charged."""
        return [limit.mode for charge in self.quota.charges for limit in charge.limits]


def test_mail_without_an_objection_passes() -> None:
    """DUNNO, with one charge on all limits and nothing to record."""
    case = Case()
    verdict = case.verdict(mail())

    assert (verdict.verb, verdict.text) == (Verb.DUNNO, "")
    assert case.modes == [pb.MODE_ENFORCE]
    assert case.quota.records == []
    assert case.counted == {("dunno", "none", "enforce"): 1}


@pytest.mark.parametrize(
    ("address", "country"), [(GERMAN, "DE"), (AMERICAN, "US"), ("127.0.0.1", ""), ("unknown", "")]
)
def test_a_charge_says_where_the_client_is(address: str, country: str) -> None:
    """Its country, if it has one, whatever the country rule says; the look-up is not counted twice."""
    case = Case(country_mode=Mode.OBSERVE)
    case.decide(mail(client_address=address.encode()))
    (charge,) = case.quota.charges

    assert charge.country == country
    assert sum(case.seen.samples("geoip_lookups_total").values()) == 1


def test_a_charge_says_who_is_exempt() -> None:
    """So that quota does not record him as one who would have been refused."""
    case = Case(exempt_accounts=frozenset({b"alice"}))
    for account in (b"alice", b"bob"):
        case.decide(mail(account=account))

    assert [charge.exempt for charge in case.quota.charges] == [True, False]


def test_mail_from_another_country_is_refused_uncharged() -> None:
    """REJECT with code, country and id; quota is told of the refusal and charges nothing."""
    case = Case()
    verdict = case.verdict(FROM_US)

    assert verdict.verb is Verb.REJECT
    assert verdict.text == f"5.7.1 Sending mail from country US is not allowed (id {verdict.decision_id})"
    assert case.quota.charges == []
    (record,) = case.quota.records
    assert (record.rule, record.enforced, record.decision_id) == ("country", True, verdict.decision_id)
    assert (record.objection.country, record.day.time_zone) == ("US", "Europe/Berlin")
    assert case.counted == {("reject", "country", "enforce"): 1}


def test_mail_over_the_limit_is_deferred() -> None:
    """DEFER with code, limit, the end of the day in the configured zone, and id."""
    case = Case([OVER])
    verdict = case.verdict(mail())

    assert verdict.verb is Verb.DEFER
    assert verdict.text == (
        "4.7.1 Daily limit of 1000 recipients reached, it ends 2026-11-24 00:00 CET"
        f" (id {verdict.decision_id})"
    )
    assert case.quota.records == []
    assert case.counted == {("defer", "quota", "enforce"): 1}


def test_mail_over_the_limit_can_be_rejected() -> None:
    """The quota_action decides."""
    case = Case([OVER], quota_action="reject")
    verdict = case.verdict(mail())

    assert verdict.verb is Verb.REJECT
    assert verdict.text.startswith("5.7.1 Daily limit of 1000 recipients reached")
    assert case.counted == {("reject", "quota", "enforce"): 1}


@pytest.mark.parametrize("rules", [("country", "quota"), ("quota", "country")])
def test_nothing_is_charged_that_another_rule_refuses(rules: tuple[str, ...]) -> None:
    """In whatever order the rules are listed."""
    case = Case([OVER], rules=rules)

    assert case.verdict(FROM_US).text.startswith("5.7.1 Sending mail from country US")
    assert case.quota.charges == []


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.END_OF_MESSAGE])
def test_stages_with_recipients_charge(stage: Stage) -> None:
    """Quota is asked with the mail as it is."""
    case = Case()
    event = mail(stage=stage, recipient_count=3)
    case.verdict(event)

    (charge,) = case.quota.charges
    assert charge.event == event


def test_other_stages_never_charge() -> None:
    """At HELO or MAIL only a lock is looked for, and the country rule is asked."""
    case = Case(())

    assert case.verdict(mail(stage=Stage.OTHER)).verb is Verb.DUNNO
    assert case.verdict(FROM_US._replace(stage=Stage.OTHER)).verb is Verb.REJECT
    assert [(charge.limits, charge.day.time_zone) for charge in case.quota.charges] == [((), "Europe/Berlin")]


def test_an_observing_quota_lets_pass() -> None:
    """Over the limit the mail passes; it is charged on, logged and counted as would-have-refused."""
    case = Case([OVER], quota_mode=Mode.OBSERVE)
    verdict = case.verdict(mail())

    assert (verdict.verb, verdict.text) == (Verb.DUNNO, "")
    assert case.modes == [pb.MODE_OBSERVE]
    assert case.counted == {("dunno", "quota", "observe"): 1}
    (line,) = case.lines
    assert line["level"] == "warning"
    assert (line["action"], line["reason"], line["mode"]) == ("DUNNO", "quota", "observe")


def test_an_observing_country_rule_lets_pass() -> None:
    """The mail passes and is charged; the refusal that was none is recorded, logged and counted."""
    case = Case(country_mode=Mode.OBSERVE)
    verdict = case.verdict(FROM_US)

    assert (verdict.verb, verdict.text) == (Verb.DUNNO, "")
    assert case.modes == [pb.MODE_ENFORCE]
    (record,) = case.quota.records
    assert (record.rule, record.enforced) == ("country", False)
    assert case.counted == {("dunno", "country", "observe"): 1}
    (line,) = case.lines
    assert line["level"] == "warning"
    assert (line["action"], line["reason"], line["mode"]) == ("DUNNO", "country", "observe")
    assert line["country"] == "US"


EXEMPT = [
    pytest.param({"exempt_networks": (ip_network("8.8.8.0/24"),)}, "alice", id="network"),
    pytest.param({}, "ALICE", id="account"),
]


@pytest.mark.parametrize(("settings", "login"), EXEMPT)
def test_exempt_senders_are_charged_and_never_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], login: str
) -> None:
    """Over every limit, from any country: charged in MODE_OBSERVE; objections are counted, not recorded."""
    if not settings:
        monkeypatch.setenv("MTPOLICYD_EXEMPT_ACCOUNTS", f"bob,{login}")
    case = Case([OVER], **settings)
    verdict = case.verdict(FROM_US)

    assert (verdict.verb, verdict.text) == (Verb.DUNNO, "")
    assert case.modes == [pb.MODE_OBSERVE]
    assert case.quota.records == []
    assert case.counted == {("dunno", "country", "exempt"): 1, ("dunno", "quota", "exempt"): 1}


def test_an_exempt_sender_without_an_objection_is_like_any_other() -> None:
    """Exemption shows only where it made a difference."""
    case = Case([FINE], exempt_networks=(ip_network("84.128.0.0/16"),))

    assert case.verdict(mail()).verb is Verb.DUNNO
    assert case.modes == [pb.MODE_OBSERVE]
    assert case.counted == {("dunno", "none", "enforce"): 1}


@pytest.mark.parametrize(
    ("answer", "failure", "cause"),
    [
        (AWAY, QUOTA_UNAVAILABLE, "quota_unavailable"),
        (QuotaUnavailable("overload", overloaded=True), OVERLOADED, "overloaded"),
    ],
)
def test_without_quota_there_is_no_verdict(answer: QuotaUnavailable, failure: Failure, cause: str) -> None:
    """The failure action is the frontend's; overload is told apart from an outage."""
    case = Case(answer)

    assert case.failure(mail()) == failure
    assert case.seen.sample("undecided_total", cause=cause) == 1
    assert case.counted == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"quota_mode": Mode.OBSERVE},
        {"exempt_networks": (ip_network("84.128.0.0/16"),)},
    ],
)
def test_whom_quota_could_not_refuse_passes_without_it(settings: dict[str, Any]) -> None:
    """Mail of exempt senders, and all mail while quota only observes, passes in an outage."""
    case = Case(AWAY, **settings)

    assert case.verdict(mail()).verb is Verb.DUNNO
    assert case.seen.sample("undecided_total", cause="quota_unavailable") == 0


@pytest.mark.parametrize("settings", [{"quota_mode": Mode.OFF}, {"rules": ("country",)}])
@pytest.mark.parametrize("answer", [AWAY, ()], ids=["away", "there"])
def test_without_a_quota_rule_only_a_lock_is_looked_for(
    settings: dict[str, Any], answer: QuotaUnavailable | tuple[()]
) -> None:
    """Mail passes, also if quota cannot be asked."""
    case = Case(answer, **settings)

    assert case.verdict(mail()).verb is Verb.DUNNO
    assert [charge.limits for charge in case.quota.charges] == [()]


def test_the_country_rule_needs_no_quota() -> None:
    """In an outage of quota a thief abroad is still refused."""
    case = Case(AWAY)
    verdict = case.verdict(FROM_US)

    assert verdict.verb is Verb.REJECT
    assert case.counted == {("reject", "country", "enforce"): 1}


def test_a_would_be_refusal_is_not_lost_when_quota_is_away() -> None:
    """What an observing rule found is logged and counted, though there is no verdict."""
    case = Case(AWAY, country_mode=Mode.OBSERVE)

    assert case.failure(FROM_US) == QUOTA_UNAVAILABLE
    assert [line["reason"] for line in case.lines if line["level"] == "warning"] == ["country"]
    assert case.counted == {("dunno", "country", "observe"): 1}


def test_the_answer_of_quota_is_waited_for() -> None:
    """There is no outcome before quota has answered, and exactly one afterwards."""
    case = Case(None)
    case.decide(mail())
    assert case.outcomes == []

    (done,) = case.quota.open
    done([FINE])
    assert [type(outcome) for outcome in case.outcomes] == [Verdict]


@pytest.mark.parametrize(("left_ms", "asked_ms"), [(60_000, 1500), (1500, 1500), (700, 700), (1, 1)])
def test_quota_is_waited_for_only_so_long(left_ms: int, asked_ms: int) -> None:
    """1.5 s at most, and never past the question's own deadline."""
    case = Case(None)
    case.decide(mail(), expires_unix_ms=NOW + left_ms)

    (charge,) = case.quota.charges
    assert charge.expires_unix_ms == NOW + asked_ms
    assert charge.timeout == pytest.approx(asked_ms / 1000, abs=0.5)
    assert charge.timeout <= asked_ms / 1000


def test_every_decision_has_an_id_of_its_own() -> None:
    """It is the one in the text, in the charge and in the log."""
    case = Case([OVER])
    verdicts = [case.verdict(mail()) for _ in range(20)]
    ids = [verdict.decision_id for verdict in verdicts]

    assert len(set(ids)) == 20
    assert all(len(value) == 10 and set(value) <= set(ALPHABET) for value in ids)
    assert [charge.decision_id for charge in case.quota.charges] == ids
    assert [line["id"] for line in case.lines] == ids
    assert all(verdict.text.endswith(f" (id {verdict.decision_id})") for verdict in verdicts)


def test_mail_that_passes_has_an_id_too() -> None:
    """The admin finds its line by it."""
    case = Case()
    assert case.verdict(mail()).decision_id == case.lines[0]["id"]


def test_one_line_tells_everything_about_a_decision() -> None:
    """At info for mail that passes: the mail, the country and the state of the first limit."""
    case = Case()
    verdict = case.verdict(mail(stage=Stage.DATA, recipient_count=3))

    (line,) = case.lines
    assert line.pop("ms") >= 0
    assert line == {
        "event": "decision",
        "level": "info",
        "id": verdict.decision_id,
        "action": "DUNNO",
        "reason": "none",
        "mode": "enforce",
        "stage": "DATA",
        "instance": b"i1",
        "queue_id": b"4XyZ",
        "login": b"Alice",
        "sender": b"alice@example.org",
        "recipient": b"bob@example.net",
        "recipient_count": 3,
        "client": b"84.128.0.1",
        "context": b"submission",
        "country": "DE",
        "used": 4,
        "limit": 1000,
        "refused": 0,
        "settings": "",
    }


def test_a_line_tells_how_long_the_decision_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds, from the question to the answer."""
    case = Case(None)
    monkeypatch.setattr("decision.decider.time", SimpleNamespace(perf_counter=lambda: 100.0))
    case.decide(mail())
    monkeypatch.setattr("decision.decider.time", SimpleNamespace(perf_counter=lambda: 100.0123456))
    case.quota.open[0]([FINE])

    assert [line["ms"] for line in case.lines] == [12.346]


@pytest.mark.parametrize(
    ("event", "answer", "action", "reason"),
    [(FROM_US, FINE, "REJECT", "country"), (mail(), OVER, "DEFER", "quota")],
)
def test_refusals_are_logged_at_warning(
    event: MailEvent, answer: LimitState, action: str, reason: str
) -> None:
    """The default level shows them."""
    case = Case([answer], level=Level.WARNING)
    case.verdict(event)

    (line,) = case.lines
    assert line["level"] == "warning"
    assert (line["action"], line["reason"], line["mode"]) == (action, reason, "enforce")


def test_a_line_for_each_refusal_looks_no_address_up_again() -> None:
    """The look-up counter counts requests, not log lines."""
    case = Case()
    case.verdict(FROM_US)
    assert case.seen.sample("geoip_lookups_total", result="hit") == 1


@pytest.mark.parametrize("answer", [[FINE], AWAY])
def test_at_level_1_mail_that_passes_leaves_no_line(
    answer: Answer,
) -> None:
    """Neither does mail without a verdict: an outage is one line elsewhere, not one for each mail."""
    case = Case(answer, level=Level.WARNING)
    for stage in Stage:
        case.decide(mail(stage=stage))
    assert case.lines == []


@pytest.mark.parametrize("answer", [[OVER], AWAY])
def test_at_level_1_exempt_senders_leave_no_line(answer: Answer) -> None:
    """That they pass is the admin's own wish; at info the line names every rule that objected."""
    networks = (ip_network("8.8.8.0/24"),)
    quiet = Case(answer, level=Level.WARNING, exempt_networks=networks)
    quiet.verdict(FROM_US)
    assert quiet.lines == []

    case = Case(answer, level=Level.INFO, exempt_networks=networks)
    case.verdict(FROM_US)
    (line,) = case.lines
    assert (line["level"], line["action"], line["mode"]) == ("info", "DUNNO", "exempt")
    assert line["would_refuse"] == ("country" if answer is AWAY else "country,quota")


def test_a_line_names_every_rule_that_would_have_refused() -> None:
    """Beside the one that did."""
    case = Case([OVER], country_mode=Mode.OBSERVE)
    case.verdict(FROM_US)

    (line,) = case.lines
    assert (line["reason"], line["mode"], line["would_refuse"]) == ("quota", "enforce", "country")


def test_mail_without_a_verdict_leaves_a_line_at_info() -> None:
    """It tells why."""
    case = Case(AWAY, level=Level.INFO)
    case.failure(mail())

    (line,) = case.lines
    assert (line["event"], line["level"], str(line["cause"])) == ("undecided", "info", "down")


def test_a_decision_has_one_line_even_if_two_rules_object() -> None:
    """The line of a refused mail says that it was refused."""
    case = Case([OVER], country_mode=Mode.OBSERVE)
    verdict = case.verdict(FROM_US)

    assert verdict.verb is Verb.DEFER
    assert [(line["id"], line["action"]) for line in case.lines] == [(verdict.decision_id, "DEFER")]


def test_would_be_refusals_of_two_rules_are_both_counted() -> None:
    """Observing everything, the admin sees what each rule would do."""
    case = Case([OVER], country_mode=Mode.OBSERVE, quota_mode=Mode.OBSERVE)

    assert case.verdict(FROM_US).verb is Verb.DUNNO
    assert case.counted == {("dunno", "country", "observe"): 1, ("dunno", "quota", "observe"): 1}


def test_every_label_is_there_from_the_start() -> None:
    """Otherwise the first refusal would be invisible to rate()."""
    case = Case()

    assert case.seen.samples("decisions_total") == {
        (action, reason, mode): 0
        for action in ("dunno", "defer", "reject")
        for reason in ("none", "country", "quota", "lock")
        for mode in ("enforce", "observe", "exempt")
    }
    assert case.seen.samples("undecided_total") == {
        ("quota_unavailable",): 0,
        ("overloaded",): 0,
        ("internal",): 0,
    }


def test_the_reply_is_printable_ascii() -> None:
    """Whatever rule refuses, Postfix can hand the text on."""
    for case, event in ((Case([OVER]), mail()), (Case(), FROM_US)):
        text = case.verdict(event).text
        assert text.isascii()
        assert text.isprintable()


class FakeRecorder(Recorder):
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[bytes, str, str, str]] = []

    def record(self, event: MailEvent, origin: Origin, verb: str, rule: str) -> None:
        self.given.append((event.client_address, origin.country, verb, rule))


def test_every_answer_is_recorded_while_that_is_on() -> None:
    """Passed, refused by either rule, spared, without a verdict; whatever is logged."""
    case = Case(level=Level.ERROR)
    case.verdict(mail())
    recorder = case.decider.recorder = FakeRecorder()
    case.verdict(mail())
    case.verdict(FROM_US)
    case.quota.answer = [OVER]
    case.verdict(mail())
    case.quota.answer = AWAY
    case.failure(mail())
    case.decider.recorder = None
    case.verdict(FROM_US)
    spared = Case(country_mode=Mode.OBSERVE)
    spared.decider.recorder = recorder
    spared.verdict(FROM_US)
    german = mail().client_address

    assert recorder.given == [
        (german, "DE", "DUNNO", "none"),
        (AMERICAN.encode(), "US", "REJECT", "country"),
        (german, "DE", "DEFER", "quota"),
        (german, "DE", "none", "none"),
        (AMERICAN.encode(), "US", "DUNNO", "none"),
    ]


# Locks and permits


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"quota_mode": Mode.OBSERVE},
        {"rules": ("country",)},
        {"exempt_accounts": frozenset({b"alice"})},
    ],
    ids=["enforced", "observed", "no limit", "exempt"],
)
@pytest.mark.parametrize("stage", list(Stage))
def test_a_locked_account_is_refused(settings: dict[str, Any], stage: Stage) -> None:
    """Whatever the rules say, at each stage, with a text that says nothing private."""
    case = Case(LOCKED, **settings)
    verdict = case.verdict(mail(stage=stage))

    assert verdict == Verdict(
        Verb.REJECT,
        "5.7.1 Sending mail with this login is not allowed, please ask your postmaster"
        f" (id {verdict.decision_id})",
        verdict.decision_id,
    )
    assert case.counted == {("reject", "lock", "enforce"): 1}
    assert [(line["reason"], line["action"]) for line in case.lines] == [("lock", "REJECT")]
    # quota counts it there.
    assert sum(case.seen.samples("blocks_total").values()) == 0


def test_a_permit_lets_mail_from_another_country_pass() -> None:
    """Quota says so when it is told of the refusal; the mail is charged like any other."""
    case = Case()
    case.quota.overrides = ("country",)
    verdict = case.verdict(FROM_US)

    assert verdict.verb is Verb.DUNNO
    assert len(case.quota.charges) == len(case.quota.records) == 1
    assert case.quota.charges[0].limits
    assert case.quota.charges[0].decision_id == case.quota.records[0].decision_id
    assert case.counted == {("dunno", "none", "enforce"): 1}
    (line,) = case.lines
    assert (line["permitted"], line["reason"]) == ("country", "none")


def test_a_permit_does_not_help_against_the_limit() -> None:
    """The chain goes on behind the country rule."""
    case = Case([OVER])
    case.quota.overrides = ("country",)
    verdict = case.verdict(FROM_US)

    assert verdict.verb is Verb.DEFER
    assert case.counted == {("defer", "quota", "enforce"): 1}
    assert case.lines[0]["permitted"] == "country"


def test_a_permit_is_seen_where_the_rule_observes() -> None:
    """A traveller is not reported as one who would have been refused."""
    case = Case(country_mode=Mode.OBSERVE)
    case.quota.overrides = ("country",)

    assert case.verdict(FROM_US).verb is Verb.DUNNO
    assert case.counted == {("dunno", "none", "enforce"): 1}
    assert "would_refuse" not in case.lines[0]
    assert [record.enforced for record in case.quota.records] == [False]


def test_quota_is_asked_about_a_permit_before_the_answer() -> None:
    """And the verdict waits for it; both share one deadline."""
    case = Case()
    case.quota.overrides = None
    case.decide(FROM_US, expires_unix_ms=NOW + 700)
    before = list(case.outcomes)
    (done,) = case.quota.open_records
    done(True)

    assert before == []
    assert [type(outcome) for outcome in case.outcomes] == [Verdict]
    (record,), (charge,) = case.quota.records, case.quota.charges
    assert record.expires_unix_ms == charge.expires_unix_ms == NOW + 700
    assert charge.timeout <= record.timeout <= 0.7


def test_the_look_up_of_a_permitted_mail_is_counted_once() -> None:
    """The country rule is not asked a second time."""
    case = Case()
    case.quota.overrides = ("country",)
    case.decide(FROM_US)

    assert sum(case.seen.samples("geoip_lookups_total").values()) == 1


def test_an_exempt_sender_needs_no_permit() -> None:
    """Quota is not told of what would not have been refused."""
    case = Case(exempt_accounts=frozenset({b"alice"}))
    case.decide(FROM_US)

    assert case.quota.records == []
    assert len(case.quota.charges) == 1


def test_a_bug_behind_a_permit_is_an_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request hears that there is no verdict; it is counted and logged."""
    case = Case()
    case.quota.overrides = ("country",)
    monkeypatch.setattr(case.quota, "charge", lambda *_, **__: 1 / 0)

    assert case.failure(FROM_US).reason == "internal"
    assert case.seen.sample("undecided_total", cause="internal") == 1
    assert [line["event"] for line in case.lines] == ["internal_error"]


# Who watches


async def told(case: Case, *events: MailEvent) -> list[Decision]:
    """What somebody who watches is told of these."""
    reader = case.decider.tail.open(Filter())
    for event in events:
        case.decide(event)
    reader.close()
    return [decision async for _, some in reader.read() for decision in some]


async def test_who_watches_is_told_what_the_log_line_says() -> None:
    """Of what passes, and of what is refused, whatever is logged."""
    case = Case([OVER], level=Level.ERROR)
    over, foreign = await told(case, mail(), FROM_US)
    verdicts = case.outcomes

    assert (over.action, over.reason, over.mode, over.country) == ("DEFER", "quota", "enforce", "DE")
    assert over.state == OVER
    assert (foreign.action, foreign.reason, foreign.country, foreign.state) == (
        "REJECT",
        "country",
        "US",
        None,
    )
    assert [over.decision_id, foreign.decision_id] == [
        verdict.decision_id for verdict in verdicts if isinstance(verdict, Verdict)
    ]


async def test_who_watches_is_told_when_and_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds: since 1970 when it was answered, and from the question to the answer."""
    case = Case(None)
    reader = case.decider.tail.open(Filter())
    monkeypatch.setattr("decision.decider.time", SimpleNamespace(perf_counter=lambda: 100.0))
    case.decide(mail())
    later = SimpleNamespace(perf_counter=lambda: 100.0123456, time=lambda: NOW / 1000 + 0.012)
    monkeypatch.setattr("decision.decider.time", later)
    case.quota.open[0]([FINE])
    reader.close()
    (told,) = [decision async for _, some in reader.read() for decision in some]

    assert (told.at_unix_ms, told.ms) == (NOW + 12, 12.346)


@pytest.mark.parametrize(("exempt", "mode"), [(False, "observe"), (True, "exempt")])
async def test_who_watches_is_told_what_would_have_been_refused(exempt: bool, mode: str) -> None:
    """With the rule, and why it let pass."""
    accounts = frozenset({b"alice"}) if exempt else frozenset()
    (passed,) = await told(Case(country_mode=Mode.OBSERVE, exempt_accounts=accounts), FROM_US)

    assert (passed.action, passed.reason, passed.mode) == ("DUNNO", "country", mode)
    assert passed.would_refuse == "country"


async def test_who_watches_is_told_what_could_not_be_decided() -> None:
    """Its action is `none`."""
    (undecided,) = await told(Case(AWAY), mail())

    assert (undecided.action, undecided.reason, undecided.state) == ("none", "none", None)


def test_nothing_is_made_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody watches."""
    case = Case(level=Level.ERROR)
    monkeypatch.setattr(case.decider.tail, "publish", lambda _: pytest.fail("nobody watches"))
    case.decide(mail())


async def test_who_watches_is_told_of_a_lock_and_of_a_permit() -> None:
    """The one is a reason of its own, the other is why a rule did not refuse."""
    (locked,) = await told(Case(LOCKED), mail())
    permitted = Case()
    permitted.quota.overrides = ("country",)
    (passed,) = await told(permitted, FROM_US)

    assert (locked.action, locked.reason, locked.mode) == ("REJECT", "lock", "enforce")
    assert (passed.action, passed.reason, passed.permitted) == ("DUNNO", "none", "country")
