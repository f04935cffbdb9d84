"""Words that several commands use for what quota tells."""

from zoneinfo import ZoneInfo

from admin.talk.names import plain
from admin.talk.times import iso, minute
from chassis.printable import as_text
from decision.countries import name_of
from protos import quota_admin_pb2 as pb
from protos import quota_pb2

UNITS = {
    quota_pb2.UNIT_RECIPIENTS: "recipients",
    quota_pb2.UNIT_MESSAGES: "messages",
    quota_pb2.UNIT_DISTINCT: "distinct",
}
LIMIT, COUNTRY, LOCK = "limit", "country", "lock"
# What `export USER` does not show and `purge` does not delete; docs/admin.md says it at length.
ELSEWHERE = (
    "logs, Prometheus, recorded requests, sent notifications, the settings file, backups, corrupt stores that"
    " lie aside, other users' refusals"
)


def country(code: str) -> str:
    """`US (United States)`, or `-`."""
    if not code:
        return "-"
    return f"{plain(code)} ({name_of(code)})" if code.isascii() and code.isalpha() else plain(code)


def what_of(override: pb.Override) -> str:
    """Which kind of override it is."""
    return {"maximum": LIMIT, "countries": COUNTRY, "lock": LOCK}.get(override.WhichOneof("what") or "", "-")


def value_of(override: pb.Override) -> int | list[str] | None:
    """The limit, the countries, or nothing for a lock."""
    kind = what_of(override)
    if kind == LIMIT:
        return override.maximum
    return list(override.countries.codes) if kind == COUNTRY else None


def shown_value(override: pb.Override) -> str:
    """`500`, `FR,IT`, or `-`."""
    value = value_of(override)
    return plain(",".join(value)) if isinstance(value, list) else "-" if value is None else str(value)


def describe(override: pb.Override, zone: ZoneInfo) -> str:
    """`limit 500 until 2026-11-24 00:00`."""
    until = f" until {minute(override.until_unix_ms, zone)}" if override.until_unix_ms else ""
    value = "" if override.lock else f" {shown_value(override)}"
    return f"{what_of(override)}{value}{until}"


def override_object(override: pb.Override, zone: ZoneInfo) -> dict[str, object]:
    """For JSON; `import` reads these objects."""
    return {
        "account": as_text(override.account),
        "what": what_of(override),
        "value": value_of(override),
        "until": iso(override.until_unix_ms, zone),
        "reason": override.reason,
        "who": override.who,
        "set": iso(override.set_unix_ms, zone),
    }
