"""Mail logs, for all bytes."""

from contextlib import suppress
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from admin.replay.mail_log import MailLog
from decision.record_format import MAX_UNIX_MS

PIECES = st.one_of(
    st.sampled_from(
        [
            b"Jan  1 00:00:00 ",
            b"Feb 29 23:59:59 ",
            b"2027-01-01T00:00:00+01:00 ",
            b"9999-12-31T23:59:59Z ",
            b"0001-01-01T00:00:00+14:00 ",
            b"<22>",
            b"mail ",
            b"postfix/smtpd[1]: ",
            b"postfix/qmgr[1]: ",
            b"ABC: ",
            b"NOQUEUE: ",
            b"client=h[192.0.2.1]",
            b", sasl_method=PLAIN",
            b", sasl_username=alice",
            b", sasl_sender=bob",
            b"from=<a@b>",
            b", size=1",
            b", nrcpt=999999999999999999",
            b", nrcpt=2",
            b" (queue active)",
            b"\n",
        ]
    ),
    st.binary(max_size=10),
)
# Almost a line, or anything.
LINES = st.lists(st.lists(PIECES, max_size=9).map(b"".join), max_size=8)
WHOLE = st.builds(
    lambda time, queue_id, more: [
        time + b"mail postfix/smtpd[1]: " + queue_id + b": client=h[192.0.2.1], sasl_username=" + more,
        time
        + b"mail postfix/qmgr[1]: "
        + queue_id
        + b": from=<"
        + more
        + b">, size=1, nrcpt=2 (queue active)",
    ],
    st.sampled_from([b"Jan  1 00:00:00 ", b"2027-01-01T00:00:00Z ", b"9999-12-31T23:59:59-12:00 "]),
    st.sampled_from([b"A1", b"B2"]),
    st.binary(max_size=20),
)


@given(
    st.lists(st.one_of(LINES, WHOLE), max_size=5).map(lambda parts: list(chain.from_iterable(parts))),
    st.integers(0, 2**33),
)
def test_no_line_raises_anything_but_a_value_error(lines: list[bytes], written_unix: int) -> None:
    """Every message that was seen comes out once, and can be decided."""
    log = MailLog("Europe/Berlin")
    found = []
    for line in lines:
        log.first_unix_ms(line, written_unix)
        with suppress(ValueError):
            found += list(log.read(line, written_unix))
    found += list(log.rest())

    assert len(found) == log.mails
    for request in found:
        assert 0 <= request.time_unix_ms <= MAX_UNIX_MS
        assert request.event.login
        assert 0 <= request.event.recipient_count < 2**63
