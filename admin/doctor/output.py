"""What `mtpolicyctl doctor` prints: tables and sentences with colours, or JSON with everything."""

import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admin.doctor.clients import KINDS, Kind
from admin.doctor.endpoint import OurService
from admin.doctor.examination import Examination
from admin.doctor.examined import Examined
from admin.doctor.findings import Finding, Severity
from admin.doctor.flows import Ask
from admin.doctor.verdict import Answer, Verdict
from admin.doctor.wording import Language, sentence, term
from chassis.printable import printable

# Without a terminal nobody says how wide a line may be.
PIPE_COLUMNS = 160
_COLOURS = {
    Severity.ERROR: "bold red",
    Severity.UNKNOWN: "magenta",
    Severity.WARNING: "yellow",
    Severity.INFO: "cyan",
}
_ANSWER_COLOURS = {Answer.COVERED: "green", Answer.NOT_COVERED: "bold red", Answer.UNKNOWN: "magenta"}


class Report(NamedTuple):
    """All that there is to say. Args: answer: on the host, with what --live has shown."""

    examination: Examination
    ours: OurService
    findings: Sequence[Finding]
    answer: Answer
    language: Language


def to_json(report: Report) -> str:
    """One object, in ASCII."""
    return json.dumps(
        {
            "verdict": report.answer,
            "postfix": report.examination.values.get("mail_version", ""),
            "service": report.ours.endpoint,
            "entrances": [
                _entrance(examined, report.examination.accepted) for examined in report.examination.entrances
            ],
            "findings": [
                {
                    "id": finding.id,
                    "severity": finding.severity,
                    "entrances": list(finding.where),
                    "details": list(finding.details),
                    "message": sentence(finding.id, report.language, finding.details),
                    "mend": list(finding.mend),
                }
                for finding in report.findings
            ],
        }
    )


def _entrance(examined: Examined, accepted: frozenset[str]) -> dict[str, object]:
    entrance = examined.entrance
    return {
        "name": entrance.name,
        "service": entrance.service.key,
        "listener": entrance.listener.key,
        "way": entrance.way,
        "port": entrance.port or None,
        "verdicts": {kind.name: _verdict(verdict) for kind, verdict in examined.verdicts.items()},
        "asked_at": [
            {
                "parameter": ask.parameter,
                "stage": ask.stage,
                "position": ask.position,
                "through": ask.through or None,
                "before": list(ask.behind),
                "behind": list(ask.before),
                "endpoint": ask.service.endpoint,
                "default_action": ask.service.default_action,
                "timeout_seconds": ask.service.timeout,
                "heeded": ask.heeded,
            }
            for ask in examined.asks
        ],
        "filters": [one._asdict() | {"accepted": one.name in accepted} for one in examined.filters],
    }


def _verdict(verdict: Verdict) -> dict[str, object]:
    return {
        "answer": verdict.answer,
        "partly": verdict.partly,
        "why": [{"key": why.key, "detail": why.detail} for why in verdict.why],
    }


def show(report: Report, console: Console) -> None:
    """Print for somebody who reads."""

    def say(text: Text) -> None:
        console.print(text, soft_wrap=True)

    language = report.language
    version = report.examination.values.get("mail_version", "")
    say(Text(f"Postfix {printable(version)}. {term('listening', language, report.ours.endpoint)}"))
    console.print(_table(report))
    for examined in report.examination.entrances:
        for ask in examined.asks:
            say(Text(f"{printable(examined.entrance.name)}: {_asked(ask, language)}"))
    for finding in report.findings:
        say(Text(""))
        line = Text(f"{term(finding.severity, language)}: ", style=_COLOURS[finding.severity])
        where = f"{', '.join(finding.where)}: " if finding.where else ""
        details = tuple(map(printable, finding.details))
        told = sentence(finding.id, language, details)
        line.append(f"{printable(where)}{told}", style="default not bold")
        say(line)
        if finding.mend:
            say(Text(f"  {term('mend', language)}"))
        for command in finding.mend:
            say(Text(f"    {printable(command)}", style="bold"))
    say(Text(""))
    say(
        Text(term(f"verdict_{report.answer}", language), style=_ANSWER_COLOURS.get(report.answer, "bold red"))
    )


def open_console() -> Console:
    """Standard output, with nothing in it that a text could switch on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # German is not ASCII
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    return console


def _table(report: Report) -> Table:
    language = report.language
    kinds = [kind for kind in KINDS if any(kind in found.verdicts for found in report.examination.entrances)]
    table = Table(box=box.ASCII2)
    table.add_column(term("entrance", language), overflow="fold")
    for kind in kinds:
        table.add_column(term(kind.name, language), overflow="fold")
    for examined in report.examination.entrances:
        cells = [_cell(kind, examined.verdicts.get(kind), language) for kind in kinds]
        table.add_row(Text(printable(examined.entrance.name)), *cells)
    return table


def _cell(kind: Kind, verdict: Verdict | None, language: Language) -> Text:
    if verdict is None:
        return Text(term("none", language))
    if kind.login:
        word = "partly" if verdict.partly else str(verdict.answer)
        return Text(term(word, language), style=_ANSWER_COLOURS.get(verdict.answer, ""))
    # Without a login there is nothing to guard: it is only told.
    words = {Answer.COVERED: "asked", Answer.NOT_COVERED: "not_asked"}
    return Text(term(words.get(verdict.answer, str(verdict.answer)), language))


def _asked(ask: Ask, language: Language) -> str:
    nothing = term("nothing", language)
    timeout = "?" if ask.service.timeout is None else f"{ask.service.timeout:g}"
    text = term(
        "asked_at",
        language,
        str(ask.stage),
        ask.parameter,
        str(ask.position),
        _names(ask.behind) or nothing,
        _names(ask.before) or nothing,
        printable(ask.service.default_action),
        timeout,
    )
    return f"{text}; {term('through', language, printable(ask.through))}" if ask.through else text


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
