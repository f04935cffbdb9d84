"""What all dashboards and panels have in common.

A query names each metric by `of()`, which adds the matchers of the variables `job` and `instance`. Counters
stand in `rate` or `increase` only, over `$__rate_interval` or `$__range`. A panel that may rightly have no
answer says so with `no_value`: Grafana's own "No data" looks like a fault.
"""

import json
import string
from collections.abc import Sequence
from typing import Any, Self

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.barchart import Panel as BarChart
from grafana_foundation_sdk.builders.geomap import Panel as GeoMap
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

UID = "mtpolicyd-"
SOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
OURS = 'job=~"mtpolicyd-.+"'  # the jobs of deploy/prometheus; other programs have `up` and `process_...` too
_CHOSEN = ('job=~"$job"', 'instance=~"$instance"')
WIDTH = 24

Panel = stat.Panel | table.Panel | timeseries.Panel | BarChart | GeoMap


def of(metric: str, *matchers: str) -> str:
    """The metric of the chosen jobs and instances. Args: matchers: such as 'reason="quota"'."""
    return f"{metric}{{{', '.join([*matchers, *_CHOSEN])}}}"


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """Events a second."""
    return _sum(f"rate({of(metric, *matchers)}[$__rate_interval])", by)


def increase(metric: str, *matchers: str, by: str = "") -> str:
    """Events in the time that the dashboard shows."""
    return _sum(f"increase({of(metric, *matchers)}[$__range])", by)


def quantile(share: float, metric: str, by: str = "") -> str:
    """Of a histogram in seconds."""
    labels = ", ".join(filter(None, [by, "le"]))
    return (
        f"histogram_quantile({share}, sum by ({labels}) (rate({of(f'{metric}_bucket')}[$__rate_interval])))"
    )


def _sum(expression: str, by: str) -> str:
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def query(
    expression: str, legend: str = "", *, instant: bool = False, rows: bool = False
) -> prometheus.Dataquery:
    """One query. Args: rows: as a table, one row for each series."""
    target = prometheus.Dataquery().expr(expression).datasource(SOURCE)
    if legend:
        target.legend_format(legend)
    if rows:
        target.format(PromQueryFormat.TABLE)
    return target.instant() if instant or rows else target.range()


def colors(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Colours from a value on; the first has None."""
    return dashboard.ThresholdsConfig().steps([models.Threshold(value, color) for value, color in steps])


def words(meaning: dict[str, tuple[str, str]]) -> list[models.ValueMapping]:
    """Value -> (what is shown, its colour)."""
    return [
        models.ValueMap(
            {
                value: models.ValueMappingResult(text=text, color=color, index=index)
                for index, (value, (text, color)) in enumerate(meaning.items())
            }
        )
    ]


def number(title: str, description: str, target: prometheus.Dataquery, unit: str = "short") -> stat.Panel:
    """One large number: the last value."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .thresholds(colors((None, "text")))
        .with_target(target)
    )


def lines(title: str, description: str, unit: str, *targets: prometheus.Dataquery) -> timeseries.Panel:
    """Values over time; none is below 0."""
    panel = timeseries.Panel().title(title).description(description).unit(unit).min(0)
    panel.line_width(1).fill_opacity(10).show_points(common_models.VisibilityMode.NEVER)
    panel.tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    for target in targets:
        panel.with_target(target)
    return panel


class Board:
    """One dashboard; panels flow from left to right, as many as fit.

    Args:
        since: the time that is shown at first, up to now.
    """

    def __init__(self, name: str, title: str, description: str, *, since: str = "now-6h") -> None:
        self.name = name
        self._ids = 0
        self._x = self._y = self._height = 0
        self._dashboard = (
            dashboard.Dashboard(f"mtpolicyd: {title}")
            .uid(f"{UID}{name}")
            .description(description)
            .tags(["mtpolicyd", "postfix"])
            .readonly()
            .time(since, "now")
            .timezone("browser")
            .refresh("30s")
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .link(
                dashboard.DashboardLink("mtpolicyd")
                .type(models.DashboardLinkType.DASHBOARDS)
                .tags(["mtpolicyd"])
                .include_vars(True)
                .keep_time(True)
            )
        )
        self._variables()
        self._annotations()

    def row(self, title: str) -> Self:
        """Begin a new section."""
        self._break()
        self._ids += 1
        row = dashboard.Row(title).id(self._ids)
        self._dashboard.with_row(row.grid_pos(models.GridPos(h=1, w=WIDTH, x=0, y=self._y)))
        self._y += 1
        return self

    def add(self, width: int, height: int, *panels: Panel) -> Self:
        """Panels of one size, each beside the last one."""
        for panel in panels:
            if self._x + width > WIDTH:
                self._break()
            self._ids += 1
            place = models.GridPos(h=height, w=width, x=self._x, y=self._y)
            self._dashboard.with_panel(panel.id(self._ids).datasource(SOURCE).grid_pos(place))
            self._x += width
            self._height = max(self._height, height)
        return self

    def _break(self) -> None:
        self._y += self._height
        self._x = self._height = 0

    def json(self) -> str:
        """As Grafana reads it; `id` and `version` are Grafana's own."""
        board: dict[str, Any] = json.loads(JSONEncoder().encode(self._dashboard.build()))
        # What the builders have no method for, and a default that hides things in a menu.
        board["templating"]["list"][0]["refresh"] = models.VariableRefresh.ON_DASHBOARD_LOAD
        for shown in (*board["links"], *board["annotations"]["list"]):
            del shown["placement"]
        for panel in board["panels"]:
            for letter, target in zip(string.ascii_uppercase, panel.get("targets", ()), strict=False):
                target["refId"] = letter
        return json.dumps(board, indent=2, sort_keys=True) + "\n"

    def _variables(self) -> None:
        self._dashboard.with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        known = f"mtpolicyd_build_info{{{OURS}}}"
        chosen = 'mtpolicyd_build_info{job=~"$job"}'
        for name, label, text in (
            ("job", "Service", f"label_values({known}, job)"),
            ("instance", "Instance", f"label_values({chosen}, instance)"),
        ):
            everything = models.VariableOption(selected=True, text=["All"], value=["$__all"])
            self._dashboard.with_variable(
                dashboard.QueryVariable(name)
                .label(label)
                .datasource(SOURCE)
                .query({"query": text, "refId": name})
                .definition(text)
                .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
                .sort(models.VariableSort.ALPHABETICAL_ASC)
                .multi(True)
                .include_all(True)
                .all_value(".+")
                .current(everything)
            )

    def _annotations(self) -> None:
        for name, expression, text, color in (
            (
                "Unchecked",
                f"{of('mtpolicyd_failure_action_in_force')} == 1",
                "the failure action is in force",
                "red",
            ),
            (
                "Starts",
                f"changes({of('process_start_time_seconds', OURS)}[$__rate_interval]) > 0",
                "{{job}} started",
                "blue",
            ),
            ("Alerts", 'ALERTS{alertstate="firing", alertname=~"Mtpolicyd.+"}', "{{alertname}}", "orange"),
        ):
            self._dashboard.annotation(
                dashboard.AnnotationQuery()
                .name(name)
                .datasource(SOURCE)
                .enable(True)
                .icon_color(color)
                .expr(expression)
                .title_format(text)
            )


def override(name: str, **properties: object) -> tuple[str, list[models.DynamicConfigValue]]:
    """Arguments of `override_by_name`; `__` in a property's name is a dot."""
    values = [
        models.DynamicConfigValue(id_val.replace("__", "."), value) for id_val, value in properties.items()
    ]
    return name, values


def transformed(panel: table.Panel, *steps: tuple[str, dict[str, object]]) -> table.Panel:
    """With transformations, in this order."""
    for name, options in steps:
        panel.with_transformation(models.DataTransformerConfig(id_val=name, options=options))
    return panel


def rows(
    title: str, description: str, targets: Sequence[prometheus.Dataquery], unit: str = "short"
) -> table.Panel:
    """A table; its queries are joined by their labels."""
    panel = table.Panel().title(title).description(description).unit(unit).filterable(True)
    for target in targets:
        panel.with_target(target)
    return panel
