"""The committed dashboards as data, and the PromQL in them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser

from tests.support.protos import ROOT

DASHBOARDS = ROOT / "deploy/grafana/dashboards"
# What Grafana puts in the place of its variables; the ranges hold a whole scenario, on a slow machine too.
VARIABLES = {
    "$__rate_interval": "15m",
    "$__range": "15m",
    "$job": ".+",
    "$instance": ".+",
}


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    board: str
    panel: str
    expr: str
    legend: str
    instant: bool
    kind: str  # of the panel
    empty: str  # what the panel says when it has nothing to show; empty: Grafana's "No data"

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.legend or self.expr[:40]}"


def boards() -> dict[str, dict[str, Any]]:
    """Every dashboard by its file's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All but rows."""
    yield from (panel for panel in board["panels"] if panel["type"] != "row")


def queries() -> list[Query]:
    """Of every panel."""
    return [
        Query(
            name,
            panel["title"],
            target["expr"],
            target.get("legendFormat", ""),
            target.get("instant", False),
            panel["type"],
            panel["fieldConfig"]["defaults"].get("noValue", ""),
        )
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def expressions(board: Mapping[str, Any]) -> list[str]:
    """Of panels and annotations."""
    return [
        *(target["expr"] for panel in panels(board) for target in panel["targets"]),
        *(annotation["expr"] for annotation in board["annotations"]["list"]),
    ]


def filled(expression: str, variables: Mapping[str, str] = VARIABLES) -> str:
    """With values for Grafana's variables."""
    for name, value in variables.items():
        expression = expression.replace(name, value)
    return expression


def parse(expression: str) -> promql_parser.Expr:
    """Raises ValueError for what is not PromQL."""
    expr: promql_parser.Expr = promql_parser.parse(filled(expression))
    return expr


def nodes(expression: promql_parser.Expr) -> list[promql_parser.Expr]:
    """The expression and all parts of it."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(expression, lambda node: found.append(node))
    return found


def selectors(expression: promql_parser.Expr) -> list[promql_parser.VectorSelector]:
    return [node for node in nodes(expression) if isinstance(node, promql_parser.VectorSelector)]
