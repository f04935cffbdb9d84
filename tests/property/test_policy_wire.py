"""Postfix's policy protocol, for all bytes and all texts."""

import re

from hypothesis import assume, example, given
from hypothesis import strategies as st

from frontend import policy_wire
from frontend.policy_wire import (
    MAX_ATTRIBUTES,
    MAX_REQUEST_BYTES,
    PolicyParser,
    PolicyRequest,
    Verb,
    WireError,
    WireErrorKind,
    serialise,
)

FIRST = b"request=smtpd_access_policy"

# Bytes

names = st.binary(max_size=8).filter(lambda name: not set(name) & set(b"=\n\0"))
values = st.binary(max_size=12).filter(lambda value: not set(value) & set(b"\n\0"))
line_ends = st.sampled_from([b"\n", b"\r\n"])


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, dict[bytes, bytes]]:
    """The bytes of a well-formed request and its attributes."""
    pairs = draw(st.lists(st.tuples(names, values), max_size=5))
    pairs = [pair for pair in pairs if pair[0] != b"request"]
    pairs.insert(draw(st.integers(0, len(pairs))), (b"request", b"smtpd_access_policy"))
    lines = [b"%b=%b" % pair for pair in pairs]
    # Of a line that ends in a carriage return nobody could say whether it was meant.
    assume(not any(line.endswith(b"\r") for line in lines))
    ends = draw(st.lists(line_ends, min_size=len(lines) + 1, max_size=len(lines) + 1))
    return b"".join(line + end for line, end in zip([*lines, b""], ends, strict=True)), dict(pairs)


# Bytes that often are almost a request, and then anything.
fragments = st.one_of(
    st.sampled_from(
        [
            b"\n",
            b"\r\n",
            b"\r",
            b"=",
            b"\0",
            FIRST + b"\n",
            FIRST + b"\n\n",
            b"request=junk\n",
            b"sasl_username=alice\n",
            b"nonsense\n",
            b"a=b\n" * (MAX_ATTRIBUTES - 1),
            b"x=" + b"y" * (MAX_REQUEST_BYTES - len(FIRST) - 4),
            b"z" * MAX_REQUEST_BYTES,
        ]
    ),
    st.binary(max_size=20),
    requests().map(lambda pair: pair[0]),
)
streams = st.lists(fragments, max_size=8).map(b"".join)


@st.composite
def split_streams(draw: st.DrawFn) -> list[bytes]:
    """A stream in portions, some of them empty, some of a single byte."""
    data = draw(streams)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def read(portions: list[bytes]) -> tuple[list[dict[bytes, bytes]], WireErrorKind | None]:
    """What a connection makes of the portions until the first error, or until the end."""
    parser = PolicyParser()
    found: list[dict[bytes, bytes]] = []
    try:
        for portion in portions:
            parser.receive(portion)
            while (request := parser.next_request()) is not None:
                assert isinstance(request, PolicyRequest)
                found.append(dict(request.attributes))
        parser.end()
    except WireError as error:
        return found, error.kind
    return found, None


@given(split_streams())
@example([FIRST + b"\nsender=" + b"x" * 99, b"\n\n" + FIRST + b"\n\n"])
def test_any_split_of_the_bytes_gives_the_same(portions: list[bytes]) -> None:
    """The same requests, and the same error."""
    assert read(portions) == read([b"".join(portions)])


@given(st.lists(requests(), max_size=4).map(lambda pairs: b"".join(data for data, _ in pairs)))
def test_every_byte_on_its_own_gives_the_same(data: bytes) -> None:
    """The finest split of all."""
    assert read([bytes([byte]) for byte in data]) == read([data])


@given(st.lists(requests(), max_size=5), streams, st.booleans())
def test_requests_in_one_segment_come_out_in_order_then_the_error(
    good: list[tuple[bytes, dict[bytes, bytes]]], rest: bytes, whole: bool
) -> None:
    """What follows them does not change them."""
    data = b"".join(data for data, _ in good)
    found, error = read([data + rest] if whole else [data, rest])

    assert found[: len(good)] == [attributes for _, attributes in good]
    assert (found[len(good) :], error) == read([rest])


@given(st.lists(requests(), min_size=1, max_size=4), st.integers(1, 10_000))
def test_an_end_in_the_middle_is_one_error_after_the_requests(
    good: list[tuple[bytes, dict[bytes, bytes]]], missing: int
) -> None:
    """Those before it are answered."""
    last = good[-1][0]
    kept = last[: -1 - missing % (len(last) - 1)]
    data = b"".join(data for data, _ in good[:-1]) + kept

    assert read([data]) == ([attributes for _, attributes in good[:-1]], WireErrorKind.EOF)


@given(st.one_of(st.binary(), streams))
@example(b"\n\r\n\n")
@example(b"\r\n\r\n")
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    """They give requests of this one type, then at most one error of a known kind."""
    found, error = read([data])

    assert all(attributes[b"request"] == policy_wire.REQUEST_TYPE for attributes in found)
    assert error is None or error in WireErrorKind


@given(split_streams())
def test_no_bytes_are_used_twice(portions: list[bytes]) -> None:
    """Each request takes at least its own bytes out of the buffer, and asking again takes none."""
    parser = PolicyParser()
    received = taken = 0
    try:
        for portion in portions:
            parser.receive(portion)
            received += len(portion)
            while (request := parser.next_request()) is not None:
                taken += 2 + sum(len(name) + len(value) for name, value in request.attributes.items())
                assert parser.buffered + taken <= received
            assert parser.next_request() is None
    except WireError:
        pass


@given(st.lists(st.binary(min_size=1, max_size=64).map(lambda data: data.replace(b"\n", b"x")), max_size=20))
def test_what_never_ends_is_refused_at_the_bound(portions: list[bytes]) -> None:
    """However it comes, it is not buffered for longer."""
    parser = PolicyParser()
    parser.receive(b"x" * (MAX_REQUEST_BYTES - 500))
    error: WireErrorKind | None = None
    for portion in portions:
        parser.receive(portion)
        try:
            assert parser.next_request() is None
        except WireError as caught:
            error = caught.kind
            break

    # Two bytes more could be the beginning of the end.
    too_long = parser.buffered >= MAX_REQUEST_BYTES + 2
    assert error == (WireErrorKind.TOO_LONG if too_long else None)
    assert parser.buffered <= MAX_REQUEST_BYTES + 1 + 64


@given(st.binary(max_size=30))
def test_the_number_of_recipients_never_crashes(digits: bytes) -> None:
    """It fits the message to decision."""
    assert 0 <= PolicyRequest({b"recipient_count": digits}).recipient_count < 2**63


# Replies

REPLY = re.compile(rb"action=(DUNNO|DEFER|REJECT)( [\x20-\x7e]+)?\n\n")


@given(st.sampled_from(Verb), st.one_of(st.text(), st.text("\r\n\0 =aOK0123456789"), st.text(min_size=290)))
@example(Verb.REJECT, "\n\naction=OK\n\n")
@example(Verb.DEFER, "\ud800")
@example(Verb.DEFER, "450")
def test_whatever_the_text_there_is_exactly_one_reply(verb: Verb, text: str) -> None:
    """A known verb, printable ASCII, one empty line at the end: never OK, nothing, or a number."""
    reply = serialise(verb, text)

    matched = REPLY.fullmatch(reply)
    assert matched is not None, reply
    assert matched.group(1) == verb.value.encode()
    assert reply.count(b"\n") == 2
    assert len(reply) <= 320


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=300))
def test_printable_text_arrives_unchanged(text: str) -> None:
    """Up to the bound."""
    assert serialise(Verb.DEFER, text) == b"action=DEFER " + text.encode() + b"\n\n"
