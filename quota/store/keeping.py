"""What of a person is kept, and for how long: an admin's wish, which may change while the store is open."""

from collections.abc import Callable

REFUSAL_DAYS = 7


class Keeping:
    """Set by the event loop and read by the writer, in its thread or the loop, each field by itself."""

    refusal_days: int = REFUSAL_DAYS  # single refusals
    # How the client's address of accepted mail is kept; b"" is none.
    address: Callable[[bytes], bytes] = staticmethod(lambda address: address)
