"""Postfix's policy delegation protocol: bytes to requests, replies to bytes. No I/O.

A request is lines of `name=value`, ended by an empty line; a reply is `action=...` and an empty line
(https://www.postfix.org/SMTPD_POLICY_README.html#protocol). Any split of the bytes gives the same
requests. Bytes that are no request raise WireError, and nothing else; Postfix then gets no reply but a
closed connection, as the document asks, and tries once more.

Forgiven: CRLF, invalid UTF-8, unknown, missing and repeated attributes (the last one wins).
"""

from collections.abc import Mapping
from enum import StrEnum

MAX_REQUEST_BYTES = 64 * 1024  # with the newline of the last attribute, without the empty line
MAX_ATTRIBUTES = 200
MAX_TEXT_CHARACTERS = 300
MAX_INT64 = 2**63 - 1
REQUEST_TYPE = b"smtpd_access_policy"


class WireErrorKind(StrEnum):
    """What was wrong with the bytes."""

    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    NUL = "nul"
    BAD_LINE = "bad_line"  # a line without =
    NO_REQUEST = "no_request"  # no attribute `request`
    WRONG_REQUEST = "wrong_request"
    EOF = "eof"  # the client ended in the middle of a request


class WireError(Exception):
    """The bytes are no policy request."""

    def __init__(self, kind: WireErrorKind) -> None:
        super().__init__(kind.value)
        self.kind = kind


class PolicyRequest:
    """One request; an attribute that Postfix did not send is empty."""

    __slots__ = ("attributes",)

    def __init__(self, attributes: Mapping[bytes, bytes]) -> None:
        self.attributes = attributes

    def __getitem__(self, name: bytes) -> bytes:
        return self.attributes.get(name, b"")

    @property
    def login(self) -> bytes:
        """The account that was authenticated; empty: mail without a login."""
        return self.attributes.get(b"sasl_username", b"")

    @property
    def recipient_count(self) -> int:
        """0 if it is missing or not a number; a number beyond 64 bits is the largest one."""
        digits = self.attributes.get(b"recipient_count", b"")
        if not digits.isdigit():
            return 0
        digits = digits.lstrip(b"0")
        # int() refuses more than 4,300 digits.
        return min(int(digits or b"0"), MAX_INT64) if len(digits) < 20 else MAX_INT64


class PolicyParser:
    """Takes bytes in any portions and gives requests one at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # no empty line begins before this index

    @property
    def buffered(self) -> int:
        """Bytes that have not become a request yet."""
        return len(self._buffer)

    def receive(self, data: bytes | bytearray) -> None:
        """Add what has arrived."""
        self._buffer += data

    def next_request(self) -> PolicyRequest | None:
        """The next complete request, or None if more bytes are needed. Raises WireError."""
        buffer = self._buffer
        length, skip = self._find_end()
        if length < 0:
            # The last two bytes may be the beginning of the end: \n, or \n and \r.
            if len(buffer) > MAX_REQUEST_BYTES + 1:
                raise WireError(WireErrorKind.TOO_LONG)
            self._scanned = max(0, len(buffer) - 2)
            return None
        if length > MAX_REQUEST_BYTES:
            raise WireError(WireErrorKind.TOO_LONG)
        block = bytes(buffer[: length - 1])
        del buffer[: length + skip]
        self._scanned = 0
        return PolicyRequest(_attributes(block))

    def end(self) -> None:
        """The client will send no more. Raises WireError if that is in the middle of a request."""
        if self._buffer:
            raise WireError(WireErrorKind.EOF)

    def _find_end(self) -> tuple[int, int]:
        """(bytes of the lines, bytes of the empty line), or (-1, 0). Raises WireError if there is no line."""
        buffer = self._buffer
        if buffer.startswith((b"\n", b"\r\n")):
            raise WireError(WireErrorKind.NO_REQUEST)
        lf = buffer.find(b"\n\n", self._scanned)
        crlf = buffer.find(b"\n\r\n", self._scanned, lf + 1 if lf >= 0 else len(buffer))
        if crlf >= 0:
            return crlf + 1, 2
        return (lf + 1, 1) if lf >= 0 else (-1, 0)


def _attributes(block: bytes) -> dict[bytes, bytes]:
    if b"\0" in block:
        raise WireError(WireErrorKind.NUL)
    lines = block.split(b"\n")
    if len(lines) > MAX_ATTRIBUTES:
        raise WireError(WireErrorKind.TOO_MANY)
    if b"\r" in block:
        lines = [line.removesuffix(b"\r") for line in lines]
    try:
        attributes = dict([line.split(b"=", 1) for line in lines])
    except ValueError:
        raise WireError(WireErrorKind.BAD_LINE) from None
    request = attributes.get(b"request")
    if request is None:
        raise WireError(WireErrorKind.NO_REQUEST)
    if request != REQUEST_TYPE:
        raise WireError(WireErrorKind.WRONG_REQUEST)
    return attributes


class Verb(StrEnum):
    """The actions of access(5) that Postfix may hear from us.

    Never OK, nothing empty, nothing all digits: each of these would permit the mail, and before
    reject_unauth_destination that makes an open relay.
    """

    DUNNO = "DUNNO"
    DEFER = "DEFER"
    REJECT = "REJECT"


DUNNO = b"action=DUNNO\n\n"
_UNPRINTABLE = dict.fromkeys(range(32), "?") | {0x7F: "?"}


def serialise(verb: Verb, text: str = "") -> bytes:
    """One reply. What is not printable ASCII in the text becomes `?`; a long text is cut."""
    if not text:
        return b"action=%b\n\n" % verb.value.encode()
    printable = text[:MAX_TEXT_CHARACTERS].translate(_UNPRINTABLE).encode("ascii", "replace")
    return b"action=%b %b\n\n" % (verb.value.encode(), printable)
