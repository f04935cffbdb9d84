"""Takes the file of country data out of what was downloaded: `.mmdb.gz`, or `.tar.gz` as MaxMind packs it.

The archive is a stranger's: it is read as a stream, nothing is ever written to a path that it names, and
neither memory nor disk nor time grows with what it claims to hold.
"""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

# The country files have about 10 MB. Larger than that by far, and still no danger to a disk.
MAX_BYTES = 512 * 1024 * 1024
# In MaxMind's archive two short texts stand before the file.
MAX_BYTES_BEFORE_FILE = 4 * 1024 * 1024
_CHUNK = 1024 * 1024
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)  # a sparse file can be huge in a few bytes


class ArchiveError(Exception):
    """It is damaged, holds something else, or is larger than anybody can have meant."""


class _Bounded:
    """A stream of which only so many bytes can be read, however well it was compressed."""

    def __init__(self, stream: BinaryIO, left: int) -> None:
        self._stream = stream
        self.left = left

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise ArchiveError("an archive that holds far more than country data")
        return data


def unpack_gzip(archive: BinaryIO, into: BinaryIO, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack a gzip file. Raises ArchiveError; OSError if the file cannot be written."""
    with _unpacked(archive, max_bytes) as stream:
        _copy(stream, into)


def unpack_tar(archive: BinaryIO, into: BinaryIO, *, max_bytes: int = MAX_BYTES) -> None:
    """Unpack the one regular file of a .tar.gz whose name ends in .mmdb.

    Raises:
        ArchiveError: also if there is none, or more than one.
        OSError: the file cannot be written.
    """
    with _unpacked(archive, min(MAX_BYTES_BEFORE_FILE, max_bytes)) as stream:
        found = False
        with tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|") as tar:
            for member in tar:
                if member.type not in _REGULAR or member.issparse() or not member.name.endswith(".mmdb"):
                    continue
                if found:
                    raise ArchiveError("an archive with more than one .mmdb file")
                found = True
                if member.size > max_bytes:
                    raise ArchiveError(f"an archive whose .mmdb file has {member.size} bytes")
                stream.left += member.size
                content = tar.extractfile(member)
                assert content is not None, "a regular file"
                _copy(content, into)
        # tarfile stops at its own end mark: gzip's checksum stands behind it.
        while stream.read(_CHUNK):
            pass
        if not found:
            raise ArchiveError("an archive without an .mmdb file")


@contextmanager
def _unpacked(archive: BinaryIO, max_bytes: int) -> Iterator[_Bounded]:
    archive.seek(0)
    start = archive.read(80)
    archive.seek(0)
    if not start.startswith(b"\x1f\x8b"):  # RFC 1952, 2.3.1
        raise ArchiveError(f"no gzip file, it begins with {start[:40]!r}")
    try:
        with gzip.GzipFile(fileobj=archive) as stream:
            yield _Bounded(cast(BinaryIO, stream), max_bytes)
    except (EOFError, tarfile.ReadError) as error:
        raise ArchiveError(f"cut short or damaged ({error})") from error
    except (gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise ArchiveError(f"damaged ({error})") from error


def _copy(source: object, into: BinaryIO) -> None:
    shutil.copyfileobj(cast(BinaryIO, source), into, _CHUNK)
    into.flush()
