"""The dashboards keep the rules of the house; no Grafana is asked.

Most of them are those of https://github.com/grafana/dashboard-linter. ALERTS is Prometheus' own: it has no
matchers for job and instance, as not every alert has these labels.
"""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.builders.dashboard import Dashboard as Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.__main__ import BOARDS, write
from tests.monitoring.boards import DASHBOARDS, boards, expressions, filled, nodes, panels, parse, selectors
from tests.support.protos import ROOT

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# https://github.com/grafana/grafana/blob/main/packages/grafana-data/src/valueFormats/categories.ts
UNITS = {"none", "short", "s", "reqps", "cps", "percentunit", "bytes", "dateTimeFromNow", "dateTimeAsLocal"}

EVERY_BOARD = pytest.mark.parametrize("board", boards().values(), ids=boards())


def test_the_committed_files_are_what_the_code_makes(tmp_path: Path) -> None:
    """After a change: make dashboards."""
    write(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}

    assert {path.name: path.read_text() for path in DASHBOARDS.iterdir()} == made
    assert len(made) == len(BOARDS)


@EVERY_BOARD
def test_nothing_is_lost_when_the_sdk_reads_it(board: dict[str, Any]) -> None:
    """A misspelt key would be."""
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))

    for place in ("links", "annotations"):  # the default that Board.json takes out
        for item in read[place]["list"] if place == "annotations" else read[place]:
            del item["placement"]
    assert read == board
    assert Builder("x").build().schema_version == board["schemaVersion"]


@EVERY_BOARD
def test_the_frame(board: dict[str, Any]) -> None:
    """What a provisioned dashboard has, and has not."""
    assert re.fullmatch(r"mtpolicyd-[a-z-]{1,30}", board["uid"])
    assert board["title"].startswith("mtpolicyd: ")
    assert board["tags"]
    assert board["description"]
    assert board["editable"] is False
    assert board["schemaVersion"] > 30
    assert board["timezone"] == "browser"
    assert board["refresh"]
    assert not {"id", "version", "__inputs", "__requires"} & set(board)


def test_uids_and_titles_are_each_one_boards() -> None:
    uids = [board["uid"] for board in boards().values()]
    titles = [board["title"] for board in boards().values()]

    assert [f"mtpolicyd-{name}" for name in boards()] == uids
    assert len(set(titles)) == len(titles)


def test_links_lead_to_dashboards() -> None:
    """From one to another, with its time and what is chosen."""
    links = [
        link["url"]
        for board in boards().values()
        for panel in panels(board)
        for link in panel["fieldConfig"]["defaults"].get("links", ())
    ]
    uids = {board["uid"] for board in boards().values()}

    assert links
    for link in links:
        path, query = link.split("?")
        assert path.removeprefix("/d/") in uids
        assert query == "${__url_time_range}&${__all_variables}"


@EVERY_BOARD
def test_variables(board: dict[str, Any]) -> None:
    """The data source, jobs and instances can be chosen, and are asked for when the time changes."""
    source, job, instance = board["templating"]["list"]

    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    for variable in (job, instance):
        assert variable["type"] == "query"
        assert variable["datasource"] == SOURCE
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".+"
        assert variable["refresh"] == 2
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert found
        assert found[2] == variable["name"]
        parse(found[1])
    assert [job["name"], instance["name"]] == ["job", "instance"]


@EVERY_BOARD
def test_panels(board: dict[str, Any]) -> None:
    """Each says what it shows, in a known unit, of the chosen data source."""
    ids = [panel["id"] for panel in board["panels"]]

    assert len(set(ids)) == len(ids)
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith((".", "?"))
        assert {panel["fieldConfig"]["defaults"]["unit"], *units_of_columns(panel)} <= UNITS
        assert panel["datasource"] == SOURCE
        assert panel["targets"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])
        assert all(target["datasource"] == SOURCE for target in panel["targets"])
        assert all(target["instant"] != target["range"] for target in panel["targets"])
        if panel["type"] in {"table", "geomap", "barchart"}:
            assert all(target["format"] == "table" and target["instant"] for target in panel["targets"])
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] for target in panel["targets"])
        if panel["type"] == "stat":
            assert panel["options"]["reduceOptions"]["calcs"] == ["lastNotNull"]


def units_of_columns(panel: dict[str, Any]) -> list[str]:
    return [
        item["value"]
        for override in panel["fieldConfig"]["overrides"]
        for item in override["properties"]
        if item["id"] == "unit"
    ]


@EVERY_BOARD
def test_no_panel_lies_on_another(board: dict[str, Any]) -> None:
    """And none sticks out."""
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y)
        for place in places
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]

    assert len(set(cells)) == len(cells)
    assert all(x < 24 for x, _ in cells)


@EVERY_BOARD
def test_queries(board: dict[str, Any]) -> None:
    """PromQL, of the chosen jobs and instances; ranges and counters as Grafana wants them."""
    for expression in expressions(board):
        parse(expression)
        assert "$" not in filled(expression)
        assert re.findall(r"\[(.+?)\]", expression) == re.findall(
            r"\[(\$__rate_interval|\$__range)\]", expression
        )
        for selector in re.findall(r"[a-zA-Z_:]+\{.*?\}", expression):
            if not selector.startswith("ALERTS{"):
                assert 'job=~"$job"' in selector
                assert 'instance=~"$instance"' in selector
        assert counters_outside_of_rates(parse(expression)) == []


def counters_outside_of_rates(expression: promql_parser.Expr) -> list[str]:
    inside = {
        selector.name
        for node in nodes(expression)
        if isinstance(node, promql_parser.Call) and node.func.name in {"rate", "increase"}
        for selector in selectors(node)
    }
    return [
        str(selector.name)
        for selector in selectors(expression)
        if str(selector.name).endswith(("_total", "_bucket", "_sum", "_count"))
        and selector.name not in inside
    ]


def test_the_rules_see_a_mistake() -> None:
    """The check of counters is not one that never fails."""
    assert counters_outside_of_rates(parse("sum(a_total) + rate(b_total[1m])")) == ["a_total"]
    with pytest.raises(ValueError, match=r"."):
        parse("sum(rate(a_total[5m])")


def test_grafana_finds_what_it_is_told_to() -> None:
    """The provisioning and docker-compose.yml name the same directories; the intervals are the same."""
    provisioning = ROOT / "deploy/grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/mtpolicyd.yml").read_text())["providers"]
    sources = yaml.safe_load((provisioning / "datasources/mtpolicyd.yml").read_text())["datasources"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())

    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in compose["grafana"]["volumes"]
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in compose["grafana"]["volumes"]
    assert sources[0]["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
