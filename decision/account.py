"""Which account a login belongs to."""

import unicodedata


def account_of(login: bytes) -> bytes:
    """The key of a login's counts: NFC, case-folded, whole; bytes that are no UTF-8 stay as they are.

    `Alice@Example.org` and `alice@example.org` are one account; `alice` and `alice@example.org` are two.
    """
    if login.isascii():
        return login.lower()
    try:
        text = login.decode()
    except UnicodeDecodeError:
        return login
    # Case folding can undo the normalisation (Unicode, section 3.13), hence twice.
    folded = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", folded).encode()
