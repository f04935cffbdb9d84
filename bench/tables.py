"""Figures as Markdown."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bench.figures import Figures, ratio

NOTHING = "-"
MIB = 1024**2
LATENCY_CONNECTIONS = (1, 50)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, the first column to the left, numbers to the right."""
    return [
        f"| {' | '.join(header)} |",
        f"|---|{'---:|' * (len(header) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def number(value: float | None, digits: int = 0) -> str:
    """With thousands separated; NOTHING for None."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def milliseconds(microseconds: float | None) -> str:
    """Three significant digits where they matter."""
    if microseconds is None:
        return NOTHING
    value = microseconds / 1000
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def times(value: float | None) -> str:
    """A ratio."""
    return NOTHING if value is None else f"{value:.2f}"


Column = tuple[
    str,  # header
    Callable[[Figures], float | None],
    Callable[[float | None], str],
    Callable[[list[float]], float],  # which of several is the best
]


def _rate(connections: int, figures: Figures) -> float:
    return figures.rate[connections]


def _p50(connections: int, figures: Figures) -> float:
    return figures.p50_us[connections]


def _p99(connections: int, figures: Figures) -> float:
    return figures.p99_us[connections]


def shown_columns(connections: Sequence[int]) -> list[Column]:
    """What the table of subjects shows."""
    columns: list[Column] = [
        (f"{count} conn. /s", partial(_rate, count), number, max) for count in connections
    ]
    for count in LATENCY_CONNECTIONS:
        if count in connections:
            columns.append((f"p50 ms at {count}", partial(_p50, count), milliseconds, min))
            columns.append((f"p99 ms at {count}", partial(_p99, count), milliseconds, min))
    return [
        *columns,
        ("max ms", lambda f: f.max_us, milliseconds, min),
        ("PSS MiB", lambda f: f.pss_total / MIB, number, min),
        ("bytes a user", lambda f: f.size.per_user, number, min),
        ("bytes a charge", lambda f: f.size.per_charge, number, min),
    ]


def subjects_table(
    connections: Sequence[int],
    ours: tuple[str, Figures] | None,
    peers: Mapping[str, Figures],
    limit: tuple[str, Figures] | None,
    absent: Mapping[str, str],
) -> list[str]:
    """One row for each subject, then our ratios.

    Args:
        absent: title to reason of those that were not measured.
    """
    shown = shown_columns(connections)
    everybody = dict([*([ours] if ours else []), *peers.items(), *([limit] if limit else [])])
    rows = [[title, *(form(value(f)) for _, value, form, _ in shown)] for title, f in everybody.items()]
    rows += [[f"{title}: {why}", *[NOTHING] * len(shown)] for title, why in absent.items()]
    if ours:
        own = ours[1]
        if peers:
            rows.append(
                [
                    "**ours / the best peer's**",
                    *(
                        times(ratio(value(own), map(value, peers.values()), best))
                        for _, value, _, best in shown
                    ),
                ]
            )
        if limit:
            rows.append(
                [
                    "**ours / the limit**",
                    *(times(ratio(value(own), [value(limit[1])], best)) for _, value, _, best in shown),
                ]
            )
    return table(["who answers", *(header for header, *_ in shown)], rows)


def answers_table(everybody: Mapping[str, Figures], findings: Mapping[str, Sequence[str]]) -> list[str]:
    """Whether each subject's answers and counts were right."""
    rows = []
    for title, found in everybody.items():
        if found.counted is None:
            counted = "not to be asked"
        else:
            counted = f"{found.counted:,} of {found.accepted:,}"
        wrong = "; ".join(findings.get(title, ())) or "none"
        rows.append([title, counted, number(found.failed), wrong])
    header = ["who answers", "units counted, of mails that passed", "without a reply", "wrong"]
    return table(header, rows)


def own_table(own: Figures) -> list[str]:
    """What is measured of us alone."""
    rows = [[f"PSS of {part}, MiB", number(size / MIB, 1)] for part, size in own.pss.items()]
    rows.append(["start, seconds from spawn to /readyz of all three", number(own.start_seconds, 2)])
    if own.idle_cpu is not None:
        rows.append(["processor time while idle, all three, % of one core", number(own.idle_cpu * 100, 2)])
    rows.append(["largest reply time of all runs, ms", milliseconds(own.max_us)])
    return table(["ours", ""], rows)
