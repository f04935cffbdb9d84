"""Logins, addresses and other names that a client chose: any bytes, to be shown, typed and written to files.

One form for all of it (chassis.printable.as_text), and here the way back. So what a command or a dashboard
shows can be pasted into the next command, and nothing that a client sent reaches a terminal as a control
sequence.
"""

import base64
import binascii

from chassis.printable import BASE64, as_text
from decision.account import account_of
from quota.admin_messages import MAX_ACCOUNT_BYTES, MAX_REASON


def as_bytes(text: str) -> bytes:
    """The bytes of `as_text`, or of text that is not printable; surrogates are bytes of the command line.

    Raises:
        ValueError: after `base64:` stands no Base64; or it is no text at all (half a surrogate pair in JSON).
    """
    if not text.startswith(BASE64):
        try:
            return text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ValueError("half a surrogate pair is no text") from error
    try:
        return base64.b64decode(text.removeprefix(BASE64), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"no Base64 stands behind {BASE64}") from error


def account_from(text: str) -> bytes:
    """The account that an admin has named, as decision knows it.

    Control characters are refused where they stand for themselves, by mistake or by a broken file; what was
    seen to have sent mail can be named all the same, behind `base64:`.

    Raises:
        ValueError: it is empty, far too long, or has control characters in it.
    """
    name = as_bytes(text)
    if not name:
        raise ValueError("the name of the user is empty")
    if len(name) > MAX_ACCOUNT_BYTES:
        raise ValueError(f"the name of a user has at most {MAX_ACCOUNT_BYTES} bytes, this one {len(name)}")
    if has_controls(name) and not text.startswith(BASE64):
        raise ValueError(f"control characters are in the name; if they are meant: {as_text(name)}")
    return account_of(name)


def reason_from(text: str) -> str:
    """Why an admin does something. Raises ValueError: far too long, no text, or with control characters."""
    try:
        if has_controls(text.encode()):
            raise ValueError("there are control characters in it")
    except UnicodeEncodeError as error:
        raise ValueError("it is no UTF-8") from error
    if len(text) > MAX_REASON:
        raise ValueError(f"it has at most {MAX_REASON} characters, this one {len(text)}")
    return text.strip()


def has_controls(name: bytes) -> bool:
    """Whether C0 or C1 control characters, or DEL, are in it; bytes that are no UTF-8 are none."""
    text = name.decode("utf-8", "replace")
    return any(character < " " or "\x7f" <= character <= "\x9f" for character in text)


def plain(text: str) -> str:
    """Text of a service, for one line of a terminal: what is not printable becomes an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
