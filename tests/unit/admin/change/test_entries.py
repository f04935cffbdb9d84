"""Overrides in a file."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from admin.change.entries import EntryError, Reading, csv_file, csv_rows, json_file, json_rows, read
from admin.talk.names import account_from
from chassis.printable import as_base64, as_text
from protos import quota_admin_pb2 as pb
from quota.admin_messages import MAX_ACCOUNT_BYTES
from tests.support.admin_fakes import override

BERLIN = ZoneInfo("Europe/Berlin")
NOW = 1_800_000_000_000
READING = Reading(NOW, BERLIN)
HEADER = "account,what,value,until,reason\n"

names = st.binary(min_size=1, max_size=320) | st.text(min_size=1, max_size=80).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)
reasons = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=100).map(str.strip)
ends = st.just(0) | st.integers(NOW + 1, NOW + 10**11)


@st.composite
def overrides(draw: st.DrawFn) -> list[pb.Override]:
    """At most one of each kind for each account, as quota keeps them."""
    accounts = {account_from(as_text(name)) for name in draw(st.lists(names, max_size=5))}
    found = []
    for account in sorted(accounts):
        what: dict[str, Any] = draw(
            st.sampled_from([{"maximum": 5}, {"maximum": 10**9}, {"countries": ["FR", "XK"]}, {"lock": True}])
        )
        one = override(account, until_unix_ms=draw(ends), reason=draw(reasons), **what)
        found.append(one)
    return found


def write_csv(found: list[pb.Override]) -> str:
    return csv_file([csv_rows(found[:2], BERLIN), csv_rows(found[2:], BERLIN)])


def write_json(found: list[pb.Override]) -> str:
    return json_file([json_rows(found[:2], BERLIN), json_rows(found[2:], BERLIN)])


@given(overrides(), st.sampled_from([write_csv, write_json]))
@example([override(b"=1+1", maximum=1), override(b"-rf \"';,", lock=True)], write_csv)
@example([override(b"a", lock=True, reason="'=1"), override(b"b", lock=True, reason="''")], write_csv)
@example(
    [override(b"a", maximum=5, until_unix_ms=1_856_394_000_000)], write_csv
)  # in the hour that comes twice
def test_what_is_written_is_read_again(
    found: list[pb.Override], write: Callable[[list[pb.Override]], str]
) -> None:
    """Quotes, blanks, dashes, Unicode, bytes that are no UTF-8; to the millisecond."""
    changes = read(write(found), READING)

    assert len(changes) == len(found)
    for change, one in zip(changes, found, strict=True):
        assert change.account == one.account
        assert (change.until_unix_ms, change.reason) == (one.until_unix_ms, one.reason)
        assert (change.set_limit, change.lock) == (one.maximum, one.lock)
        assert list(change.permit.codes) == list(one.countries.codes)


@pytest.mark.parametrize("name", [b" =1+1", b"x;=1+1", b"x; @sum"])
def test_no_cell_of_another_country_is_a_formula(name: bytes) -> None:
    """Behind a blank, or where a spreadsheet begins cells at semicolons."""
    text = write_csv([override(name, lock=True)])

    assert f"\n{as_base64(name)},lock," in text


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_cell_is_a_formula(begins: str) -> None:
    """Whoever opens the file in a spreadsheet runs nothing that somebody has typed as a login."""
    formula = f"{begins}cmd|' /c calc'!a0"
    found = [override(formula.encode(), countries=["FR"], reason=formula)]
    found[0].who = formula
    text = write_csv(found)
    ((account, *_, reason, who, _),) = list(csv.reader(io.StringIO(text)))[1:]

    assert account == as_base64(formula.encode())
    assert (reason, who) == (f"'{formula}", f"'{formula}")
    assert read(text, READING) == [
        pb.Change(account=formula.encode(), reason=formula, permit=pb.Countries(codes=["FR"]))
    ]


def test_csv_as_a_person_writes_it() -> None:
    """A byte order mark, semicolons, CRLF, other columns first, names of countries, empty lines."""
    text = (
        "\ufeffwhat;account;value;until\r\n"
        "limit;Alice@Example.org; 500 ;tonight\r\n"
        "\r\n"
        'country;"bob;x";France, it;\r\n'
        "country;carla;FR IT;\r\n"
        "lock;dora;;+2h\r\n"
    )
    limit, named, codes, lock = read(text, READING)

    assert (limit.account, limit.set_limit) == (b"alice@example.org", 500)
    assert limit.until_unix_ms == 1_800_054_000_000
    assert (named.account, list(named.permit.codes)) == (b"bob;x", ["FR", "IT"])
    assert list(codes.permit.codes) == ["FR", "IT"]
    assert (lock.lock, lock.until_unix_ms) == (True, NOW + 7_200_000)


def test_json_as_a_program_writes_it() -> None:
    """Numbers, lists, null and true, in any order."""
    items = [
        {"account": "a", "what": "limit", "value": 5, "until": None, "reason": None},
        {"value": ["FR", "Italy"], "what": "country", "account": "a"},
        {"account": "a", "what": "lock", "value": True, "who": "x", "set": "y"},
    ]
    limit, country, lock = read(f"\n {json.dumps(items)}", READING)

    assert (limit.set_limit, list(country.permit.codes), lock.lock) == (5, ["FR", "IT"], True)
    assert read("[]", READING) == read(HEADER, READING) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: no header; it names the columns: account,what,value,until,reason"),
        (
            "a,b\n",
            "line 1: no column is named 'a'; the columns are account, what, value, until, reason, who, set",
        ),
        ("account,what\n", "line 1: the column value is missing"),
        ("account,what,value,value\n", "line 1: a column stands there twice"),
        (HEADER + "a,limit,5,,\nb,limit,5\n", "line 3: 3 values, but 5 columns"),
        (HEADER + "a,limit,-5,,\n", "line 2: '-5' is no limit; allowed: a whole number, 1 to 1000000000"),
        (HEADER + "a,limit,,,\n", "line 2: '' is no limit"),
        (HEADER + "a,limit,1000000001,,\n", "line 2: '1000000001' is no limit"),
        (HEADER + "a,country,XX,,\n", "line 2: XX is no country"),
        (HEADER + "a,country,,,\n", "line 2: no country is named"),
        (HEADER + "a,lock,yes,,\n", "line 2: a lock has no value, but 'yes'"),
        (HEADER + "a,quota,5,,\n", "line 2: what is 'quota'; allowed: limit, country, lock"),
        (HEADER + ",limit,5,,\n", "line 2: the name of the user is empty"),
        (
            HEADER + "a\x1b,limit,5,,\n",
            "line 2: control characters are in the name; if they are meant: base64:YRs=",
        ),
        (HEADER + "base64:?,limit,5,,\n", "line 2: no Base64 stands behind base64:"),
        (HEADER + f"{'x' * (MAX_ACCOUNT_BYTES + 1)},limit,5,,\n", "line 2: the name of a user has at most"),
        (HEADER + "a,limit,5,1999-12-31,\n", "line 2: until 1999-12-31 is in the past"),
        (HEADER + "a,limit,5,never,\n", "line 2: until never is no time; allowed: tonight"),
        (HEADER + "a,limit,5,,x\x07\n", "line 2: there are control characters in it"),
        (HEADER + 'a,limit,5,,"x\ny"\nb,limit,0,,\n', "line 2: there are control characters in it"),
        (HEADER + 'a,limit,5,,"x', "line 2: unexpected end of data"),
        (HEADER + 'a,limit,5,,"x"y\n', "line 2: "),
        (HEADER + "a,limit,5,,\nb,limit,5,,\nA,limit,6,,\n", "line 4: the limit of a stands in line 2, too"),
        ("[", "line 1: Expecting value (column 2)"),
        ('[\n{"account": "a",}]', "line 2: "),
        ("[1]", "item 1: no object"),
        ('[{"account": "a"}]', "item 1: the column what is missing"),
        (
            '[{"account": "a", "what": "limit", "value": 5, "x\\u001b": 1}]',
            "item 1: no column is named 'x\\x1b'",
        ),
        ('[{"account": "a", "account": "b"}]', "the JSON cannot be read: a name stands twice in one object"),
        ('[{"account": 5, "what": "limit", "value": 5}]', "item 1: account is 5, no text"),
        ('[{"account": "a", "what": "limit", "value": 5.0}]', "item 1: 5.0 is no limit"),
        ('[{"account": "a", "what": "limit", "value": true}]', "item 1: True is no limit"),
        ('[{"account": "a", "what": "limit", "value": NaN}]', "the JSON cannot be read: NaN is no JSON"),
        ('[{"account": "a", "what": "country", "value": 5}]', "item 1: 5 is no list of countries"),
        (
            '[{"account": "\\ud800", "what": "lock", "value": null}]',
            "item 1: half a surrogate pair is no text",
        ),
        ("[" * 100_000, "the JSON cannot be read: "),
    ],
)
def test_a_broken_file_is_refused_with_its_line(text: str, problem: str) -> None:
    """One printable line, and nothing is taken of the rest."""
    with pytest.raises(EntryError) as caught:
        read(text, READING)

    assert str(caught.value).startswith(problem)
    assert str(caught.value).isprintable()


def read_or_refuse(text: str) -> list[pb.Change] | str:
    """The changes, or what the error says; any other exception is a bug."""
    try:
        return read(text, READING)
    except EntryError as error:
        return str(error)


@given(st.text(max_size=200) | st.text(max_size=100).map(lambda text: HEADER + text))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else happens; what is said is one printable line."""
    found = read_or_refuse(text)
    assert found.isprintable() if isinstance(found, str) else all(change.account for change in found)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "account": json_values,
                "what": st.sampled_from(["limit", "country", "lock"]),
                "value": json_values,
            },
            optional={"until": json_values, "reason": json_values},
        ),
        max_size=3,
    )
)
def test_any_json_is_read_or_refused(items: list[object]) -> None:
    """Of whatever types."""
    found = read_or_refuse(json.dumps(items))
    assert found.isprintable() if isinstance(found, str) else len(found) == len(items)
