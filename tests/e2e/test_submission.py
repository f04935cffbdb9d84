"""What a user who has logged in is told."""

import re

import pytest

from tests.e2e.conftest import LIMIT
from tests.e2e.postfix import Postfix
from tests.support.policy import AMERICAN, GERMAN
from tests.support.services import Services, wait_until

AMERICAN_V6 = "2001:4860:4860::8888"
PORT = "submission-08-mtpolicyd"

FULL = f"Daily limit of {LIMIT} recipients reached, it ends "


def recipients(count: int) -> list[str]:
    return [f"bob{number}@example.net" for number in range(count)]


def left(postfix: Postfix, login: str) -> int:
    """How many recipients the user may still send to; uses them up."""
    replies = postfix.send(PORT, *recipients(LIMIT + 1), client=GERMAN, login=login)
    return sum(reply.startswith("250 ") for reply in replies.recipients)


@pytest.mark.parametrize("client", [AMERICAN, AMERICAN_V6])
def test_the_reply_to_a_foreign_client_leads_to_the_log(
    postfix: Postfix, services: Services, login: str, client: str
) -> None:
    """The user is told the country and an id; decision's log line with this id names the login."""
    (reply,) = postfix.send(PORT, "bob@example.net", client=client, login=login).recipients

    told = re.fullmatch(
        r"554 5\.7\.1 <bob@example\.net>: Recipient address rejected: "
        r"Sending mail from country US is not allowed \(id ([!-~]+)\)",
        reply,
    )
    assert told, reply
    wait_until(lambda: told[1] in services.log("decision"), what="the refusal is logged")
    (line,) = [line for line in services.log("decision").splitlines() if told[1] in line]
    assert login in line
    assert client in line


def test_an_allowed_client_sends(postfix: Postfix, login: str) -> None:
    """Mail from an allowed country goes out."""
    replies = postfix.send(PORT, "bob@example.net", client=GERMAN, login=login)

    assert postfix.delivered(replies) == ["bob@example.net"]


def test_the_limit_ends_inside_a_mail(postfix: Postfix, login: str) -> None:
    """The first recipients get the mail, the others are deferred one by one; the next mail is deferred."""
    replies = postfix.send(PORT, *recipients(LIMIT + 2), client=GERMAN, login=login)
    later = postfix.send(PORT, "carol@example.net", client=GERMAN, login=login)

    assert [reply[:3] for reply in replies.recipients] == ["250"] * LIMIT + ["450"] * 2
    assert replies.recipients[LIMIT].startswith(
        f"450 4.7.1 <bob{LIMIT}@example.net>: Recipient address rejected: {FULL}"
    )
    assert sorted(postfix.delivered(replies)) == recipients(LIMIT)
    assert later.recipients[0].startswith(
        f"450 4.7.1 <carol@example.net>: Recipient address rejected: {FULL}"
    )


def test_the_limit_holds_across_mails_of_one_session(postfix: Postfix, login: str) -> None:
    """A second mail on the same connection is another message, charged for itself."""
    with postfix.session(PORT, client=GERMAN, login=login) as session:
        mails = [session.send("bob@example.net") for _ in range(LIMIT + 1)]

    assert [mail.recipients[0][:3] for mail in mails] == ["250"] * LIMIT + ["450"]


def test_the_limit_holds_at_end_of_data(postfix: Postfix, login: str) -> None:
    """Asked once per message, the whole message is deferred, and costs nothing."""
    port = "submission-end-of-data"
    over = postfix.send(port, *recipients(LIMIT + 1), client=GERMAN, login=login)
    just = postfix.send(port, *recipients(LIMIT), client=GERMAN, login=login)
    more = postfix.send(port, *recipients(1), client=GERMAN, login=login)

    refusal = f"450 4.7.1 <END-OF-MESSAGE>: End-of-data rejected: {FULL}"
    assert over.body.startswith(refusal)
    assert sorted(postfix.delivered(just)) == recipients(LIMIT)
    assert more.body.startswith(refusal)


def test_one_message_asked_about_in_two_places_is_charged_once(postfix: Postfix, login: str) -> None:
    """Slot 08 and end-of-data together cost a mail to as many as the limit allows just that."""
    port = "submission-08-and-end-of-data"
    replies = postfix.send(port, *recipients(LIMIT), client=GERMAN, login=login)
    later = postfix.send(port, *recipients(1), client=GERMAN, login=login)

    assert [reply[:3] for reply in replies.recipients] == ["250"] * LIMIT
    assert sorted(postfix.delivered(replies)) == recipients(LIMIT)
    assert later.recipients[0].startswith("450 4.7.1 ")


def test_a_mail_cut_short_by_the_limit_passes_end_of_data(postfix: Postfix, login: str) -> None:
    """What was accepted at RCPT is not refused after the body."""
    port = "submission-08-and-end-of-data"
    replies = postfix.send(port, *recipients(LIMIT + 1), client=GERMAN, login=login)

    assert replies.recipients[LIMIT].startswith("450 4.7.1 ")
    assert sorted(postfix.delivered(replies)) == recipients(LIMIT)


def test_webmail_on_the_host_has_the_same_limit(postfix: Postfix, login: str) -> None:
    """A client without a country is counted, together with the user's others."""
    assert postfix.send(PORT, *recipients(LIMIT - 1), login=login).accepted
    assert left(postfix, login) == 1


def test_the_null_sender_escapes_neither_rule(postfix: Postfix, login: str) -> None:
    """The login decides, not MAIL FROM."""
    foreign = postfix.send(PORT, "bob@example.net", client=AMERICAN, login=login, sender="")
    allowed = postfix.send(PORT, *recipients(LIMIT + 1), client=GERMAN, login=login, sender="")

    assert foreign.recipients[0].startswith("554 5.7.1 ")
    assert [reply[:3] for reply in allowed.recipients] == ["250"] * LIMIT + ["450"]


def test_a_login_without_a_domain_is_an_account(postfix: Postfix, services: Services) -> None:
    """Postfix passes a bare uid on as it was typed, and so it stands in the log."""
    postfix.add_login("uid")
    foreign = postfix.send(PORT, "bob@example.net", client=AMERICAN, login="uid")

    assert foreign.recipients[0].startswith("554 5.7.1 ")
    wait_until(lambda: re.search(r"\blogin=uid\b(?!@)", services.log("decision")), what="the login is logged")
    assert left(postfix, "uid") == LIMIT
    assert left(postfix, "uid") == 0


def test_the_spellings_of_a_login_are_one_account(postfix: Postfix) -> None:
    """Where the backend takes a login in upper and lower case, one limit holds for both."""
    # sasldb minds the case: two entries stand for a backend that does not.
    for login in ("Mixed@Example.org", "mixed@example.org"):
        postfix.add_login(login)

    assert postfix.send(PORT, *recipients(1), client=GERMAN, login="Mixed@Example.org").accepted
    assert left(postfix, "mixed@example.org") == LIMIT - 1
    assert left(postfix, "Mixed@Example.org") == 0
