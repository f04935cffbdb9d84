"""What a command prints: JSON for scripts, tables for people; colours on a terminal alone.

A table that is too wide for the terminal is printed row by row instead, a line for each cell; what is no
terminal has no width, so that a row stays one line. No cell is read as rich's markup.
"""

import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

# rich has to know some width.
PIPE_WIDTH = 100_000

Cell = str | Text
Row = Sequence[Cell]


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would end the process with exit code 1; whether that is an error is the command's to say.
        raise BrokenPipeError


def console() -> Console:
    """The console of standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of another encoding gets an escape, not a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    return _Console(
        width=None if sys.stdout.isatty() else PIPE_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_json(value: Any) -> None:
    """One object on one line, in ASCII."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def print_table(headings: Sequence[str], rows: Iterable[Row], *, numbers: Iterable[str] = ()) -> None:
    """Print the rows. Args: numbers: the headings of columns that are aligned to the right."""
    out = console()
    table = Table(box=SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left", no_wrap=True)
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    for row in cells:
        table.add_row(*row)
    if Measurement.get(out, out.options.update(max_width=PIPE_WIDTH), table).maximum <= out.width:
        _print_table(out, table)
        return
    for row in cells:
        print_fields(zip(headings, row, strict=True))
        out.print()


def print_fields(fields: Iterable[tuple[str, Cell]]) -> None:
    """Print a line for each field; a value that is too long goes on below itself."""
    out = console()
    known = list(fields)
    table = Table(box=None, pad_edge=False, show_header=False)
    width = max((len(name) for name, _ in known), default=0)
    table.add_column(no_wrap=True, min_width=min(width, out.width // 2), style="dim")
    table.add_column(overflow="fold")
    for name, value in known:
        table.add_row(Text(name), Text(value) if isinstance(value, str) else value)
    _print_table(out, table)


def _print_table(out: Console, table: Table) -> None:
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    # rich fills every cell, the last one of a row too.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_line(*parts: Cell) -> None:
    """Print one line. A narrow terminal breaks it by itself, so that a command can be copied from it."""
    out = console()
    line = Text()
    for part in parts:
        line.append(part if isinstance(part, Text) else Text(part))
    out.print(line, soft_wrap=True)
