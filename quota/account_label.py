"""How an account is named where its name is a label: personal data that others keep."""

import hashlib
import hmac
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache

from chassis.printable import MAX_NAME_CHARACTERS, as_text, cut

HASH_BYTES = 8
CACHED_ADDRESSES = 16384


class AccountLabel(StrEnum):
    """What stands in the place of an account."""

    PLAIN = "plain"
    HASH = "hash"  # keyed: without the key nobody can try logins
    OFF = "off"


def address_keeper(label: AccountLabel, key: bytes) -> Callable[[bytes], bytes]:
    """How the client's address of accepted mail is kept; empty: it is not, as without a key for hashes."""
    if label is AccountLabel.PLAIN:
        return lambda address: address
    name = namer(label, key)
    if name is None:
        return lambda address: b""
    # Most mail comes from addresses that mail came from just now.
    return lru_cache(CACHED_ADDRESSES)(lambda address: name(address).encode() if address else b"")


def namer(label: AccountLabel, key: bytes) -> Callable[[bytes], str] | None:
    """How accounts are named, plainly as by `mtpolicyctl`; None: not at all, as without a key for hashes."""
    if label is AccountLabel.PLAIN:
        return lambda account: cut(as_text(account), MAX_NAME_CHARACTERS)
    if label is AccountLabel.HASH and key:
        return lambda account: hmac.new(key, account, hashlib.sha256).digest()[:HASH_BYTES].hex()
    return None
