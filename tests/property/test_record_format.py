"""Recorded requests, for all bytes."""

import json
from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from decision.account import account_of
from decision.origins import Answer, Kind, Origin
from decision.record_format import MAX_UNIX_MS, RecordedRequest, read_request, write_request
from decision.verdict import MailEvent, Stage

# Valid UTF-8, bytes that are none, and what is nearly some: surrogates, overlong forms, halves.
texts = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=10).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(
        st.sampled_from(
            [b"\xed\xb2\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xf0\x9f\x98", b"\xf0\x9f\x98\x80", b"\xff"]
        )
    ).map(b"".join),
)
codes = st.text(st.characters(min_codepoint=65, max_codepoint=90), min_size=2, max_size=2)


@st.composite
def origins(draw: st.DrawFn) -> Origin:
    answers = draw(
        st.lists(st.builds(Answer, st.text(max_size=5), st.one_of(st.just(""), codes)), max_size=3)
    )
    kind = (
        Kind.COUNTRY
        if any(answer.country for answer in answers)
        else draw(st.sampled_from([kind for kind in Kind if kind is not Kind.COUNTRY]))
    )
    return Origin(kind, tuple(answers))


@st.composite
def requests(draw: st.DrawFn) -> RecordedRequest:
    login = draw(texts.filter(bool))
    event = MailEvent(
        stage=draw(st.sampled_from(Stage)),
        login=login,
        account=account_of(login),
        client_address=draw(texts),
        instance=draw(texts),
        recipient=draw(texts),
        recipient_count=draw(st.integers(0, 2**63 - 1)),
        sender=draw(texts),
        queue_id=b"",
        policy_context=b"",
    )
    return RecordedRequest(
        draw(st.integers(0, MAX_UNIX_MS)),
        event,
        draw(origins()),
        False,
        draw(st.sampled_from(["DUNNO", "DEFER", "REJECT", "none"])),
        draw(st.text(max_size=5)),
    )


@given(requests())
def test_every_request_survives(request: RecordedRequest) -> None:
    """As one line of ASCII."""
    line = write_request(request, b"")

    assert read_request(line) == request
    assert line.isascii()
    assert line.index(b"\n") == len(line) - 1


@given(requests(), st.binary(min_size=16, max_size=80))
def test_a_key_changes_three_fields_alone(request: RecordedRequest, key: bytes) -> None:
    """So that all else can be replayed; equal texts stay equal, and others differ."""
    found = read_request(write_request(request, key))
    event, before = found.event, request.event
    hidden = [
        (before.client_address, event.client_address),
        (before.recipient, event.recipient),
        (before.sender, event.sender),
    ]

    assert found.hashed
    assert found._replace(event=before, hashed=False) == request
    assert event._replace(client_address=b"", recipient=b"", sender=b"") == before._replace(
        client_address=b"", recipient=b"", sender=b""
    )
    assert all((len(after) == 32) == bool(value) for value, after in hidden)
    assert len({value for value, _ in hidden}) == len({after for _, after in hidden})


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.one_of(st.binary(max_size=200), values.map(lambda value: json.dumps(value).encode())))
@example(b"[" * 60_000)
@example(b"1" * 5000)
def test_no_bytes_raise_anything_but_a_value_error(line: bytes) -> None:
    """What is no request is said so."""
    with suppress(ValueError):
        read_request(line)


@given(
    requests(),
    st.dictionaries(
        st.sampled_from(
            ["time", "stage", "login", "kind", "countries", "hashed", "verb", "rule", "recipient_count"]
        ),
        values,
        min_size=1,
    ),
)
def test_no_field_raises_anything_but_a_value_error(
    request: RecordedRequest, change: dict[str, object]
) -> None:
    """Whatever JSON stands in it."""
    line = json.dumps(json.loads(write_request(request, b"")) | change).encode()
    with suppress(ValueError):
        assert 0 <= read_request(line).time_unix_ms <= MAX_UNIX_MS
