"""Every alert fires when it should, and only then: promtool computes it, without a server.

The tests hold for Prometheus 2.42 and for 3.x, whose ranges are open at their left end: no test depends on a
sample that lies exactly there.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.monitoring.boards import DASHBOARDS
from tests.monitoring.rules import RULES, RUNBOOKS, alerts, recorded, rule_files, rules
from tests.support.programs import require_program
from tests.support.protos import ROOT

FRONTEND = 'job="mtpolicyd-frontend",instance="f:9101"'
DECISION = 'job="mtpolicyd-decision",instance="d:9102"'
QUOTA = 'job="mtpolicyd-quota",instance="q:9103"'
DAY = 86400

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """What Prometheus has scraped, and when the alert is to be firing.

    Args:
        series: values in promtool's notation (https://prometheus.io/docs/prometheus/latest/configuration/
            unit_testing_rules/#series), by series, one for each `step`.
        fires: by time, the labels of each alert that fires, without its severity.
        silent: times at which it does not.
        text: annotations that are made of labels or values, as they are shown.
    """

    alert: str
    when: str
    series: Mapping[str, str]
    fires: Mapping[str, Sequence[Labels]] = field(default_factory=dict)
    silent: Sequence[str] = ()
    text: Mapping[str, str] = field(default_factory=dict)
    step: str = "1m"


def since(account: str, reason: str, country: str) -> str:
    labels = f'account="{account}",country="{country}",reason="{reason}"'
    return f"mtpolicyd_blocked_sender_since_timestamp_seconds{{{labels},{QUOTA}}}"


def jobs(name: str) -> Sequence[Labels]:
    return [{"job": f"mtpolicyd-{name}"}]


STOLEN_TEXT = {
    "summary": "Account eve is refused by the country rule",
    "description": (
        "Last refused from US. Somebody else may have the password. It ends when the refusal does."
    ),
}
UNNAMED_TEXT = {
    "summary": "An account is refused by the quota rule",
    "description": "Somebody else may have the password. It ends when the refusal does.",
}
BUCKETS = ("0.25", "0.5", "1.0", "+Inf")


def histogram(name: str, labels: str, quick: str, slow: str) -> dict[str, str]:
    """Observations of which `quick` took up to 0.25 s and all up to 1 s, as cumulative buckets."""
    series = {f'{name}_bucket{{le="{le}",{labels}}}': quick if float(le) < 1 else slow for le in BUCKETS}
    return series | {f"{name}_count{{{labels}}}": slow}


def answers(quick: str, slow: str) -> dict[str, str]:
    return histogram("mtpolicyd_request_duration_seconds", FRONTEND, quick, slow)


def transactions(quick: str, slow: str) -> dict[str, str]:
    return histogram("mtpolicyd_store_operation_seconds", f'op="apply",{QUOTA}', quick, slow)


CASES = [
    Case(
        "MtpolicydStolenAccount",
        "an account is refused, and later no longer",
        {
            since("eve", "country", "US"): "_x2 1000x5 stale",
            f'mtpolicyd_blocked_senders{{reason="country",{QUOTA}}}': "0x2 1x5 0x9",
            f"mtpolicyd_blocked_senders_listed{{{QUOTA}}}": "0x2 1x5 0x9",
        },
        fires={"5m": [{"account": "eve", "reason": "country"}]},
        silent=["1m", "10m"],
        text=STOLEN_TEXT,
    ),
    Case(
        "MtpolicydStolenAccount",
        "a thief comes from one country after the other: that is one alert, whatever the login is made of",
        {
            since(r"a\\x80", "country", "BR"): "1000x3 stale",
            since(r"a\\x80", "country", "VN"): "_x3 1000x9",
        },
        fires={"5m": [{"account": r"a\x80", "reason": "country"}]},
        text={
            "summary": r"Account a\x80 is refused by the country rule",
            "description": STOLEN_TEXT["description"].replace("US", "VN"),
        },
    ),
    Case(
        "MtpolicydStolenAccount",
        "an admin has locked an account: somebody knows already",
        {
            since("eve", "lock", "US"): "_x2 1000x9",
            f'mtpolicyd_blocked_senders{{reason="lock",{QUOTA}}}': "0x2 1x9",
            f"mtpolicyd_blocked_senders_listed{{{QUOTA}}}": "0x20",
        },
        silent=["1m", "5m", "10m"],
    ),
    Case(
        "MtpolicydStolenAccount",
        "accounts are not to be named",
        {
            f'mtpolicyd_blocked_senders{{reason="quota",{QUOTA}}}': "0x2 1x5 0x9",
            f'mtpolicyd_blocked_senders{{reason="country",{QUOTA}}}': "0x20",
            f"mtpolicyd_blocked_senders_listed{{{QUOTA}}}": "0x20",
        },
        fires={"5m": [{"reason": "quota"}]},
        silent=["1m", "12m"],
        text=UNNAMED_TEXT,
    ),
    Case(
        "MtpolicydStolenAccount",
        "the list is full of locked accounts whose thieves go on: the new one has no place in it",
        {
            since("eve", "lock", "US"): "1000x20",
            f'mtpolicyd_blocked_senders{{reason="lock",{QUOTA}}}': "1x20",
            f'mtpolicyd_blocked_senders{{reason="quota",{QUOTA}}}': "0x5 1x20",
            f"mtpolicyd_blocked_senders_listed{{{QUOTA}}}": "1x20",
        },
        fires={"8m": [{"reason": "quota"}]},
        silent=["4m"],
        text=UNNAMED_TEXT,
    ),
    Case(
        "MtpolicydRefusalSurge",
        "a hundred times as many as the day before",
        {f'mtpolicyd_blocks_total{{country="US",reason="country",{DECISION}}}': "0+1x144 244+100x10"},
        fires={"1500m": [{}]},
        silent=["600m", "1430m"],
        step="10m",
    ),
    Case(
        "MtpolicydRefusalSurge",
        "a Prometheus that is younger than a day",
        {f'mtpolicyd_blocks_total{{country="US",reason="country",{DECISION}}}': "0x5 10+10x20"},
        fires={"14m": [{}]},
        silent=["5m"],
    ),
    Case(
        "MtpolicydRefusalSurge",
        "a site that always refuses many",
        {f'mtpolicyd_blocks_total{{country="US",reason="country",{DECISION}}}': "0+100x150"},
        silent=["1500m"],
        step="10m",
    ),
    Case(
        "MtpolicydServiceDown",
        "a container that has died is forgotten by Docker's DNS; a fixed target stands, with 0",
        {
            f"up{{{FRONTEND}}}": "1x20",
            f"up{{{DECISION}}}": "1x5 stale",
            f"up{{{QUOTA}}}": "1x5 0x14",
        },
        fires={"8m": [*jobs("decision"), *jobs("quota")]},
        silent=["5m", "6m"],
        text={"summary": "mtpolicyd-decision is down"},
    ),
    Case(
        "MtpolicydServiceDown",
        "one of two replicas is down",
        {
            f"up{{{FRONTEND}}}": "1x20",
            'up{job="mtpolicyd-frontend",instance="g:9101"}': "0x20",
            f"up{{{DECISION}}}": "1x20",
            f"up{{{QUOTA}}}": "1x20",
        },
        silent=["10m"],
    ),
    Case(
        "MtpolicydFailureAction",
        "an outage, and what stays for five minutes",
        {f"mtpolicyd_failure_action_in_force{{{FRONTEND}}}": "0x5 1x5 0x20"},
        fires={"8m": jobs("frontend"), "13m": jobs("frontend")},
        silent=["4m", "6m", "20m"],
    ),
    Case(
        "MtpolicydFailureAction",
        "some mail passes unchecked although the peers answer",
        {
            f"mtpolicyd_failure_action_in_force{{{FRONTEND}}}": "0x30",
            f'mtpolicyd_failure_actions_total{{cause="deadline",{FRONTEND}}}': "0x5 10+10x20",
        },
        fires={"9m": jobs("frontend")},
        silent=["5m"],
    ),
    Case(
        "MtpolicydFailureAction",
        "a restart that cost two",
        {
            f"mtpolicyd_failure_action_in_force{{{FRONTEND}}}": "0x5 1 0x20",
            f'mtpolicyd_failure_actions_total{{cause="deadline",{FRONTEND}}}': "0x5 2x20",
        },
        silent=["6m", "7m", "9m"],
    ),
    Case(
        "MtpolicydStoreUnreachable",
        "transactions fail",
        {f"mtpolicyd_store_up{{{QUOTA}}}": "1x5 0x5 1x9"},
        fires={"8m": jobs("quota")},
        silent=["5m", "6m", "12m"],
    ),
    Case(
        "MtpolicydStoreUnreachable",
        "some of them fail",
        {
            f"mtpolicyd_store_up{{{QUOTA}}}": "1x20",
            f'mtpolicyd_store_errors_total{{op="apply",{QUOTA}}}': "0x5 3+3x14",
        },
        fires={"10m": jobs("quota")},
        silent=["5m"],
    ),
    Case(
        "MtpolicydStoreCorrupt",
        "found at the start, before the first scrape; then quota is started again",
        {f"mtpolicyd_store_corrupt_total{{{QUOTA}}}": "_x2 1x5 0x9"},
        fires={"3m": jobs("quota"), "7m": jobs("quota")},
        silent=["1m", "9m"],
    ),
    Case(
        "MtpolicydStoreFiles",
        "they were removed, and written anew",
        {f'mtpolicyd_store_rewrites_total{{result="done",{QUOTA}}}': "0x5 1x70"},
        fires={"8m": jobs("quota"), "60m": jobs("quota")},
        silent=["5m", "70m"],
    ),
    Case(
        "MtpolicydStoreFiles",
        "checkpoints fail; one that failed is no alert",
        {f"mtpolicyd_store_checkpoints_failed_total{{{QUOTA}}}": "0x3 1x7 10+60x5 310x10"},
        fires={"13m": jobs("quota")},
        silent=["6m", "24m"],
    ),
    Case(
        "MtpolicydNoCountryData",
        "no data",
        {f"mtpolicyd_geoip_db_usable{{{DECISION}}}": "1x5 0x5 1x9"},
        fires={"8m": jobs("decision")},
        silent=["5m", "6m", "12m"],
    ),
    Case(
        "MtpolicydCountryDataMissing",
        "one of the named files",
        {f"mtpolicyd_geoip_db_missing{{{DECISION}}}": "0x5 1x10 0x9"},
        fires={"12m": jobs("decision")},
        silent=["5m", "8m", "17m"],
    ),
    Case(
        "MtpolicydCountryDataRefused",
        "a replaced file",
        {
            f"process_start_time_seconds{{{DECISION}}}": f"-{9 * DAY}x200",
            f"mtpolicyd_geoip_db_refused_total{{{DECISION}}}": "3x30 4x170",
        },
        fires={"35m": jobs("decision")},
        silent=["20m", "120m"],
    ),
    Case(
        "MtpolicydCountryDataRefused",
        "at the start, before the first scrape",
        {
            f"process_start_time_seconds{{{DECISION}}}": "0x200",
            f"mtpolicyd_geoip_db_refused_total{{{DECISION}}}": "1x200",
        },
        fires={"5m": jobs("decision")},
        silent=["70m"],
    ),
    Case(
        "MtpolicydCountryDataStale",
        "a file of 46 days, a fresh one, and built-in data of 100 days",
        {
            f'mtpolicyd_geoip_db_build_timestamp_seconds{{source="old",{DECISION}}}': f"-{46 * DAY}x120",
            f'mtpolicyd_geoip_db_build_timestamp_seconds{{source="new",{DECISION}}}': f"-{5 * DAY}x120",
            f'mtpolicyd_geoip_db_build_timestamp_seconds{{source="builtin",{DECISION}}}': f"-{100 * DAY}x120",
        },
        fires={"90m": [{"source": "old"}]},
        silent=["30m"],
        text={"summary": "The country data old is 46d 1h 30m 0s old"},
    ),
    Case(
        "MtpolicydCountryDataStale",
        "built-in data of 401 days",
        {f'mtpolicyd_geoip_db_build_timestamp_seconds{{source="builtin",{DECISION}}}': f"-{401 * DAY}x120"},
        fires={"90m": [{"source": "builtin"}]},
        silent=["30m"],
        text={"summary": "The country data builtin is 401d 1h 30m 0s old"},
    ),
    Case(
        "MtpolicydSlowAnswers",
        "five of a hundred are slow, then none",
        answers("0+57x30 1810+60x30", "0+60x60"),
        fires={"20m": jobs("frontend")},
        silent=["8m", "45m"],
    ),
    Case(
        "MtpolicydSlowAnswers",
        "one answer in ten minutes, and it was slow",
        answers("0x40", "0x10 1x10 2x10 3x10"),
        silent=["15m", "25m", "32m"],
    ),
    Case(
        "MtpolicydNoTraffic",
        "a week with mail, then none",
        {f'mtpolicyd_replies_total{{verb="DUNNO",{FRONTEND}}}': "0+10x1150 11500x20"},
        fires={"11680m": [{}]},
        silent=["6000m", "11500m"],
        step="10m",
    ),
    Case(
        "MtpolicydNoTraffic",
        "a quiet hour, as last week",
        {f'mtpolicyd_replies_total{{verb="DUNNO",{FRONTEND}}}': "0+10x100 1000x1060"},
        silent=["11500m"],
        step="10m",
    ),
    Case(
        "MtpolicydNoTraffic",
        "a quiet Sunday after a busy Thursday",
        {f'mtpolicyd_replies_total{{verb="DUNNO",{FRONTEND}}}': "0x690 10+10x50 510x500"},
        silent=["11500m"],
        step="10m",
    ),
    Case(
        "MtpolicydNoTraffic",
        "the check stands behind permit_sasl_authenticated",
        {
            f'mtpolicyd_replies_total{{verb="DUNNO",{FRONTEND}}}': "0x200",
            f"mtpolicyd_requests_without_login_total{{{FRONTEND}}}": "0+5x200",
        },
        fires={"1500m": [{}]},
        silent=["60m"],
        step="10m",
    ),
    Case(
        "MtpolicydNoTraffic",
        "installed, and Postfix was never told",
        {
            f'mtpolicyd_requests_total{{state="RCPT",{FRONTEND}}}': "0x300",
            f"process_start_time_seconds{{{FRONTEND}}}": "0x300",
        },
        fires={"1500m": [{}]},
        silent=["60m", "1400m"],
        step="10m",
    ),
    Case(
        "MtpolicydNoTraffic",
        "a long weekend",
        {
            f'mtpolicyd_requests_total{{state="RCPT",{FRONTEND}}}': "0+5x10 50x400",
            f"process_start_time_seconds{{{FRONTEND}}}": "0x410",
        },
        silent=["1500m", "4000m"],
        step="10m",
    ),
    Case(
        "MtpolicydBlockedSendersTruncated",
        "more than fit",
        {f"mtpolicyd_blocked_senders_truncated{{{QUOTA}}}": "0x5 1x10 0x9"},
        fires={"12m": jobs("quota")},
        silent=["5m", "8m", "17m"],
    ),
    Case(
        "MtpolicydSettingsRefused",
        "by one of two replicas",
        {
            f"mtpolicyd_config_last_reload_successful{{{FRONTEND}}}": "1x20",
            f"mtpolicyd_config_last_reload_successful{{{DECISION}}}": "1x5 0x5 1x9",
            'mtpolicyd_config_last_reload_successful{job="mtpolicyd-decision",instance="e:9102"}': "1x20",
        },
        fires={"8m": jobs("decision")},
        silent=["5m", "6m", "12m"],
        text={"summary": "mtpolicyd-decision does not take the settings file"},
    ),
    Case(
        "MtpolicydNotificationsFail",
        "a mail relay is away for two hours; the webhook works",
        {
            f'mtpolicyd_notifications_oldest_timestamp_seconds{{channel="mail",{QUOTA}}}': "60x120 0x20",
            f'mtpolicyd_notifications_oldest_timestamp_seconds{{channel="webhook",{QUOTA}}}': "0x140",
        },
        fires={"70m": [{"channel": "mail"}], "115m": [{"channel": "mail"}]},
        silent=["30m", "130m"],
        text={"summary": "Notifications by mail do not arrive"},
    ),
    Case(
        "MtpolicydNotificationsFail",
        "a receiver refuses one for ever",
        {
            f'mtpolicyd_notification_deliveries_total{{channel="webhook",result="given_up",{QUOTA}}}': (
                "0x5 1x100"
            ),
            f'mtpolicyd_notification_deliveries_total{{channel="webhook",result="failed",{QUOTA}}}': "0+1x99",
        },
        fires={"10m": [{"channel": "webhook"}]},
        silent=["4m", "75m"],
        text={"summary": "Notifications by webhook do not arrive"},
    ),
    Case(
        "MtpolicydNotificationsFail",
        "the outbox is full",
        {f"mtpolicyd_notifications_left_out_total{{{QUOTA}}}": "0x5 9x100"},
        fires={"10m": [{}]},
        silent=["4m", "75m"],
        text={"summary": "Notifications find no room in the outbox"},
    ),
    Case(
        "MtpolicydLogLinesLost",
        "some lines",
        {f"mtpolicyd_log_lines_lost_total{{{FRONTEND}}}": "0x5 7x30"},
        fires={"8m": jobs("frontend")},
        silent=["5m", "20m"],
        text={"summary": "mtpolicyd-frontend loses log lines"},
    ),
    Case(
        "MtpolicydClocksApart",
        "charges arrive expired at a quick store",
        {f"mtpolicyd_items_expired_total{{{QUOTA}}}": "0x5 10+10x20"} | transactions("0+9x30", "0+9x30"),
        fires={"15m": jobs("quota")},
        silent=["5m", "8m"],
        text={"summary": "Questions reach mtpolicyd-quota past their deadline, though the store is quick"},
    ),
    Case(
        "MtpolicydClocksApart",
        "charges expire because the store is slow",
        {f"mtpolicyd_items_expired_total{{{QUOTA}}}": "0x5 10+10x20"} | transactions("0+8x30", "0+9x30"),
        silent=["15m"],
    ),
]


def document(cases: Sequence[Case]) -> dict[str, object]:
    """A test file for promtool."""
    return {
        "rule_files": rule_files(),
        "evaluation_interval": cases[0].step,
        "group_eval_order": ["mtpolicyd-recording", "mtpolicyd"],
        "tests": [
            {
                "name": case.when,
                "interval": case.step,
                "input_series": [{"series": name, "values": text} for name, text in case.series.items()],
                "alert_rule_test": [
                    *(expectation(case, time, labels) for time, labels in case.fires.items()),
                    *(expectation(case, time, []) for time in case.silent),
                ],
            }
            for case in cases
        ],
    }


def expectation(case: Case, time: str, firing: Sequence[Labels]) -> dict[str, object]:
    rule = alerts()[case.alert]
    shown = [
        {
            "exp_labels": {**rule["labels"], **labels},
            "exp_annotations": rule["annotations"] | case.text | own(case, labels),
        }
        for labels in firing
    ]
    return {"eval_time": time, "alertname": case.alert, "exp_alerts": shown}


def own(case: Case, labels: Labels) -> dict[str, str]:
    """A summary that begins with the job's name names each alert's own."""
    summary = case.text.get("summary", "")
    job = labels.get("job", "")
    return {"summary": f"{job} {summary.split(' ', 1)[1]}"} if summary.startswith("mtpolicyd-") else {}


@pytest.fixture(scope="module")
def promtool() -> str:
    return require_program("promtool", packages="prometheus")


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.when}")
def test_it_fires_then_and_only_then(case: Case, promtool: str, tmp_path: Path) -> None:
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(document([case])))

    run(promtool, "test", "rules", file)


def test_every_alert_is_tested_firing_and_silent() -> None:
    """So that none is added without."""
    assert {case.alert for case in CASES if case.fires} == set(alerts())
    assert {case.alert for case in CASES if case.silent} == set(alerts())


def test_recording_rules_compute_what_their_names_say(promtool: str, tmp_path: Path) -> None:
    """All four, of one made-up scrape. Quantiles lie within their buckets."""
    series = answers("0+54x30", "0+60x30") | transactions("0+6x30", "0+6x30")
    series |= {f'mtpolicyd_blocks_total{{country="US",reason="country",{DECISION}}}': "0+2x30"}
    series |= {f'mtpolicyd_blocks_total{{country="DE",reason="quota",{QUOTA}}}': "0+1x30"}
    frontend, quota = '{job="mtpolicyd-frontend"}', '{job="mtpolicyd-quota"}'
    expected = {
        f"job:mtpolicyd_request_duration_seconds:p99_5m{frontend} > 0.5 < 1": frontend,
        f"job:mtpolicyd_request_duration_seconds_count:rate5m{frontend} == 1": frontend,
        f"job:mtpolicyd_store_operation_seconds:p99_5m{quota} < 0.25": quota,
        "mtpolicyd_blocks:increase15m > 44.9 < 45.1": "{}",
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": text} for name, text in series.items()],
        "promql_expr_test": [
            {
                "expr": f"count by (job) ({expression})",
                "eval_time": "25m",
                "exp_samples": [{"labels": labels, "value": 1}],
            }
            for expression, labels in expected.items()
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": rule_files(), "evaluation_interval": "1m", "tests": [test]})
    )

    run(promtool, "test", "rules", file)
    assert {name for name in recorded() if any(name in expression for expression in expected)} == recorded()


def test_promtool_accepts_the_rules(promtool: str) -> None:
    run(promtool, "check", "rules", *rule_files())


def test_promtool_accepts_the_configuration(promtool: str, tmp_path: Path) -> None:
    """With the rules where the repository has them, not where the container has."""
    text = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    assert "/etc/prometheus/rules/*.yml" in text
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/rules", str(RULES)))

    run(promtool, "check", "config", file)


def test_amtool_accepts_the_configuration() -> None:
    amtool = require_program("amtool", packages="prometheus-alertmanager")

    run(amtool, "check-config", ROOT / "deploy/alertmanager/alertmanager.yml")


def test_every_alert_says_what_to_do() -> None:
    """Severity, texts, a runbook that exists, a dashboard that exists."""
    boards = {f"http://127.0.0.1:3000/d/mtpolicyd-{path.stem}" for path in DASHBOARDS.glob("*.json")}
    for name, rule in alerts().items():
        annotations = rule["annotations"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
        assert annotations["runbook_url"] == f"docs/runbooks/{name}.md"
        assert annotations["dashboard_url"] in boards


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """With the same four questions in each."""
    questions = ["## What it means", "## What is felt", "## First steps", "## How it ends"]
    pages = {path.stem: path.read_text() for path in RUNBOOKS.glob("Mtpolicyd*.md")}

    assert set(pages) == set(alerts())
    for name, text in pages.items():
        assert text.startswith(f"# {name}\n")
        assert [line for line in text.splitlines() if line.startswith("## ")] == questions
    assert all(f"]({name}.md)" in (RUNBOOKS / "README.md").read_text() for name in pages)


def test_rules_are_named_as_the_house_does() -> None:
    assert all(":" in name and "mtpolicyd_" in name for name in recorded())
    assert all(name.startswith("Mtpolicyd") for name in alerts())
    assert len(list(rules())) == len(recorded()) + len(alerts())
