"""Postfix's policy protocol: bytes to requests, replies to bytes."""

import pytest

from frontend.policy_wire import (
    DUNNO,
    MAX_ATTRIBUTES,
    MAX_REQUEST_BYTES,
    MAX_TEXT_CHARACTERS,
    PolicyParser,
    PolicyRequest,
    Verb,
    WireError,
    WireErrorKind,
    serialise,
)

FIRST = b"request=smtpd_access_policy\n"


def parse(data: bytes) -> PolicyParser:
    parser = PolicyParser()
    parser.receive(data)
    return parser


def only_request(data: bytes) -> dict[bytes, bytes]:
    """The attributes of the one request that the bytes are."""
    parser = parse(data)
    request = parser.next_request()
    assert request is not None
    assert parser.next_request() is None
    parser.end()
    return dict(request.attributes)


def kind_of(data: bytes) -> WireErrorKind:
    """What is wrong with the bytes."""
    parser = parse(data)
    with pytest.raises(WireError) as caught:
        parser.next_request()
    assert str(caught.value) == caught.value.kind
    return caught.value.kind


def of_size(size: int, end: bytes) -> bytes:
    """A request whose attribute lines have so many bytes."""
    padding = b"x=%b\n" % (b"y" * (size - len(FIRST) - 3))
    assert len(FIRST + padding) == size
    return FIRST + padding + end


# Requests


def test_a_request_is_lines_and_an_empty_line() -> None:
    """The value of an attribute is everything after its first `=`."""
    assert only_request(FIRST + b"sender=a=b@example.org\nrecipient=\n\n") == {
        b"request": b"smtpd_access_policy",
        b"sender": b"a=b@example.org",
        b"recipient": b"",
    }


def test_crlf_is_forgiven() -> None:
    """For all lines, for some, for the empty one only, and for all but the empty one."""
    expected = {b"request": b"smtpd_access_policy", b"sender": b"a"}

    for data in (
        b"request=smtpd_access_policy\r\nsender=a\r\n\r\n",
        b"request=smtpd_access_policy\r\nsender=a\n\n",
        b"request=smtpd_access_policy\nsender=a\n\r\n",
        b"request=smtpd_access_policy\r\nsender=a\r\n\n",
    ):
        assert only_request(data) == expected


def test_a_carriage_return_within_a_line_belongs_to_its_value() -> None:
    """It ends a line only before a newline."""
    assert only_request(FIRST + b"sender=a\rb\r\r\n\n")[b"sender"] == b"a\rb\r"


def test_of_a_repeated_attribute_the_last_one_wins() -> None:
    """Whatever stands between."""
    assert only_request(FIRST + b"sasl_username=a\nsender=s\nsasl_username=b\n\n")[b"sasl_username"] == b"b"


def test_invalid_utf8_is_kept_as_it_is() -> None:
    """It is the client's affair."""
    assert only_request(FIRST + b"sender=\xff\xfe\x80\n\n")[b"sender"] == b"\xff\xfe\x80"


def test_control_bytes_other_than_nul_are_kept() -> None:
    """They are no line ends."""
    assert only_request(FIRST + b"sender=\x01\x0b\x0c\x1b\x7f\n\n")[b"sender"] == b"\x01\x0b\x0c\x1b\x7f"


def test_unknown_attributes_are_kept_and_missing_ones_are_empty() -> None:
    """Postfix adds some with every version."""
    request = parse(FIRST + b"new_in_4_0=1\n\n").next_request()
    assert request is not None

    assert (request[b"new_in_4_0"], request[b"sender"], request.login) == (b"1", b"", b"")


def test_the_request_need_not_come_first() -> None:
    """Attributes have no order."""
    assert only_request(b"sender=a\n" + FIRST + b"\n")[b"sender"] == b"a"


def test_requests_come_out_one_at_a_time_and_in_order() -> None:
    """What follows stays buffered."""
    parser = parse(FIRST + b"instance=1\n\n" + FIRST + b"instance=2\n\n" + b"requ")
    requests = [parser.next_request() for _ in range(3)]

    assert [request and request[b"instance"] for request in requests] == [b"1", b"2", None]
    assert parser.buffered == 4


def test_a_short_request_after_a_long_one_in_pieces_is_found() -> None:
    """Where its end may be has nothing to do with the long one."""
    parser = parse(FIRST + b"sender=%b" % (b"x" * 1000))
    assert parser.next_request() is None
    parser.receive(b"\n\n" + FIRST + b"sender=a\n\n")
    requests = [parser.next_request() for _ in range(2)]

    assert [request and request[b"sender"] for request in requests] == [b"x" * 1000, b"a"]


def test_a_request_comes_out_with_its_last_byte() -> None:
    """Not before, and without waiting for more."""
    parser = PolicyParser()
    data = FIRST + b"sender=a\r\n\r\n"
    for position in range(len(data) - 1):
        parser.receive(data[position : position + 1])
        assert parser.next_request() is None
    parser.receive(data[-1:])

    assert parser.next_request() is not None
    assert parser.buffered == 0


def test_no_bytes_are_no_request() -> None:
    """And their end is no error."""
    parser = parse(b"")
    assert parser.next_request() is None
    parser.end()


@pytest.mark.parametrize(
    ("value", "login"), [(b"alice", b"alice"), (b" ", b" "), (b"\xff", b"\xff"), (b"", b"")]
)
def test_the_login_is_the_sasl_username(value: bytes, login: bytes) -> None:
    """Byte for byte."""
    assert PolicyRequest({b"sasl_username": value}).login == login


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (b"0", 0),
        (b"7", 7),
        (b"007", 7),
        (b"0" * 30 + b"7", 7),
        (b"1000000000000000000", 10**18),
        (b"999999999999999999", 999_999_999_999_999_999),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", 2**63 - 1),
        (b"9" * 5000, 2**63 - 1),
        (b"", 0),
        (b"-1", 0),
        (b"+1", 0),
        (b"1.5", 0),
        (b" 1", 0),
        (b"1_0", 0),
        (b"\xb2", 0),
        ("٣".encode(), 0),
        (b"many", 0),
    ],
)
def test_the_number_of_recipients_is_a_number_or_0(value: bytes, count: int) -> None:
    """However many digits it has."""
    assert PolicyRequest({b"recipient_count": value}).recipient_count == count


def test_without_a_number_of_recipients_it_is_0() -> None:
    """Postfix sends it from DATA on."""
    assert PolicyRequest({}).recipient_count == 0


# What is no request


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\n", WireErrorKind.NO_REQUEST),
        (b"\r\n", WireErrorKind.NO_REQUEST),
        (b"sender=a\n\n", WireErrorKind.NO_REQUEST),
        (b"Request=smtpd_access_policy\n\n", WireErrorKind.NO_REQUEST),
        (b" request=smtpd_access_policy\n\n", WireErrorKind.NO_REQUEST),
        (b"request=\n\n", WireErrorKind.WRONG_REQUEST),
        (b"request=junk\n\n", WireErrorKind.WRONG_REQUEST),
        (b"request=smtpd_access_policy2\n\n", WireErrorKind.WRONG_REQUEST),
        (b"request=SMTPD_ACCESS_POLICY\n\n", WireErrorKind.WRONG_REQUEST),
        (FIRST + b"request=junk\n\n", WireErrorKind.WRONG_REQUEST),
        (FIRST + b"nonsense\n\n", WireErrorKind.BAD_LINE),
        (b"nonsense\n\n", WireErrorKind.BAD_LINE),
        (FIRST + b"\rnonsense\n\n", WireErrorKind.BAD_LINE),
        (b"GET / HTTP/1.1\r\n\r\n", WireErrorKind.BAD_LINE),
        (FIRST + b"sender=a\0b\n\n", WireErrorKind.NUL),
        (FIRST + b"\0=b\n\n", WireErrorKind.NUL),
        (b"\0\n\n", WireErrorKind.NUL),
    ],
)
def test_what_is_no_request_has_a_kind(data: bytes, kind: WireErrorKind) -> None:
    """For the counter and the log line."""
    assert kind_of(data) is kind


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_request_has_at_most_64_kib(end: bytes) -> None:
    """Exactly so many pass; one byte more does not, whether or not its end has come."""
    assert len(only_request(of_size(MAX_REQUEST_BYTES, end))) == 2
    assert kind_of(of_size(MAX_REQUEST_BYTES + 1, end)) is WireErrorKind.TOO_LONG
    assert kind_of(b"x" * (2 * MAX_REQUEST_BYTES)) is WireErrorKind.TOO_LONG
    assert MAX_REQUEST_BYTES == 64 * 1024


def test_a_request_that_never_ends_is_noticed_within_two_bytes() -> None:
    """They could still be the beginning of the empty line."""
    parser = parse(b"x" * (MAX_REQUEST_BYTES + 1))
    assert parser.next_request() is None

    parser.receive(b"x")
    with pytest.raises(WireError, match="too_long"):
        parser.next_request()


def test_requests_together_may_be_longer_than_one() -> None:
    """The bound is for each."""
    parser = parse(of_size(40_000, b"\n") * 4)
    requests = [parser.next_request() for _ in range(5)]

    assert [request is not None for request in requests] == [True, True, True, True, False]


def test_a_request_has_at_most_200_attributes() -> None:
    """Repeated ones are counted too."""
    assert only_request(FIRST + b"a=b\n" * (MAX_ATTRIBUTES - 1) + b"\n")[b"a"] == b"b"
    assert kind_of(FIRST + b"a=b\n" * MAX_ATTRIBUTES + b"\n") is WireErrorKind.TOO_MANY
    assert MAX_ATTRIBUTES == 200


@pytest.mark.parametrize("data", [b"r", FIRST, FIRST + b"\r", b"\r", b"\0"])
def test_an_end_in_the_middle_is_an_error(data: bytes) -> None:
    """Of whatever the bytes would have become."""
    parser = parse(data)
    assert parser.next_request() is None
    with pytest.raises(WireError) as caught:
        parser.end()

    assert caught.value.kind is WireErrorKind.EOF


# Replies


@pytest.mark.parametrize(
    ("verb", "text", "reply"),
    [
        (Verb.DUNNO, "", b"action=DUNNO\n\n"),
        (Verb.DEFER, "", b"action=DEFER\n\n"),
        (Verb.DEFER, "4.7.1 Later (id 1)", b"action=DEFER 4.7.1 Later (id 1)\n\n"),
        (Verb.REJECT, "5.7.1 No", b"action=REJECT 5.7.1 No\n\n"),
        (Verb.REJECT, "a\nb", b"action=REJECT a?b\n\n"),
        (Verb.REJECT, "a\r\n\r\nb", b"action=REJECT a????b\n\n"),
        (Verb.REJECT, "\n\naction=OK\n\n", b"action=REJECT ??action=OK??\n\n"),
        (Verb.REJECT, "a\0b\tc\x1bd\x7fe", b"action=REJECT a?b?c?d?e\n\n"),
        (Verb.REJECT, "caf\xe9 \x85 \u2028 \U0001f4a9 \ud800", b"action=REJECT caf? ? ? ? ?\n\n"),
        (Verb.REJECT, " ~", b"action=REJECT  ~\n\n"),
    ],
)
def test_a_reply_is_one_line_and_an_empty_one(verb: Verb, text: str, reply: bytes) -> None:
    """What is not printable ASCII becomes a question mark."""
    assert serialise(verb, text) == reply


def test_a_long_text_is_cut() -> None:
    """An SMTP reply has a bounded length."""
    assert serialise(Verb.DEFER, "x" * 301) == b"action=DEFER " + b"x" * 300 + b"\n\n"
    assert MAX_TEXT_CHARACTERS == 300


def test_the_verbs_are_a_closed_set() -> None:
    """OK, nothing or a number would permit the mail, and might make an open relay."""
    assert [verb.value for verb in Verb] == ["DUNNO", "DEFER", "REJECT"]


def test_dunno_is_ready_made() -> None:
    """It is the reply to almost every request."""
    assert serialise(Verb.DUNNO) == DUNNO
