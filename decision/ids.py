"""Decision ids: ten characters that an admin can read out on the telephone."""

from random import getrandbits

# Crockford's Base32: without I, L, O, U, which are mistaken for others.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]


def new_decision_id() -> str:
    """50 random bits: among a million kept ids a new one is taken with odds of one in 10^9. No secret."""
    bits = getrandbits(50)
    pairs = _PAIRS
    return (
        pairs[bits & 1023]
        + pairs[bits >> 10 & 1023]
        + pairs[bits >> 20 & 1023]
        + pairs[bits >> 30 & 1023]
        + pairs[bits >> 40]
    )
