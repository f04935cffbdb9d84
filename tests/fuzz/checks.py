"""What has to hold for any bytes; `run.py` looks for bytes for which it does not."""

from frontend import policy_wire
from frontend.policy_wire import (
    MAX_INT64,
    MAX_TEXT_CHARACTERS,
    PolicyParser,
    PolicyRequest,
    Verb,
    WireError,
    WireErrorKind,
    serialise,
)

Found = tuple[list[PolicyRequest], WireErrorKind | None]


def check_policy_wire(data: bytes) -> None:
    """Postfix's protocol: data are what a client sends.

    Raises:
        AssertionError, or anything else: the parser or the replies are wrong.
    """
    whole = _read([data])
    # The first byte chooses the portions, so that they are part of what is looked for.
    size = max(data[0] % 16 + 1, len(data) // 64) if data else 1
    portions = _read([data[at : at + size] for at in range(0, len(data), size)])
    assert _plain(portions) == _plain(whole), "another split of the bytes gives something else"
    for request in whole[0]:
        _check_request(request)


def _read(portions: list[bytes]) -> Found:
    """The requests up to the first error, or to the end."""
    parser = PolicyParser()
    requests = []
    try:
        for portion in portions:
            parser.receive(portion)
            while (request := parser.next_request()) is not None:
                requests.append(request)
            assert parser.buffered <= policy_wire.MAX_REQUEST_BYTES + 1, (
                "more is kept than a request may have"
            )
        parser.end()
    except WireError as error:
        return requests, error.kind
    return requests, None


def _plain(found: Found) -> tuple[list[dict[bytes, bytes]], WireErrorKind | None]:
    return [dict(request.attributes) for request in found[0]], found[1]


def _check_request(request: PolicyRequest) -> None:
    assert request[b"request"] == b"smtpd_access_policy"
    assert 0 <= request.recipient_count <= MAX_INT64
    assert len(request.attributes) <= policy_wire.MAX_ATTRIBUTES
    for name, value in request.attributes.items():
        assert b"=" not in name
        assert not set(name + value) & set(b"\n\0")
        _check_reply(value.decode("latin-1"))
    # What was understood is understood in the same way when it is sent again.
    lines = [b"%b=%b\n" % pair for pair in request.attributes.items()]
    if not any(line.endswith(b"\r\n") for line in lines):
        again = _plain(_read([b"".join([*lines, b"\n"])]))
        assert again == ([dict(request.attributes)], None)


def _check_reply(text: str) -> None:
    """A text of a client, in a reply: it is one reply all the same, and permits nothing."""
    reply = serialise(Verb.REJECT, text)
    assert reply.endswith(b"\n\n")
    assert reply.count(b"\n") == 2
    assert reply.startswith(b"action=REJECT")
    assert reply.rstrip(b"\n").decode("ascii").isprintable()
    assert len(reply) <= MAX_TEXT_CHARACTERS + 20
