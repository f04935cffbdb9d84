"""The form of a recorded request."""

import json
from typing import Any

import pytest

from decision.origins import Answer, Kind, Origin
from decision.record_format import (
    MAX_LINE_BYTES,
    MAX_TEXT_BYTES,
    RecordedRequest,
    read_request,
    text_bytes,
    write_request,
)
from decision.verdict import MailEvent, Stage
from tests.support.mails import mail

GERMAN_ORIGIN = Origin(Kind.COUNTRY, (Answer("GeoLite2-Country", "DE"), Answer("builtin", "")))
KEY = b"k" * 16


def recorded(event: MailEvent | None = None, origin: Origin = GERMAN_ORIGIN) -> RecordedRequest:
    """A request that passed."""
    # Neither is recorded.
    event = (event or mail())._replace(queue_id=b"", policy_context=b"")
    return RecordedRequest(1_790_000_000_123, event, origin, False, "DUNNO", "none")


def test_a_line_is_one_json_object() -> None:
    """As the module's table says."""
    line = write_request(recorded(), b"")

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "version": 1,
        "time": 1_790_000_000_123,
        "stage": "RCPT",
        "login": "Alice",
        "client_address": "84.128.0.1",
        "instance": "i1",
        "recipient": "bob@example.net",
        "recipient_count": 0,
        "sender": "alice@example.org",
        "hashed": False,
        "kind": "hit",
        "countries": [["GeoLite2-Country", "DE"], ["builtin", ""]],
        "verb": "DUNNO",
        "rule": "none",
    }


def test_a_line_is_read_as_it_was_written() -> None:
    """The account is made of the login."""
    assert read_request(write_request(recorded(), b"")) == recorded()


def test_a_key_hides_addresses_and_nothing_else() -> None:
    """The same text has the same hash, of 16 bytes; another key makes another one."""
    line = write_request(recorded(), KEY)
    request, again = read_request(line), read_request(write_request(recorded(), KEY))
    other = read_request(write_request(recorded(), b"x" * 16))

    assert request == again
    assert request.hashed
    for name in ("client_address", "recipient", "sender"):
        value: bytes = getattr(request.event, name)
        assert len(bytes.fromhex(value.decode())) == 16
        assert getattr(mail(), name) not in line
        assert value != getattr(other.event, name)
    assert request.event.login == b"Alice"
    assert request.origin == GERMAN_ORIGIN


def test_the_hash_is_hmac_sha_256() -> None:
    """Made by another program: printf bob@example.net | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkk."""
    request = read_request(write_request(recorded(), KEY))

    assert request.event.recipient == b"78abfec7ef19d60bf333ac8d3c10fc0a"


def test_what_is_empty_stays_empty() -> None:
    """The null sender, and the recipient that there is not at DATA."""
    event = mail(stage=Stage.DATA)._replace(sender=b"", recipient=b"")
    request = read_request(write_request(recorded(event), KEY))

    assert (request.event.sender, request.event.recipient) == (b"", b"")


def test_the_longest_texts_make_a_line_within_the_bound() -> None:
    """Each byte of them shown as six characters."""
    event = mail(login=b"")._replace(sender=b"")
    event = event._replace(login=b"\xff" * (MAX_TEXT_BYTES - text_bytes(event)))

    assert text_bytes(event) == MAX_TEXT_BYTES
    assert len(write_request(recorded(event), b"")) <= MAX_LINE_BYTES


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "version that is not known"),
        ({"version": None}, "version that is not known"),
        ({"time": "1"}, "time is no int"),
        ({"time": True}, "time is no int"),
        ({"time": -1}, "time is not between"),
        ({"time": 10**15}, "time is not between"),
        ({"time": 1.5}, "time is no int"),
        ({"stage": "rcpt"}, "stage is none of"),
        ({"stage": 1}, "stage is no str"),
        ({"login": ""}, "login is empty"),
        ({"login": None}, "login is no str"),
        ({"login": "\ud800"}, "login holds a surrogate"),
        ({"recipient_count": 2**63}, "recipient_count is not between"),
        ({"hashed": 0}, "hashed is no bool"),
        ({"kind": "moon"}, "'moon' is not a valid Kind"),
        ({"kind": "unknown"}, "contradict"),
        ({"countries": []}, "contradict"),
        ({"countries": [["a"]]}, "countries holds something else"),
        ({"countries": [["a", 1]]}, "countries holds something else"),
        ({"countries": {"a": "DE"}}, "countries is no list"),
        ({"rule": None}, "rule is no str"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], reason: str) -> None:
    """With a ValueError."""
    fields = json.loads(write_request(recorded(), b"")) | change

    with pytest.raises(ValueError, match=reason):
        read_request(json.dumps(fields).encode())


@pytest.mark.parametrize("name", ["time", "login", "kind", "verb", "hashed"])
def test_a_missing_field_is_named(name: str) -> None:
    """With a ValueError."""
    fields = json.loads(write_request(recorded(), b""))
    del fields[name]

    with pytest.raises(ValueError, match=f"without {name}"):
        read_request(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "no recorded request"),
        (b"{}", "no recorded request"),
        (b'"version"', "no recorded request"),
        (b"[" * 60_000, "nested too deeply"),
        (b"1" * 5000, "integer string conversion"),
        (b'{"a": "\xff"}', "no UTF-8"),
    ],
)
def test_what_is_no_request_is_refused(line: bytes, reason: str) -> None:
    """With a ValueError, never another."""
    with pytest.raises(ValueError, match=reason):
        read_request(line)
