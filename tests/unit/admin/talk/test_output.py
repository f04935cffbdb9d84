"""What a command prints, to terminals of every width and to pipes."""

import io
import json
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from admin.talk import output
from admin.talk.output import print_fields, print_file, print_json, print_line, print_table

CapSys = pytest.CaptureFixture[str]
HEADINGS = ("user", "rule", "used")
ROWS = [["alice@example.org", "quota", "7"], ["[red]bob[/red] :smile:", "country", "123"]]


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int, print_: Any) -> list[str]:
    """The lines on a terminal of this width, without colours."""
    out = io.StringIO()
    made = Console(
        file=out, force_terminal=True, width=width, markup=False, emoji=False, highlight=False, no_color=True
    )
    monkeypatch.setattr(output, "console", lambda: made)
    print_()
    return [
        line.rstrip() for line in out.getvalue().replace("\x1b[2m", "").replace("\x1b[0m", "").splitlines()
    ]


def test_in_a_pipe_a_row_is_a_line(capsys: CapSys) -> None:
    """However long, without colours, lines or blanks at its end; numbers stand on the right."""
    print_table(HEADINGS, [*ROWS, ["x" * 500, "quota", "1"]], numbers=["used"])
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) == 4
    assert [line.split() for line in lines[:2]] == [
        ["user", "rule", "used"],
        ["alice@example.org", "quota", "7"],
    ]
    assert lines[2].startswith("[red]bob[/red] :smile:  ")
    assert lines[3].startswith("x" * 500 + "  ")
    assert len({len(line) for line in lines}) == 1


def test_on_a_terminal_a_table_is_as_wide_as_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Markup of a login is no markup."""
    lines = on_a_terminal(monkeypatch, 80, lambda: print_table(HEADINGS, ROWS))

    assert any(line.strip().startswith("[red]bob[/red] :smile:") for line in lines)
    assert any("─" in line for line in lines)


@pytest.mark.parametrize("width", [10, 20, 30])
def test_a_narrow_terminal_gets_a_line_for_each_cell(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Nothing is cut off, and no line is too long."""
    lines = on_a_terminal(monkeypatch, width, lambda: print_table(HEADINGS, ROWS))
    text = "".join("".join(line.split()) for line in lines)

    assert all(len(line) <= width for line in lines)
    for cell in ("alice@example.org", "quota", "7", "country", "123", "[red]bob[/red]:smile:"):
        assert cell in text or width == 10


def test_fields_stand_below_each_other(capsys: CapSys) -> None:
    """Their values begin in one column."""
    print_fields([("id", "x"), ("country", Text("US", "red"))])

    assert capsys.readouterr().out == "id       x\ncountry  US\n"


def test_a_very_long_table_is_plain_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich would need a minute for 20,000 rows."""
    rows = [[f"user{number}", "x"] for number in range(output.MANY + 1)]
    lines = on_a_terminal(monkeypatch, 80, lambda: print_table(("user", "rule"), rows))

    assert len(lines) == len(rows) + 1
    assert lines[-1] == f"user{output.MANY}  x"


def test_columns_are_aligned_by_what_a_terminal_shows(capsys: CapSys) -> None:
    """A character of Chinese is two columns wide; a heading alone is a table, too, and no field is none."""
    print_table(("user", "used"), [["\u4e2d\u6587", "7"], ["abcdef", "10"]], numbers=["used"])
    print_table(("user", "used"), [])
    print_fields([])

    assert capsys.readouterr().out == ("user    used\n\u4e2d\u6587       7\nabcdef    10\nuser  used\n")


def test_a_line_is_printed_as_it_is(capsys: CapSys) -> None:
    """Of text and coloured text, without markup."""
    print_line(Text("not well: ", "red"), "[bold]x[/bold]")
    print_line()

    assert capsys.readouterr().out == "not well: [bold]x[/bold]\n\n"


def test_a_narrow_terminal_gets_no_line_break_within_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied from it is one line."""
    command = "mtpolicyctl limit set --until tonight alice@example.org 2000"
    assert on_a_terminal(monkeypatch, 20, lambda: print_line(command)) == [command]


def test_json_is_one_line_of_ascii(capsys: CapSys) -> None:
    """That holds no control sequence."""
    print_json({"name": "ü\x1b"})
    text = capsys.readouterr().out

    assert text.isascii()
    assert text.count("\n") == 1
    assert text.strip().isprintable()
    assert json.loads(text) == {"name": "ü\x1b"}


def test_a_terminal_of_another_encoding_gets_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no traceback."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    print_table(("user",), [["müller"]])
    print_line("müller")
    __import__("sys").stdout.flush()

    assert raw.getvalue() == b"user\nm\\xfcller\nm\\xfcller\n"


@pytest.mark.parametrize(("terminal", "written"), [(False, "ä中\n".encode()), (True, b"\\xe4\\u4e2d\n")])
def test_a_file_is_utf_8(monkeypatch: pytest.MonkeyPatch, terminal: bool, written: bytes) -> None:
    """Whatever a terminal would take, which gets escapes: bytes of UTF-8 may be control characters to it."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stdout", out)
    print_file("ä中\n")

    assert raw.getvalue() == written
