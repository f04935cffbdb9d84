"""Logins and client addresses of the newest mails in a mail log: whether a proxy hides who sends."""

import os
from collections.abc import Iterator
from pathlib import Path

from admin.replay.mail_log import MailLog
from decision.record_format import RecordedRequest

MAX_BYTES = 4 * 1024 * 1024
DEFAULT = Path("/var/log/mail.log")


def newest_mails(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Login and client address of each mail of a user in the last 4 MiB of a log. Raises OSError."""
    with path.open("rb") as file:
        size, written = file.seek(0, os.SEEK_END), os.fstat(file.fileno()).st_mtime
        file.seek(max(0, size - MAX_BYTES))
        log = MailLog("UTC")
        for line in file.read(MAX_BYTES).splitlines():
            try:
                yield from map(_pair, log.read(line, written))
            except ValueError:
                continue  # the first line may be half a one
        yield from map(_pair, log.rest())


def _pair(request: RecordedRequest) -> tuple[bytes, bytes]:
    return request.event.login, request.event.client_address
