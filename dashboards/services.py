"""The services themselves: rates, errors, times, the store."""

from dashboards.board import (
    OURS,
    Board,
    colors,
    lines,
    number,
    of,
    quantile,
    query,
    rate,
    rows,
    transformed,
    words,
)

_SENT = 'direction="sent"'
_STORE = "mtpolicyd_store_operation_seconds"


def build() -> Board:
    """The dashboard."""
    board = Board(
        "services", "Services", "frontend, decision and quota: rates, errors, times, the store, processes."
    )
    _numbers(board)
    board.row("Rates")
    _rates(board)
    board.row("Errors")
    _errors(board)
    board.row("Times")
    _times(board)
    board.row("Notifications")
    _notifications(board)
    board.row("Country data")
    _countries(board)
    board.row("Processes")
    _processes(board)
    return board


def _numbers(board: Board) -> None:
    works = words({"0": ("DOWN", "red"), "1": ("up", "green")})
    taken = words({"0": ("REFUSED", "red"), "1": ("in force", "green")})
    board.add(
        6,
        4,
        number(
            "Reached by Prometheus", "Each instance.", query(of("up", OURS), "{{job}} {{instance}}")
        ).mappings(works),
        number(
            "Streams", "Does the peer answer?", query(of("mtpolicyd_stream_up"), "{{job}} to {{peer}}")
        ).mappings(works),
        number("Store", "Was the last transaction done?", query(of("mtpolicyd_store_up"), "store")).mappings(
            works
        ),
        number(
            "Settings file",
            "In its present form.",
            query(of("mtpolicyd_config_last_reload_successful"), "{{job}} {{instance}}"),
        ).mappings(taken),
    )


def _rates(board: Board) -> None:
    board.add(
        8,
        8,
        lines(
            "Requests by state",
            "SMTP states in which Postfix asked.",
            "reqps",
            query(f"{rate('mtpolicyd_requests_total', by='state')} > 0", "{{state}}"),
        ).no_value("no mail"),
        lines(
            "Decisions",
            "By action, rule and mode.",
            "reqps",
            query(
                f"{rate('mtpolicyd_decisions_total', by='action, reason, mode')} > 0",
                "{{action}}, {{reason}}, {{mode}}",
            ),
        ).no_value("no mail"),
        lines(
            "Items in a message",
            "Between the services, sent by the asking one. More than one under load: they are batched.",
            "short",
            query(
                f"{rate('mtpolicyd_stream_items_total', _SENT, by='peer')}"
                f" / {rate('mtpolicyd_stream_messages_total', _SENT, by='peer')}",
                "to {{peer}}",
            ),
        ),
        lines(
            "Messages between the services",
            "gRPC messages at the answering end.",
            "cps",
            query(rate("mtpolicyd_server_messages_total", by="job, direction"), "{{job}} {{direction}}"),
        ),
        lines(
            "Units charged",
            "Recipients, or messages, by MTPOLICYD_COUNT.",
            "cps",
            query(rate("mtpolicyd_charge_units_total"), "units"),
        ),
        lines(
            "Connections",
            "Of Postfix, and streams between the services.",
            "short",
            query(f"sum({of('mtpolicyd_connections_open')})", "Postfix"),
            query(f"sum by (job) ({of('mtpolicyd_server_streams_open')})", "streams of {{job}}"),
        ),
    )


def _errors(board: Board) -> None:
    board.add(
        8,
        8,
        lines(
            "Without an answer",
            "Items that a peer did not answer, by cause; each becomes a failure action.",
            "cps",
            query(rate("mtpolicyd_stream_unanswered_total", by="job, cause"), "{{job}} {{cause}}"),
        ),
        lines(
            "Undecided, expired, turned away",
            "Undecided: decision had no verdict. Expired: past the deadline. Turned away: too many waited.",
            "cps",
            query(rate("mtpolicyd_undecided_total", by="cause"), "undecided, {{cause}}"),
            query(rate("mtpolicyd_items_expired_total", by="job"), "expired at {{job}}"),
            query(rate("mtpolicyd_items_shed_total"), "turned away by quota"),
            query(rate("mtpolicyd_server_streams_refused_total", by="job"), "streams refused by {{job}}"),
        ),
        lines(
            "Closed connections",
            "Of clients that were too many, not allowed, or sent no policy request.",
            "cps",
            query(rate("mtpolicyd_connections_refused_total"), "too many"),
            query(rate("mtpolicyd_clients_not_allowed_total"), "not allowed"),
            query(rate("mtpolicyd_protocol_errors_total", by="kind"), "{{kind}}"),
        ),
        lines(
            "Store",
            "Transactions that failed, and stores that were corrupt.",
            "cps",
            query(rate("mtpolicyd_store_errors_total", by="op"), "failed, {{op}}"),
            query(rate("mtpolicyd_store_corrupt_total"), "corrupt"),
        ),
        lines(
            "Lost lines",
            "Of the logs, recorded requests, and refusals that quota was not told of. No answer waits.",
            "cps",
            query(rate("mtpolicyd_log_lines_lost_total", by="job"), "log of {{job}}"),
            query(rate("mtpolicyd_record_lines_lost_total"), "recorded requests"),
            query(rate("mtpolicyd_refusals_unrecorded_total"), "refusals"),
        ),
        lines(
            "Country files refused",
            "Files that were examined and not taken into use.",
            "cps",
            query(rate("mtpolicyd_geoip_db_refused_total"), "refused"),
        ),
    )


def _times(board: Board) -> None:
    shares = (0.5, 0.95, 0.99)
    board.add(
        8,
        8,
        lines(
            "Answers to Postfix",
            "From a complete request with a login to its reply. The deadline is 3 s.",
            "s",
            *(
                query(quantile(share, "mtpolicyd_request_duration_seconds"), f"p{share * 100:g}")
                for share in shares
            ),
        ),
        lines(
            "Transactions of the store",
            "apply: charges, many at a time. expire: what is too old is removed.",
            "s",
            *(
                query(quantile(share, _STORE, by="op"), f"{{{{op}}}} p{share * 100:g}")
                for share in (0.5, 0.99)
            ),
        ),
        lines(
            "Lag of the event loop",
            "How late a timer ran. High: no processor, or something blocks.",
            "s",
            query(f"max by (job) ({of('mtpolicyd_event_loop_lag_seconds')})", "{{job}}"),
        ).thresholds(colors((None, "green"), (0.5, "red"))),
        lines(
            "Transactions",
            "One holds the charges of many requests under load.",
            "cps",
            query(rate("mtpolicyd_store_transactions_total"), "committed"),
            query(rate("mtpolicyd_refusals_recorded_total"), "refusals recorded"),
        ),
    )


def _notifications(board: Board) -> None:
    oldest = f"max by (channel) ({of('mtpolicyd_notifications_oldest_timestamp_seconds')})"
    board.add(
        8,
        8,
        lines(
            "Notifications to tell",
            "Written to the outbox, once for each account, day and kind. Left out: it was full.",
            "cps",
            query(rate("mtpolicyd_notifications_total", by="kind"), "{{kind}}"),
            query(rate("mtpolicyd_notifications_left_out_total"), "left out"),
        ),
        lines(
            "Deliveries",
            "Tries by channel. Failed ones are tried again; given up: refused for ever, or too old.",
            "cps",
            query(
                rate("mtpolicyd_notification_deliveries_total", by="channel, result"),
                "{{channel}} {{result}}",
            ),
        ),
        lines(
            "Waiting notifications",
            "For a channel that is on.",
            "short",
            query(f"sum by (channel) ({of('mtpolicyd_notifications_waiting')})", "{{channel}}"),
        ),
        lines(
            "Age of the oldest that waits",
            "Above an hour the alert MtpolicydNotificationsFail fires, after a day it is given up.",
            "s",
            # 0 where none waits.
            query(f"(time() - {oldest}) * ({oldest} > bool 0)", "{{channel}}"),
        ).thresholds(colors((None, "green"), (3600, "red"))),
    )


def _countries(board: Board) -> None:
    newest = "max by (source)"
    panel = rows(
        "Databases in use",
        "When each was built and opened.",
        [
            query(f"{newest} ({of('mtpolicyd_geoip_db_build_timestamp_seconds')}) * 1000", rows=True),
            query(f"{newest} ({of('mtpolicyd_geoip_db_loaded_timestamp_seconds')}) * 1000", rows=True),
        ],
        "dateTimeFromNow",
    )
    columns = {"source": "Database", "Value #A": "Built", "Value #B": "Opened"}
    board.add(
        8,
        8,
        transformed(
            panel, ("merge", {}), ("organize", {"excludeByName": {"Time": True}, "renameByName": columns})
        ),
        lines(
            "Addresses looked up",
            "hit: a country. unknown: none has one. non_global: private addresses.",
            "cps",
            query(rate("mtpolicyd_geoip_lookups_total", by="result"), "{{result}}"),
        ),
        lines(
            "State of the data",
            "Usable: 0 means that every country passes. Missing: databases that the settings name.",
            "short",
            query(f"min({of('mtpolicyd_geoip_db_usable')})", "usable"),
            query(f"max({of('mtpolicyd_geoip_db_missing')})", "missing"),
        ),
    )


def _processes(board: Board) -> None:
    settings = of("mtpolicyd_config_last_reload_success_timestamp_seconds")
    versions = rows(
        "Versions and settings",
        "What runs, and since when its settings are in force.",
        [
            query(
                f"max by (job, instance, version, python_version) ({of('mtpolicyd_build_info')})", rows=True
            ),
            query(
                f"max by (job, instance) ({settings}) * 1000",
                rows=True,
            ),
            query(f"max by (job, instance) ({of('process_start_time_seconds', OURS)}) * 1000", rows=True),
        ],
        "dateTimeAsLocal",
    )
    columns = {
        "job": "Service",
        "instance": "Instance",
        "version": "Version",
        "python_version": "Python",
        "Value #B": "Settings of",
        "Value #C": "Started",
    }
    board.add(
        12,
        7,
        transformed(
            versions,
            ("merge", {}),
            ("organize", {"excludeByName": {"Time": True, "Value #A": True}, "renameByName": columns}),
        ),
        lines("Memory", "Resident.", "bytes", query(of("process_resident_memory_bytes", OURS), "{{job}}")),
        lines(
            "Processor",
            "1 is a whole core.",
            "short",
            query(f"rate({of('process_cpu_seconds_total', OURS)}[$__rate_interval])", "{{job}}"),
        ),
        lines(
            "Open files",
            "Of those that the process may have. Each connection is one.",
            "percentunit",
            query(f"{of('process_open_fds', OURS)} / {of('process_max_fds', OURS)}", "{{job}}"),
        ),
    )
