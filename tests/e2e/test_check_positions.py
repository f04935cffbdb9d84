"""Who is asked about, and what becomes of the mail, for each place where the check may stand."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.postfix import LOCAL, UNKNOWN, Postfix
from tests.support.policy import AMERICAN, GERMAN
from tests.support.services import Services

FOREIGN = "bob@example.net"
PLACES = ("79", "20", "08-mtpolicyd", "end-of-data")

Asked = dict[str, float]
NEVER: Asked = {}
AT_RCPT: Asked = {"RCPT": 1}
AT_RCPT_NO_LOGIN: Asked = {"RCPT": 1, "without login": 1}
AT_END: Asked = {"END-OF-MESSAGE": 1}


@contextmanager
def asking(services: Services) -> Iterator[Asked]:
    """What the frontend is asked inside: requests by state, and how many had no login."""

    def counts() -> Asked:
        return {
            state: services.metric("frontend", "mtpolicyd_requests_total", state=state)
            for state in ("RCPT", "DATA", "END-OF-MESSAGE")
        } | {
            "all": services.metric("frontend", "mtpolicyd_requests_total"),
            "without login": services.metric("frontend", "mtpolicyd_requests_without_login_total"),
        }

    asked: Asked = {}
    before = counts()
    yield asked
    after = counts()
    asked.update({name: after[name] - before[name] for name in after if after[name] != before[name]})
    assert asked.pop("all", 0) == sum(asked.get(state, 0) for state in ("RCPT", "DATA", "END-OF-MESSAGE"))


@pytest.mark.parametrize(
    ("place", "expected"),
    [("79", NEVER), ("20", AT_RCPT), ("08-mtpolicyd", AT_RCPT), ("end-of-data", AT_END)],
)
def test_a_login_from_an_allowed_country_sends(
    postfix: Postfix, services: Services, login: str, place: str, expected: Asked
) -> None:
    """Whether or not Postfix asks about it, the mail is delivered."""
    with asking(services) as asked:
        replies = postfix.send(f"submission-{place}", FOREIGN, client=GERMAN, login=login)

    assert replies.accepted
    assert postfix.delivered(replies) == [FOREIGN]
    assert asked == expected


def test_a_foreign_login_is_not_seen_at_slot_79(postfix: Postfix, services: Services, login: str) -> None:
    """permit_sasl_authenticated ends the list first: the check does nothing, and no harm."""
    with asking(services) as asked:
        replies = postfix.send("submission-79", FOREIGN, client=AMERICAN, login=login)

    assert postfix.delivered(replies) == [FOREIGN]
    assert asked == NEVER


@pytest.mark.parametrize("place", ["20", "08-mtpolicyd"])
def test_a_foreign_login_is_refused_before_the_login_permits(
    postfix: Postfix, services: Services, login: str, place: str
) -> None:
    """At slots 20 and 08 each recipient is refused."""
    with asking(services) as asked:
        replies = postfix.send(f"submission-{place}", FOREIGN, LOCAL, client=AMERICAN, login=login)

    assert [reply[:9] for reply in replies.recipients] == ["554 5.7.1", "554 5.7.1"]
    assert asked == {"RCPT": 2}


def test_a_foreign_login_is_refused_once_for_the_whole_message_at_end_of_data(
    postfix: Postfix, services: Services, login: str
) -> None:
    """Postfix asks once, after the body, and nobody gets the mail."""
    with asking(services) as asked:
        replies = postfix.send("submission-end-of-data", FOREIGN, LOCAL, client=AMERICAN, login=login)

    assert [reply[:3] for reply in replies.recipients] == ["250", "250"]
    assert replies.body.startswith(
        "554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Sending mail from country US is not allowed (id "
    )
    assert asked == AT_END


@pytest.mark.parametrize(
    ("place", "expected"),
    [("79", NEVER), ("20", NEVER), ("08-mtpolicyd", AT_RCPT), ("end-of-data", AT_END)],
)
def test_a_login_on_the_host_itself_sends(
    postfix: Postfix, services: Services, login: str, place: str, expected: Asked
) -> None:
    """Webmail comes from 127.0.0.1, which has no country; permit_mynetworks hides it from slot 20."""
    with asking(services) as asked:
        replies = postfix.send(f"submission-{place}", FOREIGN, login=login)

    assert postfix.delivered(replies) == [FOREIGN]
    assert asked == expected


@pytest.mark.parametrize(
    ("place", "expected"),
    [("79", NEVER), ("20", NEVER), ("08-mtpolicyd", AT_RCPT_NO_LOGIN), ("end-of-data", NEVER)],
)
def test_mynetworks_without_a_login_sends(
    postfix: Postfix, services: Services, place: str, expected: Asked
) -> None:
    """Printers and scripts send to anybody, in any number."""
    recipients = [f"user{number}@example.net" for number in range(5)]
    with asking(services) as asked:
        replies = postfix.send(f"smtp-{place}", *recipients)

    assert sorted(postfix.delivered(replies)) == recipients
    assert asked == {name: count * len(recipients) for name, count in expected.items()}


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("79", AT_RCPT_NO_LOGIN),
        ("20", AT_RCPT_NO_LOGIN),
        ("08-mtpolicyd", AT_RCPT_NO_LOGIN),
        ("end-of-data", NEVER),
    ],
)
def test_inbound_mail_is_delivered(postfix: Postfix, services: Services, place: str, expected: Asked) -> None:
    """Mail from the Internet has no login, so no country and no limit stops it."""
    with asking(services) as asked:
        replies = postfix.send(f"smtp-{place}", LOCAL, client=AMERICAN, sender="carol@example.com")

    assert postfix.delivered(replies) == [LOCAL]
    assert asked == expected


def test_mail_without_a_login_passes_end_of_data(postfix: Postfix, services: Services) -> None:
    """A stranger who delivers to a local user through port 587 is no user of ours."""
    with asking(services) as asked:
        replies = postfix.send("submission-end-of-data", LOCAL, client=AMERICAN)

    assert postfix.delivered(replies) == [LOCAL]
    assert asked == AT_END | {"without login": 1}


@pytest.mark.parametrize("place", PLACES)
def test_inbound_mail_hears_what_it_would_hear_without_the_check(postfix: Postfix, place: str) -> None:
    """Known, unknown and foreign recipients get the very replies of a Postfix that asks nobody."""
    recipients = [LOCAL, UNKNOWN, FOREIGN] * 2
    here = postfix.send(f"smtp-{place}", *recipients, client=AMERICAN)
    without = postfix.send("smtp-nowhere", *recipients, client=AMERICAN)

    assert here.recipients == without.recipients
    assert [reply[:3] for reply in here.recipients] == ["250", "550", "554"] * 2
    assert postfix.delivered(here) == postfix.delivered(without) == [LOCAL]


@pytest.mark.parametrize("port", ["smtp", "submission"])
@pytest.mark.parametrize("place", PLACES)
def test_a_relay_attempt_is_refused_by_postfix(
    postfix: Postfix, services: Services, place: str, port: str
) -> None:
    """The check opens no relay: what stands before reject_unauth_destination is asked, and says DUNNO."""
    with asking(services) as asked:
        replies = postfix.send(f"{port}-{place}", FOREIGN, client=GERMAN)

    assert replies.recipients == [f"554 5.7.1 <{FOREIGN}>: Relay access denied"]
    assert asked == (AT_RCPT_NO_LOGIN if place in ("08-mtpolicyd", "20") else NEVER)


@pytest.mark.parametrize("place", ["20", "08-mtpolicyd"])
def test_a_failed_login_gains_nothing(postfix: Postfix, place: str) -> None:
    """Who gives a login that Cyrus does not know is a stranger."""
    with postfix.session(f"submission-{place}", client=GERMAN) as session:
        assert session.try_login("thief@example.org", "wrong").startswith("535 5.7.8 ")
        replies = session.send(FOREIGN)

    assert replies.recipients == [f"554 5.7.1 <{FOREIGN}>: Relay access denied"]
