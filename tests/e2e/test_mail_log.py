"""The log of a real Postfix tells `mtpolicyctl replay` who sent what from where."""

from admin.replay.source import Source
from decision.settings import host_time_zone
from tests.e2e.postfix import Postfix
from tests.e2e.test_submission import PORT, recipients
from tests.support.policy import GERMAN

GERMAN_V6 = "2003::1"


def test_its_messages_are_read(postfix: Postfix, login: str) -> None:
    """Login, address and number of recipients of each message, once."""
    for client, count in ((GERMAN, 2), (GERMAN_V6, 1)):
        postfix.delivered(postfix.send(PORT, *recipients(count), client=client, login=login))
    source = Source([postfix.directory / "mail.log"], host_time_zone())
    events = [request.event for request in source.requests() if request.event.login == login.encode()]

    assert [(event.client_address.decode(), event.recipient_count) for event in events] == [
        (GERMAN, 2),
        (GERMAN_V6, 1),
    ]
    assert source.malformed == 0
