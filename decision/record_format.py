"""The form of a recorded request: a line of ASCII with one JSON object, at most 64 KiB.

| field | what it is |
|---|---|
| `version` | 1; it is raised when a reader of older lines would misread a newer one |
| `time` | when it was answered, Unix milliseconds |
| `stage` | `RCPT`, `DATA`, `END_OF_MESSAGE` or `OTHER` |
| `login`, `client_address`, `instance`, `recipient`, `sender` | as Postfix sent them |
| `recipient_count` | as Postfix sent it; 0: absent |
| `hashed` | true: `client_address`, `recipient` and `sender` are hashes, except empty ones |
| `kind` | what was known about the address, of `decision.origins.Kind` |
| `countries` | `[database, ISO 3166-1 code or ""]` of each database that was asked, in order |
| `verb` | the answer: `DUNNO`, `DEFER` or `REJECT`, or `none` where the failure action was taken |
| `rule` | the rule that refused, or `none` |

Texts are UTF-8; a byte that is none is shown as U+DC80 to U+DCFF (PEP 383), so that all bytes survive.
A hash is HMAC-SHA-256 (RFC 2104), its first 16 bytes in hexadecimal. It stands for the same text in all
lines that were made with one key, so that recipients and addresses can still be told apart.
"""

import hmac
import json
from typing import Any, NamedTuple

from decision.account import account_of
from decision.origins import Answer, Kind, Origin
from decision.verdict import MailEvent, Stage

VERSION = 1
MAX_LINE_BYTES = 64 * 1024
HASH_BYTES = 16
# Of all texts together: JSON shows a byte as six characters at most, which leaves room for the rest.
MAX_TEXT_BYTES = 8 * 1024
# 23:59:59 of the last but one day that Python's datetime can show in every time zone.
MAX_UNIX_MS = 253_402_214_399_000
_MAX_INT64 = 2**63 - 1
_TEXTS = ("login", "client_address", "instance", "recipient", "sender")
_encoder = json.JSONEncoder(separators=(",", ":"))


class RecordedRequest(NamedTuple):
    """One policy request of a user who has logged in, with its answer.

    `origin` is None, and `verb` empty, where they were not recorded (a mail log has neither). The event's
    queue id and policy context are not recorded, and empty.
    """

    time_unix_ms: int
    event: MailEvent
    origin: Origin | None = None
    hashed: bool = False
    verb: str = ""
    rule: str = ""


def text_bytes(event: MailEvent) -> int:
    """How much of the line depends on what Postfix sent; more than MAX_TEXT_BYTES is not recorded."""
    return (
        len(event.login)
        + len(event.client_address)
        + len(event.instance)
        + len(event.recipient)
        + len(event.sender)
    )


def write_request(request: RecordedRequest, key: bytes) -> bytes:
    """The line, with its end.

    Args:
        request: with an origin, not hashed, of at most MAX_TEXT_BYTES.
        key: for the hashes; empty: addresses are shown as they are.
    """
    event, origin = request.event, request.origin
    assert origin is not None
    seal = _hash if key else _show
    line = _encoder.encode(
        {
            "version": VERSION,
            "time": request.time_unix_ms,
            "stage": event.stage.name,
            "login": _show(event.login),
            "client_address": seal(event.client_address, key),
            "instance": _show(event.instance),
            "recipient": seal(event.recipient, key),
            "recipient_count": event.recipient_count,
            "sender": seal(event.sender, key),
            "hashed": bool(key),
            "kind": origin.kind,
            "countries": origin.answers,
            "verb": request.verb,
            "rule": request.rule,
        }
    )
    return line.encode("ascii") + b"\n"


def read_request(line: bytes) -> RecordedRequest:
    """The request of a line. Raises ValueError with the reason for any other bytes."""
    try:
        fields = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("no UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} (character {error.pos})") from error
    if not isinstance(fields, dict) or "version" not in fields:
        raise ValueError("no recorded request")
    if fields["version"] != VERSION:
        raise ValueError("of a version that is not known here")
    try:
        return _read(fields)
    except KeyError as error:
        raise ValueError(f"without {error.args[0]}") from error


def _read(fields: dict[str, Any]) -> RecordedRequest:
    login, client_address, instance, recipient, sender = (_bytes(fields, name) for name in _TEXTS)
    if not login:
        raise ValueError("login is empty")
    if (stage := Stage.__members__.get(_typed(fields, "stage", str))) is None:
        raise ValueError("stage is none of Postfix's")
    event = MailEvent(
        stage=stage,
        login=login,
        account=account_of(login),
        client_address=client_address,
        instance=instance,
        recipient=recipient,
        recipient_count=_number(fields, "recipient_count", _MAX_INT64),
        sender=sender,
        queue_id=b"",
        policy_context=b"",
    )
    return RecordedRequest(
        time_unix_ms=_number(fields, "time", MAX_UNIX_MS),
        event=event,
        origin=_origin(_typed(fields, "kind", str), _typed(fields, "countries", list)),
        hashed=_typed(fields, "hashed", bool),
        verb=_typed(fields, "verb", str),
        rule=_typed(fields, "rule", str),
    )


def _origin(kind: str, countries: list[Any]) -> Origin:
    answers = []
    for item in countries:
        if not (isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)):
            raise ValueError("countries holds something else than [database, code]")
        answers.append(Answer(*item))
    origin = Origin(Kind(kind), tuple(answers))
    if (origin.kind is Kind.COUNTRY) != bool(origin.country):
        raise ValueError("kind and countries contradict each other")
    return origin


def _show(value: bytes, _: bytes = b"") -> str:
    return value.decode("utf-8", "surrogateescape")


def _hash(value: bytes, key: bytes) -> str:
    # The null sender, and the recipient that there is not at DATA, are nobody's.
    return hmac.digest(key, value, "sha256")[:HASH_BYTES].hex() if value else ""


def _bytes(fields: dict[str, Any], name: str) -> bytes:
    text: str = _typed(fields, name, str)
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} holds a surrogate that stands for no byte") from error


def _number(fields: dict[str, Any], name: str, largest: int) -> int:
    value: int = _typed(fields, name, int)
    if not 0 <= value <= largest:
        raise ValueError(f"{name} is not between 0 and {largest}")
    return value


def _typed(fields: dict[str, Any], name: str, kind: type) -> Any:
    value = fields[name]
    if type(value) is not kind:  # true is an int too
        raise ValueError(f"{name} is no {kind.__name__}")
    return value
