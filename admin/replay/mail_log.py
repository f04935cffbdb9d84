"""The mails of users in a log of Postfix.

smtpd writes, once for each message, when its first recipient was accepted (smtpd_sasl_proto.c,
smtpd_sasl_mail_log):

    QUEUEID: client=NAME[ADDRESS], sasl_method=METHOD, sasl_username=LOGIN

and behind it, where there is something to say, `, sasl_sender=`, `, orig_queue_id=` and `, orig_client=`. The
policy service is asked about `client`; `orig_client` is what a proxy forwarded (XFORWARD), and is not read.
qmgr writes how many recipients the message has, aliases resolved:

    QUEUEID: from=<SENDER>, size=BYTES, nrcpt=RECIPIENTS (queue active)

A message that Postfix refused is in no such line, so a log does not show what the settings in force refuse.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from decision.account import account_of
from decision.record_format import MAX_UNIX_MS, RecordedRequest
from decision.verdict import MailEvent, Stage

# Between the first recipient and the queue lie the message's bytes, at the pace of the sender's line.
WAIT_MS = 3_600_000
MAX_WAITING = 10_000
# RFC 3164, as rsyslog and Postfix's own postlogd write it; RFC 3339; before it perhaps a priority.
_TIME = (
    rb"(?:<[0-9]{1,3}>)?(?P<time>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]{8,21}) "
)
_LINE = re.compile(_TIME + rb"[^ ]+ (?:[^ \[]*/)?(?P<daemon>smtpd|qmgr)\[[0-9]+\]: (?P<text>.*)", re.DOTALL)
_STAMP = re.compile(_TIME)
_MAIL = re.compile(
    rb"(?P<queue_id>[0-9A-Za-z]+): client=[^\[]*\[(?P<address>[^\]]*)\](?::[0-9]+)?"
    rb"(?:, sasl_method=[^,]*)?, sasl_username=(?P<more>.*)",
    re.DOTALL,
)
_QUEUED = re.compile(
    rb"(?P<queue_id>[0-9A-Za-z]+): from=<(?P<sender>.*)>, size=[0-9]+, nrcpt=(?P<count>[0-9]{1,18}) \(queue ",
    re.DOTALL,
)
# A login that holds one of these cannot be told from a shorter one: Postfix quotes nothing.
_BEHIND_LOGIN = (b", sasl_sender=", b", orig_queue_id=", b", orig_client=")
_NO_QUEUE = b"NOQUEUE"  # the message goes to a proxy, smtpd_proxy_filter
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1
    )
}
# Eight years hold a 29 February, even around 2100.
_YEARS = 9


class MailLog:
    """Makes one END-OF-MESSAGE request of each message, when its lines are together.

    Args:
        time_zone: of times that name none.

    Attributes:
        mails: how many messages of users have been seen.
    """

    def __init__(self, time_zone: str) -> None:
        self.mails = 0
        self._zone = ZoneInfo(time_zone)
        self._waiting: OrderedDict[bytes, RecordedRequest] = OrderedDict()

    def read(self, line: bytes, written_unix: float) -> Iterator[RecordedRequest]:
        """The requests that the line completes, mostly none.

        Args:
            written_unix: when the file was last written: no line of it is of a later time.

        Raises:
            ValueError: it is about the mail of a user, and cannot be read.
        """
        of_user = b", sasl_username=" in line
        if not of_user and b", nrcpt=" not in line:
            return
        found = _LINE.match(line.rstrip(b"\r\n"))
        if found is None:
            if of_user and b"smtpd[" in line:
                raise ValueError("no line of syslog with a time")
        elif found["daemon"] == b"qmgr":
            yield from self._queued(found["text"])
        elif of_user and b": client=" in found["text"]:
            yield from self._mail(found["text"], self.unix_ms(found["time"], written_unix))

    def rest(self) -> Iterator[RecordedRequest]:
        """The messages of which no number of recipients came."""
        while self._waiting:
            yield self._waiting.popitem(last=False)[1]

    def first_unix_ms(self, line: bytes, written_unix: float) -> int | None:
        """When a line of any program was written; None for a line without a time."""
        found = _STAMP.match(line)
        try:
            return self.unix_ms(found["time"], written_unix) if found else None
        except ValueError:
            return None

    def unix_ms(self, text: bytes, written_unix: float) -> int:
        """The time of a line; one without a year is of the last year that does not put it into the future.

        Raises ValueError.
        """
        time = self._dated(text) if text[:1].isdigit() else self._of_the_last_year(text, written_unix)
        unix_ms = round(time.timestamp() * 1000)
        if not 0 <= unix_ms <= MAX_UNIX_MS:
            raise ValueError("no time of this epoch")
        return unix_ms

    def _dated(self, text: bytes) -> datetime:
        time = datetime.fromisoformat(text.decode("ascii"))
        return time if time.tzinfo else time.replace(tzinfo=self._zone)

    def _of_the_last_year(self, text: bytes, written_unix: float) -> datetime:
        month = _MONTHS.get(text[:3])
        if month is None:
            raise ValueError("no month of this name")
        day, clock = int(text[4:6]), (int(text[7:9]), int(text[10:12]), int(text[13:15]))
        # A day of grace: clocks and time zones of two hosts may differ.
        latest = datetime.fromtimestamp(written_unix, self._zone) + timedelta(days=1)
        for year in range(latest.year, latest.year - _YEARS, -1):
            try:
                time = datetime(year, month, day, *clock, tzinfo=self._zone)
            except ValueError:
                if (month, day) != (2, 29):
                    raise
                continue
            if time <= latest:
                return time
        raise ValueError("no such day")

    def _mail(self, text: bytes, unix_ms: int) -> Iterator[RecordedRequest]:
        found = _MAIL.match(text)
        if found is None:
            raise ValueError("not as Postfix writes it")
        more = found["more"]
        ends = [end for part in _BEHIND_LOGIN if (end := more.find(part)) >= 0]
        login = more[: min(ends, default=len(more))]
        if not login:
            raise ValueError("without a login")
        self.mails += 1
        request = RecordedRequest(
            unix_ms,
            MailEvent(
                stage=Stage.END_OF_MESSAGE,
                login=login,
                account=account_of(login),
                client_address=found["address"],
                # Each message comes once: nothing need be remembered of it.
                instance=b"",
                recipient=b"",
                recipient_count=1,
                sender=b"",
                queue_id=found["queue_id"],
                policy_context=b"",
            ),
        )
        if found["queue_id"] == _NO_QUEUE:
            yield request
            return
        # The id of a message that is gone may be used again.
        if (earlier := self._waiting.pop(found["queue_id"], None)) is not None:
            yield earlier
        self._waiting[found["queue_id"]] = request
        while len(self._waiting) > MAX_WAITING or self._oldest_unix_ms() < unix_ms - WAIT_MS:
            yield self._waiting.popitem(last=False)[1]

    def _queued(self, text: bytes) -> Iterator[RecordedRequest]:
        found = _QUEUED.match(text)
        # Written again when a deferred message is tried again: then it does not wait any more.
        request = self._waiting.pop(found["queue_id"], None) if found else None
        if found is not None and request is not None:
            event = request.event._replace(recipient_count=int(found["count"]), sender=found["sender"])
            yield request._replace(event=event)

    def _oldest_unix_ms(self) -> int:
        return next(iter(self._waiting.values())).time_unix_ms
