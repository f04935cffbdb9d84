"""Does it work, what does it refuse: the first page to look at."""

from grafana_foundation_sdk.builders import common, dashboard

from dashboards.board import (
    OURS,
    Board,
    colors,
    increase,
    lines,
    number,
    of,
    override,
    quantile,
    query,
    rate,
    rows,
    transformed,
    words,
)

# https://grafana.com/docs/grafana/latest/panels-visualizations/configure-data-links/#data-link-variables
_BLOCKED_SENDERS = "/d/mtpolicyd-blocked-senders?${__url_time_range}&${__all_variables}"
_REFUSED = 'verb!="DUNNO"'


def build() -> Board:
    """The dashboard."""
    board = Board(
        "overview", "Overview", "Is mail being checked, how much of it is refused, and what is wrong?"
    )
    _numbers(board)
    board.row("Mail")
    _mail(board)
    board.row("Trouble")
    _trouble(board)
    return board


def _numbers(board: Board) -> None:
    checked = words({"0": ("checked", "green"), "1": ("UNCHECKED", "red")})
    board.add(
        4,
        4,
        number(
            "Mail with a login",
            "UNCHECKED: decision or quota cannot be asked, and the failure action answers.",
            query(f"max({of('mtpolicyd_failure_action_in_force')})"),
        ).mappings(checked),
        number(
            "Instances up",
            "Instances of frontend, decision and quota that Prometheus reaches: three, without replicas.",
            query(f"sum({of('up', OURS)})"),
        ).thresholds(colors((None, "red"), (3, "green"))),
        number(
            "Accounts refused now",
            "A click leads to who they are. One that two rules refuse counts twice.",
            query(f"sum({of('mtpolicyd_blocked_senders')})"),
        )
        .thresholds(colors((None, "green"), (1, "red")))
        .data_links([dashboard.DashboardLink("Blocked senders").url(_BLOCKED_SENDERS)]),
        number(
            "Refusals",
            "Requests that were refused in the time shown.",
            query(increase("mtpolicyd_blocks_total"), instant=True),
        ).decimals(0),
        number(
            "Answer time, p99",
            "Of requests with a login. SMTP sessions wait for it.",
            query(quantile(0.99, "mtpolicyd_request_duration_seconds")),
            "s",
        )
        .no_value("no mail")
        .thresholds(colors((None, "green"), (0.1, "yellow"), (0.5, "red"))),
        number(
            "Country data, age",
            "Of the oldest database in use. A file should be renewed within 45 days.",
            query(f"time() - min({of('mtpolicyd_geoip_db_build_timestamp_seconds')})"),
            "s",
        ).thresholds(colors((None, "green"), (45 * 86400, "yellow"), (400 * 86400, "red"))),
    )


def _mail(board: Board) -> None:
    without = rate("mtpolicyd_requests_without_login_total")
    board.add(
        12,
        8,
        lines(
            "Requests",
            "Of Postfix, with and without a login. Those without are answered DUNNO at once.",
            "reqps",
            query(rate("mtpolicyd_replies_total"), "with a login"),
            query(without, "without a login"),
        ),
        lines(
            "Answers to mail with a login",
            "DUNNO: it may pass. The failure action is counted by what it says.",
            "reqps",
            query(rate("mtpolicyd_replies_total", by="verb"), "{{verb}}"),
        ),
        lines(
            "Refusals by reason",
            "country: sent from where it is not allowed. quota: over the day's limit. lock: an admin has "
            "locked the account.",
            "reqps",
            query(rate("mtpolicyd_blocks_total", by="reason"), "{{reason}}"),
        ),
        lines(
            "Share that is not DUNNO",
            "Of the answers to mail with a login.",
            "percentunit",
            query(
                f"{rate('mtpolicyd_replies_total', _REFUSED)} / {rate('mtpolicyd_replies_total')}",
                "refused",
            ),
        ).max(1),
        lines(
            "Would be refused",
            "By rules in mode observe, or of exempt accounts and networks. This mail has passed.",
            "reqps",
            query(
                rate("mtpolicyd_decisions_total", 'mode!="enforce"', 'reason!="none"', by="mode, reason"),
                "{{reason}}, {{mode}}",
            ),
        ),
        lines(
            "Answer time",
            "From a complete request with a login to its reply.",
            "s",
            *(
                query(quantile(share, "mtpolicyd_request_duration_seconds"), f"p{share * 100:g}")
                for share in (0.5, 0.95, 0.99)
            ),
        ),
    )


def _trouble(board: Board) -> None:
    alerts = rows(
        "Firing alerts",
        "By Prometheus' rules. Each has a page in docs/runbooks.",
        [query('ALERTS{alertstate="firing", alertname=~"Mtpolicyd.+"}', rows=True)],
    ).no_value("none")
    hidden = ("Time", "Value", "__name__", "alertstate", "instance")
    columns = {
        "severity": "Severity",
        "alertname": "Alert",
        "account": "Account",
        "reason": "Why",
        "job": "Service",
    }
    urgency = words(
        {"critical": ("critical", "red"), "warning": ("warning", "orange"), "info": ("info", "blue")}
    )
    name, values = override("Severity", mappings=urgency, custom__cellOptions={"type": "color-text"})
    alerts.override_by_name(name, values).sort_by([common.TableSortByFieldState().display_name("Severity")])
    arranged = {
        "excludeByName": dict.fromkeys(hidden, True),
        "indexByName": {name: index for index, name in enumerate(columns)},
        "renameByName": columns,
    }
    board.add(
        12,
        8,
        transformed(alerts, ("organize", arranged)),
        lines(
            "Failure actions by cause",
            "Answers without a decision. Anything above 0 is mail that was not checked.",
            "reqps",
            query(rate("mtpolicyd_failure_actions_total", by="cause"), "{{cause}}"),
        ),
    )
