"""Text that is safe to show, whatever bytes a client sent."""

MAX_VALUE_CHARACTERS = 256


def printable(value: object) -> str:
    """Show a value as at most 256 printable ASCII characters; everything else becomes an escape."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    if not (text.isascii() and text.isprintable()):
        text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 3] + "..."
