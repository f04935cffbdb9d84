"""Every query of every panel, asked of a Prometheus that has scraped real services with stolen accounts.

And what these services' metrics are: whatever needs the scenario stands in this file, so that of the
processes that run the tests only one plays it.
"""

import math
import re
import subprocess
from collections.abc import Mapping

import promql_parser
import pytest

from tests.monitoring.boards import Query, boards, expressions, filled, nodes, parse, queries, selectors
from tests.monitoring.metrics_table import ORDER, exposition, in_document, table
from tests.monitoring.rules import alerts, recorded, rules
from tests.monitoring.scenario import (
    BR_REFUSED,
    LIMIT,
    OVER,
    OVER_REFUSED,
    PASSED,
    STOLEN,
    TOLD,
    US_REFUSED,
    WITHOUT_LOGIN,
    Scenario,
)
from tests.support.programs import require_program
from tests.support.protos import ROOT
from tests.support.services import SERVICES

BY_COUNTRY = {"account": STOLEN, "reason": "country"}
BY_QUOTA = {"account": OVER, "country": "DE", "reason": "quota"}

# By dashboard, panel and legend: values that the scenario has made, with the labels that name them.
EXPECTED: Mapping[tuple[str, str, str], list[tuple[Mapping[str, str], float]]] = {
    ("overview", "Mail with a login", ""): [({}, 0)],
    ("overview", "Instances up", ""): [({}, len(SERVICES))],
    ("overview", "Accounts refused now", ""): [({}, 2)],
    ("blocked-senders", "Accounts refused now", "{{reason}}"): [
        ({"reason": "country"}, 1),
        ({"reason": "quota"}, 1),
        ({"reason": "lock"}, 0),
    ],
    ("blocked-senders", "Not in the list", ""): [({}, 0)],
    ("blocked-senders", "Accounts refused", "{{reason}}"): [
        ({"reason": "country"}, 1),
        ({"reason": "quota"}, 1),
    ],
    ("services", "Store", "store"): [({"job": "mtpolicyd-quota"}, 1)],
    ("services", "Streams", "{{job}} to {{peer}}"): [
        ({"job": "mtpolicyd-frontend", "peer": "decision"}, 1),
        ({"job": "mtpolicyd-decision", "peer": "quota"}, 1),
    ],
    ("services", "State of the data", "usable"): [({}, 1)],
    ("services", "Waiting notifications", "{{channel}}"): [({"channel": "webhook"}, 0)],
    ("services", "Age of the oldest that waits", "{{channel}}"): [({"channel": "webhook"}, 0)],
}
# Rates and increases are extrapolated: the labels, and at least this much.
AT_LEAST: Mapping[tuple[str, str, str], list[tuple[Mapping[str, str], float]]] = {
    ("overview", "Refusals", ""): [({}, OVER_REFUSED + US_REFUSED + BR_REFUSED)],
    ("overview", "Requests", "with a login"): [({}, 0.01)],
    ("overview", "Requests", "without a login"): [({}, 0.01)],
    ("overview", "Refusals by reason", "{{reason}}"): [
        ({"reason": "country"}, 0.001),
        ({"reason": "quota"}, 0.001),
    ],
    ("overview", "Answers to mail with a login", "{{verb}}"): [
        ({"verb": "DUNNO"}, 0.001),
        ({"verb": "DEFER"}, 0.001),
        ({"verb": "REJECT"}, 0.001),
    ],
    ("services", "Notifications to tell", "{{kind}}"): [
        ({"kind": "quota_refused"}, 0.001),
        ({"kind": "country_refused"}, 0.001),
        ({"kind": "quota_80_percent"}, 0.001),
    ],
    ("services", "Deliveries", "{{channel}} {{result}}"): [
        ({"channel": "webhook", "result": "delivered"}, 0.001)
    ],
    ("blocked-senders", "Refusals on the map", ""): [
        ({"country": "US"}, US_REFUSED),
        ({"country": "BR"}, BR_REFUSED),
        ({"country": "DE"}, OVER_REFUSED),
    ],
    ("blocked-senders", "Refusals by country", ""): [
        ({"country": "US"}, US_REFUSED),
        ({"country": "BR"}, BR_REFUSED),
        ({"country": "DE"}, OVER_REFUSED),
    ],
}


def has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()


@pytest.mark.parametrize("query", queries(), ids=str)
def test_the_panel_shows_what_happened(query: Query, scenario: Scenario) -> None:
    """Each query has an answer; where a value is known, this one."""
    found = scenario.prometheus.series(filled(query.expr))
    key = (query.board, query.panel, query.legend)

    assert found
    for wanted, value in EXPECTED.get(key, ()):
        assert [number for labels, number in found if has(labels, wanted)] == [value]
    for wanted, least in AT_LEAST.get(key, ()):
        (number,) = (number for labels, number in found if has(labels, wanted))
        assert number >= least
    for label in legend_labels(query.legend):
        assert all(label in labels for labels, _ in found)


@pytest.mark.parametrize("query", queries(), ids=str)
def test_a_panel_of_a_quiet_system_does_not_look_broken(query: Query, scenario: Scenario) -> None:
    """Before the first mail it has a value, or says why it has none. A curve may pause: NaN is no point."""
    found = scenario.quiet[filled(query.expr)]
    shown = found if query.kind == "timeseries" else [value for value in found if not math.isnan(value)]

    assert shown or query.empty


def legend_labels(legend: str) -> list[str]:
    return [part.split("}}")[0] for part in legend.split("{{")[1:]]


def test_every_expectation_is_of_a_query() -> None:
    """A renamed panel does not lose its test."""
    keys = {(query.board, query.panel, query.legend) for query in queries()}

    assert EXPECTED.keys() | AT_LEAST.keys() <= keys


def test_the_table_of_blocked_senders(scenario: Scenario) -> None:
    """Who, why, from where, since, used of limit, until: one row for each account."""
    since, used, limit, until = (
        scenario.prometheus.series(filled(query.expr))
        for query in queries()
        if query.panel == "Who is refused now"
    )
    (stolen,) = (labels for labels, _ in since if labels["account"] == STOLEN)

    assert sorted(labels["account"] for labels, _ in since) == [STOLEN, OVER]
    assert has(stolen, BY_COUNTRY)
    assert stolen["country"] in {"US", "BR"}
    assert used == [(BY_QUOTA, LIMIT)]
    assert limit == [(BY_QUOTA, LIMIT)]
    ends = {labels["account"]: value for labels, value in until}
    assert all(value > began for labels, began in since for value in [ends[labels["account"]]])


def test_the_alert_names_both_accounts(scenario: Scenario) -> None:
    """And Prometheus had no trouble with any rule."""
    firing = scenario.prometheus.series('ALERTS{alertname="MtpolicydStolenAccount", alertstate="firing"}')
    groups = scenario.prometheus.get("rules")["groups"]

    assert sorted(labels["account"] for labels, _ in firing) == [STOLEN, OVER]
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
    assert sum(len(group["rules"]) for group in groups) == len(list(rules()))


def test_no_other_alert_fires(scenario: Scenario) -> None:
    """At a service that works, with country data of its release."""
    firing = {labels["alertname"] for labels, _ in scenario.prometheus.series('ALERTS{alertstate="firing"}')}

    assert firing == {"MtpolicydStolenAccount"}


def test_the_scenario_was_counted(scenario: Scenario) -> None:
    """To the last request, by the counters that the panels use."""
    value = scenario.prometheus.value

    assert value("sum(mtpolicyd_requests_without_login_total)") == WITHOUT_LOGIN
    assert value('sum(mtpolicyd_replies_total{verb="DUNNO"})') == PASSED + LIMIT
    assert value("sum(mtpolicyd_notifications_total)") == TOLD
    assert value('sum(mtpolicyd_blocks_total{country="US", reason="country"})') == US_REFUSED
    assert value('sum(mtpolicyd_blocks_total{country="BR", reason="country"})') == BR_REFUSED
    assert value('sum(mtpolicyd_blocks_total{country="DE", reason="quota"})') == OVER_REFUSED
    assert not math.isnan(value("max(job:mtpolicyd_request_duration_seconds:p99_5m)"))


def spoken() -> dict[str, promql_parser.Expr]:
    """Every expression of rules and dashboards, by itself."""
    texts = [rule["expr"] for rule in rules()]
    texts += [expression for board in boards().values() for expression in expressions(board)]
    return {text: parse(text) for text in texts}


def test_every_metric_and_label_exists(scenario: Scenario) -> None:
    """A rule of a metric that was renamed would never fire, and nobody would notice."""
    known: dict[str, dict[str, set[str]]] = {}
    for labels in scenario.prometheus.get("series", **{"match[]": '{__name__=~".+"}'}):
        of_metric = known.setdefault(labels["__name__"], {})
        for name, value in labels.items():
            of_metric.setdefault(name, set()).add(value)

    for text, expression in spoken().items():
        for selector in selectors(expression):
            metric = known.get(selector.name or "", {})
            assert metric, f"{selector.name} of {text} does not exist"
            for matcher in selector.matchers.matchers:
                assert matcher.name in metric, f"{matcher.name} of {text} is no label of {selector.name}"
                if matcher.op == promql_parser.MatchOp.Equal:
                    assert matcher.value in metric[matcher.name], f"{matcher} of {text} matches nothing"
                elif matcher.op == promql_parser.MatchOp.NotEqual:
                    # What is left out need not have happened, but it is a value of that label.
                    values = {value for of in known.values() for value in of.get(matcher.name, ())}
                    assert matcher.value in values, f"{matcher} of {text} leaves nothing out"
        for node in nodes(expression):
            modifier = node.modifier if isinstance(node, promql_parser.AggregateExpr) else None
            if modifier is not None and modifier.type == promql_parser.AggModifierType.By:
                labels = set().union(*(known[str(selector.name)] for selector in selectors(node)))
                assert set(modifier.labels) <= labels, f"{modifier.labels} of {text}"


def test_every_recorded_series_is_there(scenario: Scenario) -> None:
    assert {name for name in recorded() if scenario.prometheus.series(f'{{__name__="{name}"}}')} == recorded()
    assert alerts()


def test_the_table_of_metrics_is_current(scenario: Scenario) -> None:
    """After a change: python -m tests.monitoring.metrics_table."""
    assert in_document() == table(scenario.services)


def test_promtool_finds_nothing_odd_in_the_metrics(scenario: Scenario) -> None:
    """Names, units and help texts, as Prometheus' authors want them."""
    promtool = require_program("promtool", packages="prometheus")
    for name in ORDER:
        # What prometheus_client adds to every Python process is its own.
        lines = [line for line in exposition(scenario.services, name).splitlines() if "python_" not in line]
        text = "\n".join(lines) + "\n"
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_number_of_series_is_what_the_document_says(scenario: Scenario) -> None:
    """All that are scraped, and those of countries, to within a tenth."""
    series = [
        line
        for name in ORDER
        for line in exposition(scenario.services, name).splitlines()
        if not line.startswith("#")
    ]
    told = re.search(
        r"Some (\d+) series, of which (\d+) are countries", (ROOT / "docs/MONITORING.md").read_text()
    )

    assert told
    countries = [line for line in series if line.startswith("mtpolicyd_blocks_total")]
    assert [len(series), len(countries)] == pytest.approx([int(number) for number in told.groups()], rel=0.1)
