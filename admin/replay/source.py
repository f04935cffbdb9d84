"""Files of recorded requests and mail logs, plain or gzipped, as one stream of requests in order of time.

Nothing is held in memory but a line. What cannot be read is counted and passed over.
"""

import gzip
import io
import stat
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from admin.replay.mail_log import MailLog
from decision.record_format import MAX_LINE_BYTES, MAX_UNIX_MS, RecordedRequest, read_request

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, 2.3.1
EXAMPLES = 5
# So many lines are looked at to see what a file is, and of what time.
LOOKED_AT = 1000


class SourceError(Exception):
    """A file cannot be opened, or none holds a request; the message is one line for the admin."""


class _File(NamedTuple):
    path: Path
    recorded: bool
    first_unix_ms: int
    written_unix: float


class Source:
    """Reads the files, the oldest first, whatever the order in which they are named.

    Args:
        time_zone: of a mail log's times that name none.

    Attributes:
        malformed: how many lines could not be read.
        examples: what was wrong with the first of them, `FILE:LINE: reason`.
        without: the files that have been read and hold no request.

    Raises:
        SourceError: a file cannot be opened.
    """

    def __init__(self, paths: Sequence[Path], time_zone: str) -> None:
        self._log = MailLog(time_zone)
        self._files = sorted(map(self._look, paths), key=lambda file: file.first_unix_ms)
        self.malformed = 0
        self.examples: list[str] = []
        self.without: list[Path] = []

    @property
    def has_mail_log(self) -> bool:
        """Whether one of the files is no file of recorded requests."""
        return not all(file.recorded for file in self._files)

    def requests(self) -> Iterator[RecordedRequest]:
        """Every request that can be read, once. Raises SourceError if there is none."""
        for file in self._files:
            count, mails = 0, self._log.mails
            for request in self._requests_of(file):
                count += 1
                yield request
            if not count and self._log.mails == mails:
                self.without.append(file.path)
        yield from self._log.rest()
        if len(self.without) == len(self._files):
            raise SourceError(self._why_nothing())

    def _why_nothing(self) -> str:
        names = ", ".join(str(file.path) for file in self._files)
        reason = f"; {self.malformed} lines cannot be read: {self.examples[0]}" if self.examples else ""
        return f"no mail of a user in {names}{reason}"

    def _requests_of(self, file: _File) -> Iterator[RecordedRequest]:
        number = 0
        try:
            with _opened(file.path) as opened:
                for number, line in enumerate(_lines(opened), 1):
                    try:
                        if line is None:
                            raise ValueError(f"longer than {MAX_LINE_BYTES} bytes")
                        if not file.recorded:
                            yield from self._log.read(line, file.written_unix)
                        elif not line.isspace():
                            yield read_request(line)
                    except ValueError as error:
                        self._pass_over(f"{file.path}:{number}: {error}")
        except (OSError, EOFError, zlib.error) as error:
            self._pass_over(f"{file.path}: cannot be read behind line {number}: {error}")

    def _pass_over(self, reason: str) -> None:
        self.malformed += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(reason)

    def _look(self, path: Path) -> _File:
        try:
            found = path.stat()
            # A pipe could be read once only.
            if not stat.S_ISREG(found.st_mode):
                raise SourceError(f"{path} is no regular file")
            with _opened(path) as opened:
                lines = [line for line in islice(_lines(opened), LOOKED_AT) if line and not line.isspace()]
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(
                f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error
        recorded = bool(lines) and lines[0].startswith(b"{")
        times = (self._time_of(line, recorded, found.st_mtime) for line in lines)
        return _File(path, recorded, next(filter(None, times), MAX_UNIX_MS), found.st_mtime)

    def _time_of(self, line: bytes, recorded: bool, written_unix: float) -> int | None:
        if not recorded:
            return self._log.first_unix_ms(line, written_unix)
        try:
            return read_request(line).time_unix_ms
        except ValueError:
            return None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as plain:
        if plain.peek(2)[:2] != GZIP_MAGIC:
            yield plain
            return
        with gzip.GzipFile(fileobj=plain) as packed:
            yield cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, packed)))


def _lines(file: BinaryIO) -> Iterable[bytes | None]:
    """Each line; None for one that is too long."""
    while line := file.readline(MAX_LINE_BYTES + 1):
        if len(line) <= MAX_LINE_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE_BYTES)
        yield None
