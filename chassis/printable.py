"""Text that is safe to show, whatever bytes a client sent."""

import base64

MAX_VALUE_CHARACTERS = 256
# A login of 320 bytes (RFC 5321, 4.5.3.1: 64, an @ and 255) whole: 80 escapes of ten.
MAX_NAME_CHARACTERS = 800
BASE64 = "base64:"


class Name(bytes):
    """A login: it is shown whole, in the form that `mtpolicyctl` shows and takes."""


def printable(value: object) -> str:
    """Show a value as at most 256 printable ASCII characters, a Name as 800; all else becomes an escape."""
    if isinstance(value, Name):
        text = as_text(value)
    else:
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    if not (text.isascii() and text.isprintable()):
        text = text.encode("unicode_escape").decode("ascii")
    return cut(text, MAX_NAME_CHARACTERS if isinstance(value, Name) else MAX_VALUE_CHARACTERS)


def cut(text: str, most: int) -> str:
    """The text, or its beginning and `...`: so many characters."""
    return text if len(text) <= most else text[: most - 3] + "..."


def as_text(name: bytes) -> str:
    """The one form of a name that admins see: the text if it is UTF-8 and printable, else Base64 (RFC 4648).

    `admin.talk.names.as_bytes` is its inverse.
    """
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    # isprintable: no control, format (bidirectional ones too) or separator character but the blank.
    if (not text and name) or not text.isprintable() or text.startswith(BASE64):
        return as_base64(name)
    return text


def as_base64(name: bytes) -> str:
    """The other form, which any name may have."""
    return BASE64 + base64.b64encode(name).decode()
