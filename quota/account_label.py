"""How an account is named where its name is a label: personal data that others keep."""

import hashlib
import hmac
from collections.abc import Callable
from enum import StrEnum

from chassis.logs import printable

HASH_BYTES = 8


class AccountLabel(StrEnum):
    """What stands in the place of an account."""

    PLAIN = "plain"
    HASH = "hash"  # keyed: without the key nobody can try logins
    OFF = "off"


def namer(label: AccountLabel, key: bytes) -> Callable[[bytes], str] | None:
    """How accounts are named; None: not at all, as without a key for hashes."""
    if label is AccountLabel.PLAIN:
        return printable
    if label is AccountLabel.HASH and key:
        return lambda account: hmac.new(key, account, hashlib.sha256).digest()[:HASH_BYTES].hex()
    return None
