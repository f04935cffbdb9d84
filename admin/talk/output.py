"""What a command prints: JSON for scripts, tables for people; colours on a terminal alone.

A table that is too wide for the terminal is printed row by row instead, a line for each cell; what is no
terminal has no width, so that a row stays one line. No cell is read as rich's markup.
"""

import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

# rich has to know some width.
PIPE_WIDTH = 100_000
MANY = 500  # rows; for more of them nobody waits until rich has laid them out

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


def print_file(text: str) -> None:
    """Print what is to become a file: in UTF-8, unless a terminal shows it."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(encoding=out.encoding if out.isatty() else "utf-8", errors="backslashreplace")
    out.write(text)
    out.flush()


def print_table(headings: Sequence[str], rows: Iterable[Row], *, numbers: Iterable[str] = ()) -> None:
    """Print the rows. Args: numbers: the headings of columns that are aligned to the right."""
    out = console()
    found, right = list(rows), set(numbers)
    if not out.is_terminal or len(found) > MANY:
        for line in _aligned([headings, *found], [heading in right for heading in headings]):
            out.file.write(f"{line}\n")
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    cells = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in found]
    for row in cells:
        table.add_row(*row)
    if Measurement.get(out, out.options.update(max_width=PIPE_WIDTH), table).maximum <= out.width:
        out.print(table)
        return
    for row in cells:
        print_fields(zip(headings, row, strict=True))
        out.print()


def _aligned(rows: Sequence[Row], numeric: Sequence[bool]) -> Iterator[str]:
    """Lines with columns that begin at one place each; rich needs a minute for 20,000 of them."""
    cells = [[str(cell) for cell in row] for row in rows]
    # A character may be two columns wide, or none.
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = []
        for cell, width, right in zip(row, widths, numeric, strict=True):
            blanks = " " * (width - cell_len(cell))
            padded.append(blanks + cell if right else cell + blanks)
        yield "  ".join(padded).rstrip()


def print_fields(fields: Iterable[tuple[str, Cell]]) -> None:
    """Print a line for each field; a value that is too long goes on below itself."""
    out = console()
    known = list(fields)
    if not out.is_terminal:
        for line in _aligned(known, [False, False]):
            out.file.write(f"{line}\n")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    width = max((len(name) for name, _ in known), default=0)
    table.add_column(no_wrap=True, min_width=min(width, out.width // 2), style="dim")
    table.add_column(overflow="fold")
    for name, value in known:
        table.add_row(Text(name), Text(value) if isinstance(value, str) else value)
    out.print(table)


def print_line(*parts: Cell) -> None:
    """Print one line. A narrow terminal breaks it by itself, so that a command can be copied from it."""
    out = console()
    line = Text()
    for part in parts:
        line.append(part if isinstance(part, Text) else Text(part))
    out.print(line, soft_wrap=True)
