"""What can be known of an access table."""

import subprocess
from pathlib import Path

import pytest

from admin.doctor.tables import Entry, Table, Tables, logical_lines, read_table
from tests.doctor.corpus import require_tables
from tests.support.programs import require_program


def values(table: Table) -> list[str]:
    return [entry.value for entry in table.entries]


@pytest.mark.parametrize(
    ("name", "found", "always"),
    [
        ("static:OK", ["OK"], True),
        ("static:{a b}", ["a b"], True),
        ("proxy:static:x", ["x"], True),
        ("{ static:x, search_order = a }", ["x"], True),
        ("randmap:{a, b}", ["a", "b"], True),
        ("regexp:{{/^a/ OK}, {/./ b}, {/c/ dead}}", ["OK", "b"], True),
        ("pcre:{{!/./ OK}}", ["OK"], False),
        ("cidr:{{10.0.0.0/8 OK}, {0.0.0.0/0 a}, {::/0 b}}", ["OK", "a", "b"], True),
        ("cidr:{{0.0.0.0/0 a}}", ["a"], False),
    ],
)
def test_a_table_in_the_configuration_is_read(name: str, found: list[str], always: bool) -> None:
    """Its answers, and whether every key gets one."""
    table = read_table(name)

    assert (values(table), table.always, table.unread) == (found, always, "")


def test_a_pattern_in_an_if_does_not_match_everything(tmp_path: Path) -> None:
    """What stands behind it is looked at."""
    path = tmp_path / "t"
    path.write_text("# comment\nif /x/\n/./ OK\nendif\n/y/   REJECT\n   go away\n")
    table = read_table(f"regexp:{path}")

    assert table.entries == (Entry(".", "OK"), Entry("y", "REJECT go away"))
    assert not table.always


def test_compiled_tables_are_dumped(tmp_path: Path) -> None:
    """As Postfix has them, not as their text is now."""
    postmap = require_program("postmap", packages="postfix")
    path = tmp_path / "t"
    path.write_text("a OK\nb REJECT no\n")
    subprocess.run([postmap, f"hash:{path}"], check=True)
    path.write_text("c later\n")

    assert sorted(read_table(f"hash:{path}").entries) == [Entry("a", "OK"), Entry("b", "REJECT no")]


@pytest.mark.parametrize(
    "name",
    ["mysql:/x", "proxy:ldap:/x", "tcp:host:1", "hash:/not/there", "texthash:/not/there", "regexp:/etc"],
)
def test_what_cannot_be_read_is_said(name: str) -> None:
    """Nothing is guessed."""
    table = read_table(name)

    assert table.unread
    assert not table.entries


def test_a_line_that_is_no_rule_is_not_passed_over(tmp_path: Path) -> None:
    """The whole table is unknown then."""
    path = tmp_path / "t"
    path.write_text("nonsense\n")

    assert read_table(f"pcre:{path}").unread


def test_a_table_is_read_once(tmp_path: Path) -> None:
    """Whatever becomes of the file."""
    path = tmp_path / "t"
    path.write_text("a OK\n")
    tables = Tables()
    first = tables.read(f"texthash:{path}")
    path.unlink()

    assert tables.read(f"texthash:{path}") == first == Table((Entry("a", "OK"),))


def test_lines_are_joined() -> None:
    """A line that begins with blanks goes on with the one before."""
    assert list(logical_lines("a\n# no\n\n  b\nc\n")) == ["a b", "c"]


@pytest.mark.parametrize("options", [(), ("-N",)])
def test_a_constant_database_is_read_although_postmap_cannot_list_it(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Written by Postfix's own postmap, with or without a NUL behind each word."""
    postmap = require_program("postmap", packages="postfix")
    path = tmp_path / "t"
    path.write_text("a OK\nb REJECT no\n")
    require_tables("cdb")
    subprocess.run([postmap, *options, f"cdb:{path}"], check=True)

    assert read_table(f"cdb:{path}").entries == (Entry("a", "OK"), Entry("b", "REJECT no"))
    path.write_text("")
    subprocess.run([postmap, *options, f"cdb:{path}"], check=True)
    assert read_table(f"cdb:{path}") == Table()


def test_a_broken_constant_database_is_not_read(tmp_path: Path) -> None:
    """And no traceback."""
    (tmp_path / "t.cdb").write_bytes(b"\xff" * 2060)

    assert read_table(f"cdb:{tmp_path / 't'}").unread
