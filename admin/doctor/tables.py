"""What an access table can answer: its right-hand sides, and whether it answers for every key.

Tables that hold their entries in a file or in main.cf are read, by `postmap -s` where that is possible.
What a database, a directory or another server answers is not known, and neither is a file that may not be
read.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

from admin.doctor.lists import split_braced, strip_braces
from admin.doctor.postconf import PostfixMissing, program, run
from chassis.files import read_whole

MAX_FILE_BYTES = 16 * 1024 * 1024
_DUMPED = ("hash", "btree", "dbm", "lmdb", "sdbm", "inline")
_MATCHES_ALL = {"", ".", "^", "$", ".*", "^.*", "^.*$", ".+", "^.+", "^.+$", "^.", ".*$", "^(.*)$", "(.*)"}


class Entry(NamedTuple):
    """One line. `key` is as it is written: an address, a pattern."""

    key: str
    value: str


class Table(NamedTuple):
    """What can be known of one table.

    Attributes:
        entries: empty if it is not known.
        always: every key gets the last entry, if no one before it.
        unread: why nothing is known, empty if all is.
    """

    entries: tuple[Entry, ...] = ()
    always: bool = False
    unread: str = ""


class Tables:
    """Reads each table once."""

    def __init__(self) -> None:
        self._read: dict[str, Table] = {}

    def read(self, name: str) -> Table:
        """What can be known of `TYPE:NAME`. Never raises."""
        if name not in self._read:
            self._read[name] = read_table(name)
        return self._read[name]


def read_table(name: str) -> Table:
    """See Tables.read."""
    if name.startswith("{"):
        # The long form, with a search order: { TYPE:NAME, search_order = ... }
        name = next(iter(split_braced(strip_braces(name))), "")
    kind, _, rest = name.partition(":")
    try:
        match kind.lower():
            case "proxy":
                return read_table(rest)
            case "static":
                return Table((Entry("", strip_braces(rest)),), always=True)
            case "fail":
                return Table((Entry("", "451 table fail:"),), always=True)
            case "randmap":
                return Table(
                    tuple(Entry("", value) for value in split_braced(strip_braces(rest))), always=True
                )
            case "texthash":
                return Table(tuple(_text_entries(_text(rest))))
            case "pcre" | "regexp":
                return _patterns(_rules(rest))
            case "cidr":
                return _networks(_rules(rest))
            case "cdb":
                return Table(tuple(_constant_entries(_bytes(f"{rest}.cdb"))))
            case dumped if dumped in _DUMPED:
                return _dumped(name)
    except (OSError, PostfixMissing, struct.error) as error:
        return Table(unread=str(error))
    return Table(unread=f"{kind}: is no file")


def _dumped(name: str) -> Table:
    code, output, error = run([program("postmap"), "-s", name])
    if code != 0:
        return Table(unread=error)
    lines = output.decode("utf-8", "surrogateescape").splitlines()
    return Table(tuple(Entry(*line.split("\t", 1)) for line in lines if "\t" in line))


def _constant_entries(data: bytes) -> Iterator[Entry]:
    """Of a constant database, which postmap cannot list: behind a header of 256 pairs (position, slots) of
    hash tables stand the records, and behind them those tables (cdb(5))."""
    header = struct.unpack_from("<512I", data)
    at, end = 2048, min(header[::2])
    while at < end:
        lengths = struct.unpack_from("<II", data, at)
        key, value = struct.unpack_from("{}s{}s".format(*lengths), data, at + 8)
        # With postmap -N each has a NUL behind it.
        yield Entry(*(part.rstrip(b"\0").decode("utf-8", "surrogateescape") for part in (key, value)))
        at += 8 + sum(lengths)


def _text(path: str) -> str:
    return _bytes(path).decode("utf-8", "surrogateescape")


def _bytes(path: str) -> bytes:
    try:
        return read_whole(Path(path), MAX_FILE_BYTES)
    except ValueError as error:
        raise OSError(f"{path} {error}") from error


def logical_lines(text: str) -> Iterator[str]:
    """Lines without comments, with those that begin with blanks joined to the one before (postconf(5))."""
    line = ""
    for part in text.splitlines():
        if not part.strip() or part.lstrip().startswith("#"):
            continue
        if part[0].isspace():
            line = f"{line} {part.strip()}".strip()
            continue
        if line:
            yield line
        line = part.strip()
    if line:
        yield line


def _text_entries(text: str) -> Iterator[Entry]:
    for line in logical_lines(text):
        key, *value = line.split(maxsplit=1)
        yield Entry(key, value[0] if value else "")


def _rules(rest: str) -> list[str]:
    if rest.startswith("{"):
        return [strip_braces(rule) for rule in split_braced(strip_braces(rest))]
    return list(logical_lines(_text(rest)))


def _patterns(rules: Sequence[str]) -> Table:
    """pcre_table(5), regexp_table(5). Behind a pattern that matches everything nothing is looked at."""
    entries: list[Entry] = []
    depth = 0
    for rule in rules:
        word = rule.split(maxsplit=1)[0].lower()
        if word == "if" or word.startswith(("if/", "if!")):
            depth += 1
        elif word == "endif":
            depth -= 1
        elif found := re.fullmatch(r"(!?)(\W)(.*?)(?<!\\)\2([A-Za-z]*)\s+(.*)", rule, re.DOTALL):
            entries.append(Entry(found[1] + found[3], found[5].strip()))
            if depth == 0 and not found[1] and found[3] in _MATCHES_ALL:
                return Table(tuple(entries), always=True)
        else:
            return Table(unread=f"a line that is no rule: {rule[:60]}")
    return Table(tuple(entries))


def _networks(rules: Sequence[str]) -> Table:
    """cidr_table(5)."""
    entries: list[Entry] = []
    every: set[int] = set()
    depth = 0
    for rule in rules:
        key, *rest = rule.split(maxsplit=1)
        value = rest[0] if rest else ""
        if key.lower() == "if":
            depth += 1
            continue
        if key.lower() == "endif":
            depth -= 1
            continue
        entries.append(Entry(key, value))
        try:
            network = ip_network(key.strip("[]").replace("]/", "/"), strict=False)
        except ValueError:
            continue
        if depth == 0 and network.prefixlen == 0:
            every.add(network.version)
            if every == {4, 6}:
                return Table(tuple(entries), always=True)
    return Table(tuple(entries))
