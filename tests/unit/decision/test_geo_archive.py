"""The file of country data in an archive."""

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from decision import geo_archive
from decision.geo_archive import ArchiveError, unpack_gzip, unpack_tar
from tests.support.publishers import maxmind_archive, tar_gz

CONTENT = bytes(range(256)) * 40
MIB = 1024 * 1024


def unpacked(unpack: Callable[..., None], archive: bytes, **how: int) -> bytes:
    into = io.BytesIO()
    unpack(io.BytesIO(archive), into, **how)
    return into.getvalue()


def refused(unpack: Callable[..., None], archive: bytes, **how: int) -> str:
    with pytest.raises(ArchiveError) as caught:
        unpacked(unpack, archive, **how)
    return str(caught.value)


def member(kind: bytes, name: str = "GeoLite2-Country.mmdb", **attributes: object) -> bytes:
    """An archive with one member of some type."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(info)
    return packed.getvalue()


def test_a_gzip_file_is_unpacked() -> None:
    """From its beginning, wherever the reading stands after the download."""
    archive = io.BytesIO(gzip.compress(CONTENT))
    archive.seek(7)
    into = io.BytesIO()
    unpack_gzip(archive, into)

    assert into.getvalue() == CONTENT


def test_the_one_mmdb_file_of_a_tar_archive_is_unpacked() -> None:
    """Among the texts that lie beside it."""
    assert unpacked(unpack_tar, maxmind_archive(CONTENT)) == CONTENT


@pytest.mark.parametrize("unpack", [unpack_gzip, unpack_tar])
@pytest.mark.parametrize("body", [b"", b"\x1f", b"<!DOCTYPE html><html>", CONTENT])
def test_what_is_no_gzip_file_is_shown(unpack: Callable[..., None], body: bytes) -> None:
    """A page with an error says itself what is wrong."""
    assert refused(unpack, body) == f"no gzip file, it begins with {body[:40]!r}"


@pytest.mark.parametrize(
    ("unpack", "archive"),
    [(unpack_gzip, gzip.compress(CONTENT)), (unpack_tar, maxmind_archive(CONTENT))],
    ids=["gzip", "tar"],
)
def test_a_truncated_archive_is_refused_wherever_it_ends(unpack: Callable[..., None], archive: bytes) -> None:
    """Also within the last bytes, which are the checksum and the length."""
    for end in (2, 9, 10, 11, len(archive) // 2, len(archive) - 9, len(archive) - 8, len(archive) - 1):
        refused(unpack, archive[:end])


@pytest.mark.parametrize(
    ("unpack", "archive"),
    [(unpack_gzip, gzip.compress(CONTENT)), (unpack_tar, maxmind_archive(CONTENT))],
    ids=["gzip", "tar"],
)
def test_a_damaged_archive_is_refused(unpack: Callable[..., None], archive: bytes) -> None:
    """By the checksum at the latest."""
    for place in (3, 12, len(archive) // 2, len(archive) - 6):
        damaged = bytearray(archive)
        damaged[place] ^= 0xFF
        into = io.BytesIO()
        try:
            unpack(io.BytesIO(bytes(damaged)), into)
        except ArchiveError:
            continue
        assert into.getvalue() == CONTENT, "damage that does not matter, such as in the name"


def test_gzip_without_tar_is_no_tar_archive() -> None:
    """The publisher has changed its form."""
    refused(unpack_tar, gzip.compress(CONTENT))
    refused(unpack_tar, gzip.compress(b""))


@pytest.mark.parametrize(
    "archive",
    [
        tar_gz(("COPYRIGHT.txt", b"(c)")),
        member(tarfile.SYMTYPE, linkname="/etc/passwd"),
        member(tarfile.LNKTYPE, linkname="/etc/passwd"),
        member(tarfile.DIRTYPE),
        member(tarfile.FIFOTYPE),
        member(tarfile.CHRTYPE, devmajor=1, devminor=5),
        member(tarfile.GNUTYPE_SPARSE),
    ],
    ids=["text", "symlink", "hard link", "directory", "FIFO", "device", "sparse"],
)
def test_only_a_regular_file_is_taken(archive: bytes) -> None:
    """Whatever else is called .mmdb."""
    assert refused(unpack_tar, archive).endswith(("without an .mmdb file", "(unexpected end of data)"))


def test_two_mmdb_files_are_one_too_many() -> None:
    """Nobody knows which is meant."""
    archive = tar_gz(("a.mmdb", CONTENT), ("b.mmdb", CONTENT))

    assert refused(unpack_tar, archive) == "an archive with more than one .mmdb file"


def test_names_in_the_archive_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written but the file that is handed in."""
    monkeypatch.chdir(tmp_path)
    archive = tar_gz(("../../../evil.mmdb", CONTENT), ("/evil.txt", b"evil"))

    assert unpacked(unpack_tar, archive) == CONTENT
    assert list(tmp_path.iterdir()) == []


def test_a_bomb_is_refused_before_it_is_large() -> None:
    """16 MiB of zeros in 16 kB; with a bound of 1 MiB no more than that is written."""
    for unpack, archive in (
        (unpack_gzip, gzip.compress(bytes(16 * MIB))),
        (unpack_tar, tar_gz(("a.mmdb", bytes(16 * MIB)))),
        (unpack_tar, tar_gz(("a.txt", bytes(16 * MIB)), ("a.mmdb", CONTENT))),
        (unpack_tar, tar_gz(("a.mmdb", CONTENT), ("b.txt", bytes(16 * MIB)))),
    ):
        into = io.BytesIO()
        with pytest.raises(ArchiveError, match=r"far more|bytes"):
            unpack(io.BytesIO(archive), into, max_bytes=MIB)
        assert len(into.getvalue()) <= MIB


def test_a_huge_header_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """tarfile reads an extended header as a whole: only what may stand before the file."""
    monkeypatch.setattr(geo_archive, "MAX_BYTES_BEFORE_FILE", MIB)
    header = tarfile.TarInfo("pax")
    header.type = tarfile.XHDTYPE
    header.size = 64 * MIB
    archive = gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(64 * MIB))
    tracemalloc.start()
    try:
        refused(unpack_tar, archive)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


def test_a_size_that_no_file_has_is_refused() -> None:
    """Before a byte of it is read."""
    info = tarfile.TarInfo("a.mmdb")
    info.size = 2**40
    archive = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))

    assert refused(unpack_tar, archive) == f"an archive whose .mmdb file has {2**40} bytes"


def test_a_full_disk_is_an_os_error() -> None:
    """It is not the archive's fault."""
    with Path("/dev/full").open("wb") as full, pytest.raises(OSError, match="No space left"):
        unpack_gzip(io.BytesIO(gzip.compress(CONTENT * 100)), full)
