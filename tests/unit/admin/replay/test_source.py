"""Files as one stream of requests."""

import gzip
import os
from pathlib import Path

import pytest

from admin.replay.source import EXAMPLES, Source, SourceError
from decision.origins import Kind, Origin
from decision.record_format import MAX_LINE_BYTES, RecordedRequest, write_request
from tests.support.charges import BERLIN
from tests.support.mails import mail

MAIL_LOG = Path(__file__).with_name("mail.log").read_bytes()
T = 1_790_000_000_000


def line(number: int) -> bytes:
    """A request of its own time and instance."""
    request = RecordedRequest(
        T + number, mail(instance=b"i%d" % number), Origin(Kind.LOOPBACK), False, "DUNNO", "none"
    )
    return write_request(request, b"")


def numbers(source: Source) -> list[int]:
    return [request.time_unix_ms - T for request in source.requests()]


def test_files_are_read_the_oldest_first(tmp_path: Path) -> None:
    """In whatever order a shell names them, gzipped or not."""
    newest, older, oldest = (tmp_path / f"requests.jsonl{end}" for end in ("", ".1", ".2.gz"))
    newest.write_bytes(line(5) + line(6))
    older.write_bytes(line(3) + line(4))
    oldest.write_bytes(gzip.compress(line(1) + line(2)))
    source = Source([newest, older, oldest], BERLIN)

    assert numbers(source) == [1, 2, 3, 4, 5, 6]
    assert (source.malformed, source.without, source.has_mail_log) == (0, [], False)


def test_what_cannot_be_read_is_passed_over_and_named(tmp_path: Path) -> None:
    """Counted all, named the first; an empty line is no mistake."""
    path = tmp_path / "requests.jsonl"
    wrong = [b"{half", b'{"version":2}', b"\xff\xfe", b"x" * (MAX_LINE_BYTES + 5), b"null", b"[]", b"7"]
    path.write_bytes(line(1) + b"\n \n" + b"\n".join(wrong) + b"\n" + line(2) + line(3)[:-9])
    source = Source([path], BERLIN)

    assert numbers(source) == [1, 2]
    assert source.malformed == 8
    assert len(source.examples) == EXAMPLES
    assert source.examples[0].startswith(f"{path}:4: no JSON")
    assert source.examples[1] == f"{path}:5: of a version that is not known here"
    assert source.examples[3] == f"{path}:7: longer than {MAX_LINE_BYTES} bytes"


def test_a_message_may_begin_in_one_log_and_end_in_the_next(tmp_path: Path) -> None:
    """As rotation cuts them."""
    first, second = tmp_path / "mail.log.1.gz", tmp_path / "mail.log"
    head, tail = MAIL_LOG.split(b"Dec 31 23:58:05", 1)
    first.write_bytes(gzip.compress(head))
    second.write_bytes(b"Dec 31 23:58:05" + tail)
    for path in (first, second):
        os.utime(path, (1_798_758_600, 1_798_758_600))
    source = Source([second, first], BERLIN)
    counts = {request.event.login: request.event.recipient_count for request in source.requests()}

    assert counts[b"bob smith"] == 12
    assert (source.has_mail_log, source.malformed, source.without) == (True, 0, [])


def test_a_broken_gzip_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """And named."""
    path = tmp_path / "requests.jsonl.gz"
    packed = gzip.compress(b"".join(map(line, range(5000))))
    path.write_bytes(packed[: len(packed) // 2])
    source = Source([path], BERLIN)
    found = numbers(source)

    assert found == list(range(len(found)))
    assert len(found) > 1000
    assert source.malformed == 1
    assert "cannot be read behind line" in source.examples[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no mail of a user in"),
        (b"\n\n", "no mail of a user in"),
        (b"Jan  1 00:00:00 mail postfix/smtpd[1]: connect from h[192.0.2.1]\n", "no mail of a user in"),
        (b"threshold = 5\n", "no mail of a user in"),
        (b'{"a": 1}\n', "1 lines cannot be read: .*:1: no recorded request"),
        (b"\x7fELF\0\0\0", "no mail of a user in"),
        (gzip.compress(b"", mtime=0), "no mail of a user in"),
    ],
)
def test_a_file_without_a_request_is_said_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    """It is empty, or another one was meant."""
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(SourceError, match=reason) as caught:
        list(Source([path], BERLIN).requests())
    assert "\n" not in str(caught.value)


def test_a_file_without_a_request_beside_others_is_named(tmp_path: Path) -> None:
    """It does not end the run."""
    good, empty = tmp_path / "good", tmp_path / "empty"
    good.write_bytes(line(1))
    empty.touch()
    source = Source([empty, good], BERLIN)

    assert numbers(source) == [1]
    assert source.without == [empty]


def test_what_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    """Missing, a directory, a pipe, or no gzip file behind its magic."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8bnothing")
    for name, reason in (
        ("missing", "No such file"),
        (".", "no regular file"),
        ("pipe", "no regular file"),
        ("broken.gz", "cannot be read"),
    ):
        with pytest.raises(SourceError, match=reason):
            Source([tmp_path / name], BERLIN)
