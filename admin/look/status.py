"""`mtpolicyctl status`: the services, what is in force, and what is not well."""

import asyncio
import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.text import Text

from admin.look.frontends import FrontendStatus
from admin.look.health import DAY_MS, Expected, Service, ask_all, differences, problems, settings_of
from admin.talk.exits import EXIT_NO, EXIT_NO_SERVICE, command
from admin.talk.names import plain
from admin.talk.options import JsonOption
from admin.talk.output import Cell, print_fields, print_json, print_line, print_table
from admin.talk.services import decision_settings, frontend_settings, frontend_target
from admin.talk.times import iso, minute
from chassis.settings import setting_lines
from protos import decision_admin_pb2, quota_admin_pb2

HEADINGS = ("service", "address", "version", "since", "settings", "state")


@command
def status(
    settings: Annotated[
        bool, typer.Option("--settings", help="Print the settings in force, too; --json always does.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show whether all is well: services, versions, settings, store, country data, failure action.

    Exit code 0: all is well; 1: something is not, a line says what; 2: wrong settings; 3: a service does not
    answer.
    """
    own = decision_settings()
    expected = Expected(own.time_zone_name, setting_lines(own))
    services = asyncio.run(ask_all(own.quota_target, frontend_settings().decision_target, frontend_target()))
    now = round(time.time() * 1000)
    wrong = problems(services, expected, now_unix_ms=now)
    zone = ZoneInfo(own.time_zone_name)
    if as_json:
        print_json(
            {
                "well": not wrong,
                "problems": wrong,
                "on_failure": frontend_settings().on_failure,
                "differences": differences(services),
                "services": [as_object(one, zone, now) for one in services],
            }
        )
    else:
        show(services, zone, now)
        if settings:
            show_settings(services)
        for line in wrong:
            print_line(Text("not well: ", "bold red"), line)
        if not wrong:
            print_line(Text("all is well", "green"))
    if any(one.status is None for one in services):
        raise typer.Exit(EXIT_NO_SERVICE)
    if wrong:
        raise typer.Exit(EXIT_NO)


def as_object(one: Service, zone: ZoneInfo, now_unix_ms: int) -> dict[str, Any]:
    """For JSON: what all have, and `details` of each kind of service; `details` is null without an answer."""
    status = one.status
    found = {
        "service": one.name,
        "address": str(one.address),
        "answers": status is not None,
        "error": one.error or None,
        "ready": one.ready,
        "version": status.version if status else None,
        "started": iso(status.started_unix_ms, zone) if status else None,
        "settings_version": getattr(status, "settings", None),
        "settings_error": getattr(status, "settings_error", "") or None,
        "settings": settings_of(status),
    }
    return {**found, "details": _details(status, zone, now_unix_ms)}


def _details(status: Any, zone: ZoneInfo, now_unix_ms: int) -> dict[str, Any] | None:
    if isinstance(status, FrontendStatus):
        return {
            "connected": status.connected,
            "failing_open": status.failing_open,
            "failure_actions": status.failure_actions,
            "settings_good": status.settings_good,
        }
    if isinstance(status, decision_admin_pb2.DecisionStatus):
        return {
            "quota_connected": status.quota_connected,
            "time_zone": status.time_zone,
            "rules": dict(rule.split("=", 1) for rule in status.rules),
            "databases": [
                {
                    "source": data.source,
                    "built": iso(data.built_unix_ms, zone),
                    "age_days": _age(data, now_unix_ms),
                    "error": data.error or None,
                }
                for data in status.databases
            ],
        }
    if isinstance(status, quota_admin_pb2.QuotaStatus):
        names = ("store", "store_bytes", "store_up", "accounts", "limits", "permits", "locks")
        return {name: getattr(status, name) for name in (*names, "notifications_waiting")}
    return None


def show(services: list[Service], zone: ZoneInfo, now_unix_ms: int) -> None:
    """For people."""
    print_table(HEADINGS, [_row(one, zone) for one in services])
    fields: list[tuple[str, Cell]] = []
    for one in services:
        status = one.status
        if isinstance(status, quota_admin_pb2.QuotaStatus):
            fields += _of_quota(status)
        elif isinstance(status, decision_admin_pb2.DecisionStatus):
            fields += _of_decision(status, now_unix_ms)
        elif isinstance(status, FrontendStatus):
            fields.append(("failure action", _failure_action(status)))
    fields += [("settings differ", line) for line in differences(services)]
    # Replicas mostly have the same to say.
    print_fields(field for number, field in enumerate(fields) if field not in fields[:number])
    print_line()


def show_settings(services: list[Service]) -> None:
    """Every setting once, or once for each service that has another value."""
    rows = {
        (plain(name), plain(value)): None
        for one in services
        for name, value in settings_of(one.status).items()
    }
    print_table(("setting", "value"), list(rows))
    print_line()


def _row(one: Service, zone: ZoneInfo) -> list[Cell]:
    status = one.status
    if status is None:
        return [one.name, str(one.address), "-", "-", "-", Text("no answer", "bold red")]
    state = Text("ready", "green") if one.ready else Text("not ready", "yellow")
    settings = getattr(status, "settings", "-")
    since = minute(status.started_unix_ms, zone)
    return [one.name, str(one.address), plain(status.version), since, plain(settings), state]


def _failure_action(status: FrontendStatus) -> Cell:
    counts = ", ".join(f"{count} {cause}" for cause, count in status.failure_actions.items())
    since = f"since its start: {counts or 'never'}"
    if status.failing_open:
        return Text(f"in force: {frontend_settings().on_failure}; {since}", "bold red")
    return f"not in force; {since}"


def _of_decision(status: decision_admin_pb2.DecisionStatus, now_unix_ms: int) -> list[tuple[str, Cell]]:
    data = [
        ("country data", f"{plain(data.source)}, {age} days old")
        for data in status.databases
        if (age := _age(data, now_unix_ms)) is not None
    ]
    rules = ", ".join(plain(rule.replace("=", " ")) for rule in status.rules)
    return [("rules", rules), ("days of", plain(status.time_zone)), *data]


def _of_quota(status: quota_admin_pb2.QuotaStatus) -> list[tuple[str, Cell]]:
    size = f"{status.store_bytes / 2**20:.1f} MiB"
    return [
        ("store", f"{plain(status.store)}, {size}, {status.accounts} accounts"),
        ("in force", f"{status.limits} limits, {status.permits} country permits, {status.locks} locks"),
        ("notifications", f"{status.notifications_waiting} waiting"),
    ]


def _age(data: decision_admin_pb2.CountryDatabase, now_unix_ms: int) -> int | None:
    return (now_unix_ms - data.built_unix_ms) // DAY_MS if data.built_unix_ms else None
