"""A report as an object for JSON: everything that quota told, and what is suggested."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from admin.networks import network_of
from admin.report.suggestions import allowed_networks_line, exempt_accounts_line, suggest, writable
from admin.report.summary import country_rows
from admin.report.tables import country_name
from chassis.printable import as_text
from decision.settings import Settings
from protos import quota_pb2 as pb


def as_object(reply: pb.ReportReply, settings: Settings) -> dict[str, Any]:
    """Everything for programs. Bytes that are no UTF-8 become `\\xff`."""
    suggestions = suggest(reply.accounts, settings)
    zone = ZoneInfo(settings.time_zone_name)
    return {
        "first_day": reply.first_day,
        "last_day": reply.last_day,
        "time_zone": settings.time_zone_name,
        "recorded_since": reply.recorded_since or None,
        "unit": settings.count,
        "truncated": reply.truncated,
        "accounts": [_account_object(account, zone) for account in reply.accounts],
        "countries": [
            {**row._asdict(), "name": country_name(row.country)} for row in country_rows(reply.countries)
        ],
        "suggestions": {
            "allowed_networks": list(map(str, suggestions.networks)),
            "exempt_accounts": list(map(as_text, suggestions.accounts)),
            "doubtful_accounts": list(map(as_text, suggestions.doubtful)),
            "lines": [
                *([allowed_networks_line(suggestions, settings)] if suggestions.networks else []),
                *([exempt_accounts_line(suggestions, settings)] if writable(suggestions.accounts) else []),
            ],
        },
    }


def _account_object(account: pb.AccountReport, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "account": as_text(account.account),
        "login": as_text(account.login),
        "accepted": sum(origin.count for origin in account.origins if not origin.rule),
        "refusals": [
            {
                "rule": refusals.rule,
                "enforced": refusals.mode == pb.MODE_ENFORCE,
                "count": refusals.count,
                "first": _moment(refusals.first_unix_ms, zone),
                "last": _moment(refusals.last_unix_ms, zone),
            }
            for refusals in account.refusals
        ],
        "origins": [_origin_object(origin) for origin in account.origins],
    }


def _origin_object(origin: pb.Origin) -> dict[str, Any]:
    network = network_of(origin.address)
    return {
        "country": origin.country,
        "address": as_text(origin.address),
        "network": None if network is None else str(network),
        "rule": origin.rule or None,
        "enforced": origin.mode == pb.MODE_ENFORCE,
        "count": origin.count,
        "first_day": origin.first_day,
        "last_day": origin.last_day,
    }


def _moment(unix_ms: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, zone).isoformat(timespec="seconds")
