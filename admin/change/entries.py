"""Overrides in a file: CSV with a header, or a JSON array of objects with the same names.

Columns: `account`, `what` (limit, country or lock), `value` (the limit; or codes, groups and names of
countries; nothing for a lock), and, if there are any, `until` and `reason`. `who` and `set`, which `export`
writes, are not read. A name is written as admin.talk.names has it, a time as `--until` takes it. In CSV no
cell is one that a spreadsheet takes for a formula.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from admin.look.words import COUNTRY, LIMIT, LOCK, override_object
from admin.talk.names import account_from, plain, reason_from
from admin.talk.times import read_end
from chassis.printable import as_base64, as_text
from decision.countries import expand_named
from decision.settings import MAX_THRESHOLD
from protos import quota_admin_pb2 as pb

NEEDED = ("account", "what", "value")
OPTIONAL = ("until", "reason")
WRITTEN = ("who", "set")
COLUMNS = (*NEEDED, *OPTIONAL, *WRITTEN)
KINDS = (LIMIT, COUNTRY, LOCK)
# How a formula begins, also in its wide form (CWE-1236; OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_QUOTE = "'"


class EntryError(Exception):
    """What is wrong in a file, with the number of its line or item."""


class Reading(NamedTuple):
    """What the words of a file mean now and here."""

    now_unix_ms: int
    zone: ZoneInfo


def read(text: str, reading: Reading) -> list[pb.Change]:
    """The changes that a file asks for, in its order. Raises EntryError."""
    if text.lstrip("\ufeff \t\r\n").startswith("["):
        return _read_rows(_json_rows(text), reading)
    return _read_rows(_csv_rows(text), reading)


def csv_rows(overrides: Iterable[pb.Override], zone: ZoneInfo) -> str:
    """Lines of a CSV file; countries are separated by blanks."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    for override in overrides:
        row = override_object(override, zone)
        value = row["value"]
        row["value"] = " ".join(value) if isinstance(value, list) else value
        # A name has a form that cannot be mistaken; a text for people stays readable. Where commas are
        # decimal, a semicolon begins the next cell.
        if any(cell.lstrip().startswith(_FORMULA) for cell in as_text(override.account).split(";")):
            row["account"] = as_base64(override.account)
        row["reason"], row["who"] = _as_cell(override.reason), _as_cell(override.who)
        writer.writerow(row)
    return out.getvalue()


def _as_cell(text: str) -> str:
    return _QUOTE + text if text.startswith((*_FORMULA, _QUOTE)) else text


def _of_cell(cell: str) -> str:
    """The inverse of `_as_cell`, which leaves other cells as they are."""
    return cell[1:] if cell.startswith(_QUOTE) and cell[1:].startswith((*_FORMULA, _QUOTE)) else cell


def csv_file(pages: Iterable[str]) -> str:
    """What `read` reads, of `csv_rows`."""
    return "".join([",".join(COLUMNS) + "\n", *pages])


def json_rows(overrides: Iterable[pb.Override], zone: ZoneInfo) -> str:
    """Items of a JSON array, one a line, in ASCII."""
    return ",\n".join(json.dumps(override_object(override, zone)) for override in overrides)


def json_file(pages: Iterable[str]) -> str:
    """What `read` reads, of `json_rows`."""
    found = [page for page in pages if page]
    return "[\n" + ",\n".join(found) + "\n]\n" if found else "[]\n"


def _read_rows(rows: Iterable[tuple[str, Mapping[str, Any]]], reading: Reading) -> list[pb.Change]:
    changes: list[pb.Change] = []
    seen: dict[tuple[bytes, str], str] = {}
    for where, row in rows:
        try:
            change, kind = _change(row, reading)
        except ValueError as error:
            raise EntryError(f"{where}: {plain(str(error))}") from error
        before = seen.setdefault((change.account, kind), where)
        if before != where:
            raise EntryError(f"{where}: the {kind} of {as_text(change.account)} stands in {before}, too")
        changes.append(change)
    return changes


def _change(row: Mapping[str, Any], reading: Reading) -> tuple[pb.Change, str]:
    account = account_from(_text(row, "account"))
    kind = _text(row, "what")
    if kind not in KINDS:
        raise ValueError(f"what is {kind!r}; allowed: {', '.join(KINDS)}")
    change = pb.Change(account=account, reason=reason_from(_text(row, "reason")))
    value = row.get("value")
    if kind == LIMIT:
        change.set_limit = _limit(value)
    elif kind == COUNTRY:
        change.permit.codes.extend(sorted(expand_named(_countries(value))))
    elif value not in (None, "", True):
        raise ValueError(f"a lock has no value, but {value!r}")
    else:
        change.lock = True
    until = _text(row, "until").strip()
    if until:
        try:
            change.until_unix_ms = read_end(until, now_unix_ms=reading.now_unix_ms, zone=reading.zone)
        except ValueError as error:
            raise ValueError(f"until {until} {error}") from error
    return change, kind


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, no text")
    return value


def _limit(value: object) -> int:
    text = value.strip() if isinstance(value, str) else str(value) if type(value) is int else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and 1 <= int(text) <= MAX_THRESHOLD):
        raise ValueError(f"{value!r} is no limit; allowed: a whole number, 1 to {MAX_THRESHOLD}")
    return int(text)


def _countries(value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no list of countries")
    # Codes may be separated by blanks: a comma means something else to CSV. A name may have blanks in it.
    return value.replace(" ", ",") if all(len(word) == 2 for word in value.split()) else value


def _csv_rows(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    first = text.lstrip("\ufeff").partition("\n")[0]
    # A spreadsheet in a country with decimal commas writes semicolons.
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(
        io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True
    )
    names: list[str] | None = None
    line = 1
    try:
        for values in reader:
            where, line = f"line {line}", reader.line_num + 1
            if not values:
                continue
            if names is None:
                names = [value.strip().lower() for value in values]
                _check_names(where, names)
            elif len(values) != len(names):
                raise EntryError(f"{where}: {len(values)} values, but {len(names)} columns")
            else:
                row = dict(zip(names, values, strict=True))
                yield where, row | {"reason": _of_cell(row.get("reason", ""))}
    except csv.Error as error:
        raise EntryError(f"line {line}: {error}") from error
    if names is None:
        raise EntryError(f"line 1: no header; it names the columns: {','.join((*NEEDED, *OPTIONAL))}")


def _check_names(where: str, names: list[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    missing = [name for name in NEEDED if name not in names]
    problem = (
        f"no column is named {unknown[0]!r}"
        if unknown
        else f"the column {missing[0]} is missing"
        if missing
        else "a column stands there twice"
        if len(set(names)) != len(names)
        else ""
    )
    if problem:
        raise EntryError(f"{where}: {plain(problem)}; the columns are {', '.join(COLUMNS)}")


def _json_rows(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        items = json.loads(
            text.removeprefix("\ufeff"), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise EntryError(f"line {error.lineno}: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise EntryError(f"the JSON cannot be read: {plain(str(error))}") from error
    if not isinstance(items, list):
        raise EntryError("the JSON is no array")
    for number, item in enumerate(items, 1):
        where = f"item {number}"
        if not isinstance(item, dict):
            raise EntryError(f"{where}: no object")
        _check_names(where, list(item))
        yield where, item


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
