"""Log lines: one for each event, and safe whatever a client sent."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.logs import Level, Logger, open_log

FORMATS = ("keyvalue", "json")
CapSys = pytest.CaptureFixture[str]

either_format = pytest.mark.parametrize("log_format", FORMATS)


def make(log_format: str = "keyvalue", debug: int = 4) -> Logger:
    """To be called inside the test, after standard output is captured."""
    return open_log(service="frontend", debug=debug, log_format=log_format)


def parse(line: str) -> dict[str, str | None]:
    """A keyvalue line as a log collector reads it (https://brandur.org/logfmt). No key may come twice."""
    values: dict[str, str | None] = {}
    position = 0
    pattern = re.compile(r'([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^ "=]*))(?: |$)')
    while position < len(line):
        match = pattern.match(line, position)
        assert match is not None, line[position:]
        key, quoted, bare = match.groups()
        assert key not in values, line
        values[key] = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = match.end()
    return values


def read(line: str, log_format: str) -> dict[str, object]:
    """The values of a line without its time."""
    values: dict[str, object] = json.loads(line) if log_format == "json" else dict(parse(line))
    del values["time"]
    return values


def only_line(capsys: CapSys) -> str:
    """What was written, which must be exactly one line."""
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("\n")
    assert out.count("\n") == 1
    return out.removesuffix("\n")


# Form


def test_a_keyvalue_line_begins_with_time_level_service_event(capsys: CapSys) -> None:
    """What an admin looks for first stands first."""
    make().warning("decision", login="alice", used=3)
    line = only_line(capsys)

    assert re.fullmatch(
        r"time=\S+Z level=warning service=frontend event=decision login=alice used=3", line
    ), line


def test_a_json_line_is_one_object(capsys: CapSys) -> None:
    """Numbers stay numbers, nothing is null."""
    make("json").notice("ready", login="alice", used=3, share=0.5, nobody=None)

    assert read(only_line(capsys), "json") == {
        "level": "notice",
        "service": "frontend",
        "event": "ready",
        "login": "alice",
        "used": 3,
        "share": 0.5,
        "nobody": None,
    }


@either_format
def test_the_time_is_utc(capsys: CapSys, log_format: str) -> None:
    """In ISO 8601, so lines of several hosts sort."""
    make(log_format).error("event")
    line = only_line(capsys)
    time = json.loads(line)["time"] if log_format == "json" else parse(line)["time"]

    assert str(time).endswith("Z")
    assert abs(datetime.fromisoformat(str(time)) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_missing_value_is_empty_in_a_keyvalue_line(capsys: CapSys) -> None:
    """As is an empty one."""
    make().info("event", nobody=None, nothing="", nothing_either=b"")

    assert only_line(capsys).endswith(" event=event nobody= nothing= nothing_either=")


@either_format
def test_an_error_is_shown_by_its_text(capsys: CapSys, log_format: str) -> None:
    """Values that are neither text nor numbers are shown as their text."""
    make(log_format).error("cannot_start", reason=OSError(98, "Address already in use"))

    assert read(only_line(capsys), log_format)["reason"] == "[Errno 98] Address already in use"


# Levels


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize(
    ("debug", "expected"),
    [
        (0, ["error"]),
        (1, ["error", "warning"]),
        (2, ["error", "warning", "notice"]),
        (3, ["error", "warning", "notice", "info"]),
        (4, ["error", "warning", "notice", "info", "debug"]),
    ],
)
def test_each_level_adds_one_kind_of_lines(
    capsys: CapSys, log_format: str, debug: int, expected: list[str]
) -> None:
    """0 errors, 1 warnings, 2 notices, 3 information, 4 everything."""
    log = make(log_format, debug)
    for write in (log.debug, log.info, log.notice, log.warning, log.error):
        write("event")
    lines = capsys.readouterr().out.splitlines()

    assert [read(line, log_format)["level"] for line in reversed(lines)] == expected


@pytest.mark.parametrize("debug", list(Level))
def test_a_caller_on_a_hot_path_can_ask_first(capsys: CapSys, debug: Level) -> None:
    """The answer is the same as what is written."""
    log = make(debug=debug)
    enabled = [level for level in Level if log.enabled(level)]
    for level in Level:
        getattr(log, level.name.lower())("event")
    written = [Level[str(parse(line)["level"]).upper()] for line in capsys.readouterr().out.splitlines()]

    assert enabled == written


# Traces


def raise_deep(depth: int) -> None:
    if depth:
        raise_deep(depth - 1)
    else:
        raise LookupError("no such\nrule")


@either_format
@pytest.mark.parametrize("depth", [0, 20])
def test_an_exception_is_one_line_that_says_what_was_raised(
    capsys: CapSys, log_format: str, depth: int
) -> None:
    """Its type, its text and where it came from, however long the trace is."""
    log = make(log_format)
    try:
        raise_deep(depth)
    except LookupError:
        log.exception("internal_error", login="alice")
    values = read(only_line(capsys), log_format)

    assert (values["level"], values["event"], values["login"]) == ("error", "internal_error", "alice")
    assert values["exception"] == "LookupError: no such\\nrule"
    assert re.search(r"test_logs\.py:[0-9]+ raise_deep$", str(values["trace"]))


# Injected bytes


@either_format
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", "two words"),
        ("a=b", "a=b"),
        ('x" level=error event=forged', 'x" level=error event=forged'),
        ('"', '"'),
        ("end\\", "end\\"),
        ('\\" x', '\\" x'),
        ("a\nlevel=error", "a\\nlevel=error"),
        ("a\r\nb", "a\\r\\nb"),
        ("tab\tnul\0bell\a", "tab\\tnul\\x00bell\\x07"),
        ("\x1b[2J\x9b0m", "\\x1b[2J\\x9b0m"),
        ("del\x7f", "del\\x7f"),
        ("café", "caf\\xe9"),
        ("\u2028\u202e\ufeff", "\\u2028\\u202e\\ufeff"),
        ("\U0001f4a9", "\\U0001f4a9"),
        ("\ud800", "\\ud800"),
        (b"plain", "plain"),
        (b"caf\xc3\xa9", "caf\\xe9"),
        (b"\xff\n", "\\\\xff\\n"),
    ],
)
def test_odd_values_are_shown_and_harmless(
    capsys: CapSys, log_format: str, value: str | bytes, shown: str
) -> None:
    """As printable ASCII in their own key; what is not printable is escaped as in Python."""
    make(log_format).warning("event", login=value, after="intact")
    line = only_line(capsys)

    assert read(line, log_format) == {
        "level": "warning",
        "service": "frontend",
        "event": "event",
        "login": shown,
        "after": "intact",
    }


@pytest.mark.parametrize("log_format", FORMATS)
@given(value=st.one_of(st.text(), st.binary(), st.text('\\"\n\r= ax')))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_no_value_forges_anything(capsys: CapSys, log_format: str, value: str | bytes) -> None:
    """Whatever it holds, there is one line of printable ASCII with the keys that the caller gave."""
    make(log_format).warning("event", login=value, after="intact")
    line = only_line(capsys)

    assert line.isascii()
    assert line.isprintable()
    values = read(line, log_format)
    assert (sorted(values), values["after"], values["level"]) == (
        ["after", "event", "level", "login", "service"],
        "intact",
        "warning",
    )


def test_a_command_may_log_elsewhere(capsys: CapSys) -> None:
    """Standard output is then for its result alone."""
    log = open_log(service="replay", debug=0, log_format="keyvalue", stream=sys.stderr)
    log.error("country_data_refused")
    log.warning("quiet")

    written = capsys.readouterr()
    assert written.out == ""
    assert "event=country_data_refused" in written.err
    assert "quiet" not in written.err
