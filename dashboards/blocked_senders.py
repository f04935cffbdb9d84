"""Who is refused now, why, and from where."""

from grafana_foundation_sdk.builders import common, geomap
from grafana_foundation_sdk.builders.barchart import Panel as BarChart
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models.geomap import TooltipMode

from dashboards.board import (
    Board,
    Panel,
    colors,
    increase,
    lines,
    number,
    of,
    override,
    query,
    rate,
    rows,
    transformed,
)

_SENDER = "mtpolicyd_blocked_sender_"
_NOBODY = "nobody was refused"
_COUNTRIES = increase("mtpolicyd_blocks_total", by="country")


def build() -> Board:
    """The dashboard."""
    board = Board(
        "blocked-senders",
        "Blocked senders",
        "Accounts that are refused now, and where refusals came from.",
        since="now-24h",  # the quota is of a day
    )
    _numbers(board)
    board.add(24, 10, _who())
    board.row("Trend")
    _trend(board)
    board.row("By country, in the time shown")
    board.add(12, 12, _map(), _bars())
    return board


def _numbers(board: Board) -> None:
    red = colors((None, "green"), (1, "red"))
    board.add(
        12,
        4,
        number(
            "Accounts refused now",
            "By reason. country, lock: until an hour after the last refusal. quota: until midnight.",
            query(f"sum by (reason) ({of('mtpolicyd_blocked_senders')})", "{{reason}}"),
        ).thresholds(red),
    )
    board.add(
        6,
        4,
        number(
            "Not in the list",
            "The list below has the last refused only, as many as MTPOLICYD_METRICS_BLOCKED_SENDERS says.",
            query(f"sum({of('mtpolicyd_blocked_senders')}) - sum({of('mtpolicyd_blocked_senders_listed')})"),
        ).thresholds(colors((None, "green"), (1, "yellow"))),
        number(
            "Age of the list",
            "quota asks its store every five seconds.",
            query(f"time() - max({of('mtpolicyd_blocked_senders_refreshed_timestamp_seconds')})"),
            "s",
        ).thresholds(colors((None, "green"), (60, "red"))),
    )


def _who() -> Table:
    each = "max by (account, reason, country)"
    panel = rows(
        "Who is refused now",
        "Those whose refusals began last come first. Used and limit are of the quota; other refusals "
        "have none. Nothing is listed while MTPOLICYD_METRICS_ACCOUNTS is off.",
        [
            query(f"{each} ({of(f'{_SENDER}since_timestamp_seconds')}) * 1000", rows=True),
            query(f"{each} ({of(f'{_SENDER}used')})", rows=True),
            query(f"{each} ({of(f'{_SENDER}limit')})", rows=True),
            query(f"{each} ({of(f'{_SENDER}until_timestamp_seconds')}) * 1000", rows=True),
        ],
    )
    panel.no_value("nobody is refused, or nobody is to be listed")
    columns = {
        "account": "Account",
        "reason": "Why",
        "country": "Country",
        "Value #A": "Since",
        "Value #B": "Used",
        "Value #C": "Limit",
        "share": "Used of limit",
        "Value #D": "Until",
    }
    division = {"left": "Value #B", "operator": "/", "right": "Value #C"}
    transformed(
        panel,
        ("merge", {}),
        ("calculateField", {"mode": "binary", "alias": "share", "binary": division}),
        (
            "organize",
            {
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(columns)},
                "renameByName": columns,
            },
        ),
    )
    bar = {"type": "gauge", "mode": "basic"}
    steps = [
        {"value": None, "color": "green"},
        {"value": 0.8, "color": "yellow"},
        {"value": 1, "color": "red"},
    ]
    for name, values in (
        override("Since", unit="dateTimeFromNow"),
        override("Until", unit="dateTimeAsLocal"),
        # Whole numbers: `short` makes 1.00 K of 1003.
        override("Used", unit="none"),
        override("Limit", unit="none"),
        override(
            "Used of limit",
            unit="percentunit",
            min=0,
            max=1,
            custom__cellOptions=bar,
            thresholds={"mode": "absolute", "steps": steps},
        ),
    ):
        panel.override_by_name(name, values)
    return panel.sort_by([common.TableSortByFieldState().display_name("Since").desc(True)])


def _trend(board: Board) -> None:
    panels: tuple[Panel, ...] = (
        lines(
            "Accounts refused",
            "At each time, by reason.",
            "short",
            query(f"sum by (reason) ({of('mtpolicyd_blocked_senders')})", "{{reason}}"),
        ).decimals(0),
        lines(
            "Refusals",
            "Requests a second, by reason.",
            "reqps",
            query(rate("mtpolicyd_blocks_total", by="reason"), "{{reason}}"),
        ),
        lines(
            "Refusals by country",
            "The ten countries with most refusals at each time.",
            "reqps",
            query(f"topk(10, {rate('mtpolicyd_blocks_total', by='country')} > 0)", "{{country}}"),
        ).no_value(_NOBODY),
        lines(
            "Charges",
            "What became of the quota's charges.",
            "reqps",
            query(rate("mtpolicyd_charges_total", by="outcome"), "{{outcome}}"),
        ),
    )
    board.add(12, 8, *panels)


def _map() -> geomap.Panel:
    """Countries are looked up in a file that Grafana brings; the map under them comes with it too.

    The usual map is loaded from the Internet by whoever looks, so it is not used.
    """
    place = (
        common.FrameGeometrySource()
        .mode(common_models.FrameGeometrySourceMode.LOOKUP)
        .lookup("country")
        .gazetteer("public/gazetteer/countries.json")
    )
    style = {
        "size": {"field": "Value", "fixed": 5, "min": 4, "max": 24},
        "color": {"field": "Value", "fixed": "red"},
        "opacity": 0.6,
        "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
    }
    markers = (
        common.MapLayerOptions()
        .type("markers")
        .name("Refusals")
        .location(place)
        .config({"style": style, "showLegend": True})
        .tooltip(True)
    )
    world = {
        "src": "public/maps/countries.geojson",
        "rules": [],
        "style": {"color": {"fixed": "#8888"}, "opacity": 0.4},
    }
    return (
        geomap.Panel()
        .title("Refusals on the map")
        .description(
            "Circles by number. Countries that the data does not know are missing; the chart beside has all."
        )
        .unit("short")
        .decimals(0)
        .no_value(_NOBODY)
        .thresholds(colors((None, "yellow"), (10, "orange"), (100, "red")))
        .view(geomap.MapViewConfig().id("zero"))
        .controls(geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(False))
        .basemap(common.MapLayerOptions().type("geojson").name("Countries").config(world))
        .layers([markers])
        .tooltip(geomap.TooltipOptions().mode(TooltipMode.DETAILS))
        .with_target(query(f"{_COUNTRIES} > 0", rows=True))
    )


def _bars() -> BarChart:
    return (
        BarChart()
        .title("Refusals by country")
        .description("The 25 countries with most. unknown: the data has no country for the address.")
        .unit("short")
        .decimals(0)
        .no_value(_NOBODY)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .x_field("country")
        .legend(common.VizLegendOptions().show_legend(False))
        .with_target(query(f"sort_desc(topk(25, {_COUNTRIES} > 0))", rows=True))
    )
