"""Makes the reports that quota answers with."""

from collections import Counter

from protos import quota_pb2 as pb

FIRST_MS, LAST_MS = 1_795_000_000_000, 1_795_003_600_000  # 2026-11-18 12:06 and 13:06 in Berlin

# Logins as a client may send them: they must neither break a table, a terminal, nor a settings file.
NASTY_LOGINS = [
    b"a b",
    b" blank ",
    b"one,two",
    b"quote\"and'backslash\\",
    b"[red]markup[/red] :smile:",
    b"nul\0esc\x1b[2J\r\n\x7f",
    "ünïcödé \U0001f600".encode(),
    b"#= \t",
    b"x" * 320,
    b",",
]


def origin(
    address: bytes = b"84.128.0.1",
    country: str = "DE",
    *,
    rule: str = "",
    enforced: bool = False,
    count: int = 1,
    first_day: str = "2026-11-18",
    last_day: str = "2026-11-18",
) -> pb.Origin:
    """Mail that was accepted, or with a rule, would have been refused."""
    return pb.Origin(
        country=country,
        address=address,
        rule=rule,
        mode=(pb.MODE_ENFORCE if enforced else pb.MODE_OBSERVE) if rule else pb.MODE_UNSPECIFIED,
        count=count,
        first_day=first_day,
        last_day=last_day,
    )


def account(name: bytes, *origins: pb.Origin) -> pb.AccountReport:
    """An account with the refusals that its origins tell of."""
    refusals = Counter[tuple[str, "pb.Mode.ValueType"]]()
    for found in origins:
        if found.rule:
            refusals[found.rule, found.mode] += found.count
    return pb.AccountReport(
        account=name,
        login=name,
        refusals=[
            pb.Refusals(rule=rule, mode=mode, count=count, first_unix_ms=FIRST_MS, last_unix_ms=LAST_MS)
            for (rule, mode), count in refusals.items()
        ],
        origins=origins,
    )


def reply(*accounts: pb.AccountReport) -> pb.ReportReply:
    """A whole report of these accounts, by which the countries are counted."""
    counts = Counter[tuple[str, str, "pb.Mode.ValueType"]]()
    for found in accounts:
        for of in found.origins:
            counts[of.country, of.rule, of.mode] += of.count
    return pb.ReportReply(
        first_day="2026-11-16",
        last_day="2026-11-23",
        recorded_since="2026-11-18" if accounts else "",
        accounts=accounts,
        countries=[
            pb.CountryCount(country=country, rule=rule, mode=mode, count=count)
            for (country, rule, mode), count in counts.items()
        ],
    )
