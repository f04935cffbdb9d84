"""The token that a change needs: made at the first start, compared in constant time.

The right one always passes: whoever sends wrong ones must not keep the admin out. So nothing slows guesses
down, and a token that could be guessed is none (MIN_TOKEN_BYTES). What wrong ones cause is bounded.
"""

import hmac
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path

from chassis.config import read_file
from chassis.settings import SettingsError

TOKEN_METADATA = "mtpolicyd-token"  # noqa: S105  # of a request
TOKEN_FILE = "admin.token"  # noqa: S105  # in the state directory
TOKEN_BYTES = 32
MIN_TOKEN_BYTES = 16
# Wrong tries at once that are answered and logged one by one, and then one in so many seconds.
WRONG_TRIES = 10
SECONDS_A_TRY = 6.0
# Of wrong tries that are written to the audit log: more are summed up in the next entry.
AUDITED_TRIES = 10
SECONDS_AN_ENTRY = 600.0


class Try(Enum):
    """What became of one."""

    RIGHT = "right"
    WRONG = "wrong"
    TOO_MANY = "too many"
    NO_TOKEN = "no token"  # noqa: S105  # there is nothing to compare it with, or too little


class Bucket:
    """So many at once, and one more in so many seconds.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._left = float(size)
        self._at = clock()

    def take(self) -> bool:
        """Whether there was one."""
        now = self._clock()
        self._left = min(self._size, self._left + (now - self._at) / self._seconds)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class TokenGuard:
    """Knows the right token, which may change while quota runs. Args: path: where it stands now."""

    def __init__(self, path: Callable[[], Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._wrong = Bucket(WRONG_TRIES, SECONDS_A_TRY, clock)

    def check(self, token: bytes) -> Try:
        """Compare one; all but the right one use up what may be tried."""
        try:
            right = read_file(self._path()).text.strip().encode()
        except SettingsError:
            right = b""
        usable = len(right) >= MIN_TOKEN_BYTES
        if usable and hmac.compare_digest(token, right):
            return Try.RIGHT
        if not self._wrong.take():
            return Try.TOO_MANY
        return Try.WRONG if usable else Try.NO_TOKEN


def make_token(directory: Path) -> Path:
    """The file of the directory's token, made if it is missing; whole, or not at all. Raises OSError."""
    path = directory / TOKEN_FILE
    if path.exists():
        return path
    new = directory / f"{TOKEN_FILE}.new"
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(TOKEN_BYTES).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with suppress(FileExistsError):
        os.link(new, path)
    new.unlink()
    return path
