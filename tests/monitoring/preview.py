"""`make preview`: a picture of what the main queries of the dashboards answer. It is not Grafana.

The services are played with stolen accounts for half a minute, Prometheus is asked the queries of the
committed dashboards, and what it answers is drawn as a web page without anything from the Internet. Chromium
makes the picture: apt-get install prometheus chromium.
"""

import datetime
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tests.monitoring.boards import VARIABLES, Query, filled, queries
from tests.monitoring.scenario import BRAZILIAN, STOLEN, Prometheus, Scenario, played
from tests.support.policy import AMERICAN, PolicyClient
from tests.support.programs import require_program
from tests.support.services import Services

SECONDS = 30
RUSSIAN = "77.88.8.8"
WIDTH, HEIGHT = 1400, 1040
TITLE = "Query preview, not Grafana: what Prometheus answers to the dashboards' queries, with stolen accounts"
# Dashboard, panel, unit, place.
LINES = (
    ("blocked-senders", "Accounts refused", "accounts", (2, 3)),
    ("overview", "Refusals by reason", "a second", (2, 5)),
    ("overview", "Answers to mail with a login", "a second", (3, 1)),
    ("overview", "Answer time", "seconds", (3, 4)),
)
COLORS = ("#3274d9", "#e0781e", "#e02f44", "#56a64b", "#8f3bb8")
TEXT_HEIGHT = 16  # of a curve's name
PLOT_HEIGHT = 245  # of a panel with curves, about


def of(board: str, panel: str) -> list[Query]:
    """The queries of one panel."""
    return [query for query in queries() if (query.board, query.panel) == (board, panel)]


def send(services: Services) -> None:
    """Mail of many, more and less of it; a thief in three countries, and later three more accounts."""
    began = time.monotonic()
    thief = itertools.cycle((AMERICAN, AMERICAN, BRAZILIAN, RUSSIAN, AMERICAN))
    with PolicyClient(services.port) as client:
        for number in itertools.count():
            share = (time.monotonic() - began) / SECONDS
            if share > 1:
                return
            client.ask(sasl_username=f"sender{number % 400}@example.org")
            if number % 9 == 0 and number % 200 > 80:
                client.ask(sasl_username=STOLEN, client_address=next(thief))
            if number % 5 == 0 and share > 0.4:
                client.ask(sasl_username="scanner@example.org")
            if number % 40 == 0 and share > 0.6:
                client.ask(sasl_username="mallory@example.org", client_address=RUSSIAN)
            if number % 40 == 20 and share > 0.7:
                client.ask(sasl_username="trudy@example.org", client_address=BRAZILIAN)
            time.sleep(0.03 if number % 200 < 120 else 0.06)


def table(prometheus: Prometheus) -> go.Table:
    """The four queries of the table, joined by their labels."""
    names = ("Since", "Used", "Limit", "Until")
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for name, query in zip(names, of("blocked-senders", "Who is refused now"), strict=True):
        for labels, value in prometheus.series(filled(query.expr)):
            rows.setdefault(tuple(labels[label] for label in ("account", "reason", "country")), {})[name] = (
                value
            )
    cells = []
    for key, values in sorted(rows.items(), key=lambda item: -item[1]["Since"]):
        times = [clock(values[name] / 1000) for name in ("Since", "Until")]
        used = [f"{values[name]:g}" if name in values else "" for name in ("Used", "Limit")]
        share = f"{values['Used'] / values['Limit']:.0%}" if "Used" in values else ""
        cells.append([*key, times[0], *used, share, times[1]])
    head = ["Account", "Why", "Country", "Since (UTC)", "Used", "Limit", "Used of limit", "Until (UTC)"]
    style: dict[str, Any] = {"align": "left", "font_size": 13, "height": 28, "line_color": "#dde1e8"}
    return go.Table(
        header={"values": [f"<b>{name}</b>" for name in head], "fill_color": "#e8ebf0", **style},
        cells={"values": list(zip(*cells, strict=True)), "fill_color": "#ffffff", **style},
        columnwidth=[3, 1.2, 1.2, 2.2, 1, 1, 1.5, 2.2],
    )


def clock(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S}"


def bars(prometheus: Prometheus) -> go.Bar:
    """Refusals by country, the most at the top."""
    (query,) = of("blocked-senders", "Refusals by country")[-1:]
    found = sorted((value, labels["country"]) for labels, value in prometheus.series(filled(query.expr)))
    return go.Bar(
        x=[value for value, _ in found],
        y=[country for _, country in found],
        text=[f"{value:.0f}" for value, _ in found],
        textposition="outside",
        cliponaxis=False,
        orientation="h",
        marker_color=COLORS[2],
        showlegend=False,
    )


def curves(prometheus: Prometheus, board: str, panel: str) -> list[go.Scatter]:
    """What a panel's queries were in the last half minute."""
    found = []
    for query in of(board, panel):
        expression = filled(query.expr, VARIABLES | {"$__rate_interval": "5s"})
        for labels, points in prometheus.history(expression, SECONDS + 2):
            name = query.legend
            for label, value in labels.items():
                name = name.replace(f"{{{{{label}}}}}", value)
            times = [datetime.datetime.fromtimestamp(at, datetime.UTC) for at, _ in points]
            found.append(go.Scatter(x=times, y=[value for _, value in points], name=name, mode="lines"))
    return found


def draw(scenario: Scenario) -> go.Figure:
    """The table above, bars and curves below."""
    titles = [
        "Blocked senders: who is refused now",
        "Refusals by country",
        *(panel for _, panel, *_ in LINES),
    ]
    third, half = ({"colspan": columns} for columns in (2, 3))
    kinds: list[list[dict[str, Any] | None]] = [
        [{"type": "table", "colspan": 6}, *[None] * 5],
        [third, None, third, None, third, None],
        [half, None, None, half, None, None],
    ]
    figure = make_subplots(
        3,
        6,
        specs=kinds,
        subplot_titles=[f"<b>{title}</b>" for title in titles],
        row_heights=[0.26, 0.37, 0.37],
        vertical_spacing=0.08,
        horizontal_spacing=0.1,
    )
    figure.add_trace(table(scenario.prometheus), 1, 1)
    figure.add_trace(bars(scenario.prometheus), 2, 1)
    for board, panel, unit, (row, column) in LINES:
        found = curves(scenario.prometheus, board, panel)
        top = max(value for curve in found for value in curve.y)
        for color, curve, shift in zip(COLORS, found, apart(found, top), strict=False):
            figure.add_trace(curve.update(line_color=color, showlegend=False), row, column)
            figure.add_annotation(
                x=curve.x[-1],
                y=curve.y[-1],
                text=curve.name,
                font_color=color,
                showarrow=False,
                xanchor="left",
                xshift=4,
                yshift=shift,
                row=row,
                col=column,
            )
        whole = {"dtick": 1} if unit == "accounts" else {}
        figure.update_yaxes(title_text=unit, rangemode="tozero", row=row, col=column, **whole)
        figure.update_xaxes(tickformat="%H:%M:%S", nticks=5, row=row, col=column)
    figure.update_annotations(font_size=13)
    figure.update_layout(
        title={"text": f"<b>{TITLE}</b>", "x": 0.02, "font_size": 18},
        template="plotly_white",
        width=WIDTH,
        height=HEIGHT,
        bargap=0.45,
        font_family="DejaVu Sans",
        margin={"t": 100, "b": 50, "l": 70, "r": 70},
    )
    return figure


def apart(curves: Sequence[go.Scatter], top: float) -> list[float]:
    """How far each curve's name is moved up, in pixels, so that none lies on another."""
    shifts, free = [0.0] * len(curves), -TEXT_HEIGHT / 2  # the lowest stays above the axis
    for index in sorted(range(len(curves)), key=lambda index: float(curves[index].y[-1])):
        height = float(curves[index].y[-1]) / top * PLOT_HEIGHT
        free = max(height, free + TEXT_HEIGHT)
        shifts[index] = free - height
    return shifts


def shoot(page: Path, picture: Path) -> None:
    """A browser without a window, of its own directory, makes the picture."""
    browser = require_program("chromium", packages="chromium")
    command = [
        browser,
        "--headless",
        "--no-sandbox",  # as root there is none
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={page.parent}/browser",
        f"--window-size={WIDTH + 20},{HEIGHT + 20}",
        "--virtual-time-budget=10000",
        f"--screenshot={picture.absolute()}",
        page.as_uri(),
    ]
    subprocess.run(command, check=True, timeout=120, capture_output=True)


def main(picture: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with played(require_program("prometheus", packages="prometheus"), directory) as scenario:
            send(scenario.services)
            time.sleep(2)
            page = directory / "preview.html"
            draw(scenario).write_html(page, include_plotlyjs=True, config={"displayModeBar": False})
        shoot(page, picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
