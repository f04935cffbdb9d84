"""The sums of what differs."""

from collections import Counter

import pytest

from admin.replay import difference as module
from admin.replay.difference import MOST_NAMES, Comparison
from admin.replay.trial import Answer
from decision.record_format import RecordedRequest
from decision.verdict import MailEvent
from tests.support.mails import mail

T = 1_790_000_000_000
PASSED = Answer("DUNNO", "none", "DE")
QUOTA = Answer("DEFER", "quota", "DE")
HARD = Answer("REJECT", "quota", "DE")
COUNTRY = Answer("REJECT", "country", "US")


def request(number: int = 0, event: MailEvent | None = None, **fields: object) -> RecordedRequest:
    made = RecordedRequest(T + number, event or mail(instance=b"%d" % number))
    return made._replace(**fields)  # type: ignore[arg-type]


def test_each_kind_of_difference_has_its_sum() -> None:
    """By rule; equal answers are only counted."""
    comparison = Comparison()
    pairs = [
        (PASSED, PASSED),
        (PASSED, QUOTA),
        (PASSED, COUNTRY),
        (QUOTA, PASSED),
        (QUOTA, HARD),
        (QUOTA, COUNTRY),
        (COUNTRY, COUNTRY),
    ]
    for number, pair in enumerate(pairs):
        comparison.add(request(number), *pair)
    (account,) = comparison.differing()

    assert (account.login, account.mails, account.requests) == (b"Alice", 7, 7)
    assert (account.refused_before, account.refused_now) == (4, 5)
    assert account.newly_refused == {"quota": 1, "country": 1}
    assert account.newly_passed == {"quota": 1}
    assert account.refused_otherwise == {"quota": 1, "country": 1}
    assert account.differs == 5
    assert account.first_unix_ms == T + 1
    assert account.countries == {"DE": 3, "US": 2}
    assert account.networks == {"84.128.0.0/24": 5}


def test_the_text_of_an_answer_is_no_difference() -> None:
    """Nor is the country."""
    comparison = Comparison()
    comparison.add(request(), QUOTA, QUOTA._replace(country="FR"))

    assert comparison.differing() == []


def test_accounts_are_those_of_the_services() -> None:
    """Whatever the case of the login; most differences first."""
    comparison = Comparison()
    for login, account, pair in (
        (b"Alice", b"alice", (PASSED, QUOTA)),
        (b"bob", b"bob", (PASSED, QUOTA)),
        (b"bob", b"bob", (PASSED, QUOTA)),
        (b"ALICE", b"alice", (PASSED, PASSED)),
        (b"carol", b"carol", (PASSED, PASSED)),
    ):
        comparison.add(request(event=mail(login=login, account=account)), *pair)

    assert [(found.login, found.requests) for found in comparison.differing()] == [(b"bob", 2), (b"Alice", 2)]
    assert len(comparison.accounts) == 3
    assert comparison.totals().newly_refused == {"quota": 3}


def test_a_mail_of_many_requests_is_one_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as not too many others lie between them; without an instance each is its own."""
    monkeypatch.setattr(module, "RECENT_MAILS", 2)
    comparison = Comparison()
    for instance in (b"1", b"1", b"2", b"1", b"2", b"", b""):
        comparison.add(request(event=mail(instance=instance)), PASSED, PASSED)
    assert comparison.totals().mails == 4
    for instance in (b"3", b"4", b"1"):
        comparison.add(request(event=mail(instance=instance)), PASSED, PASSED)
    assert comparison.totals().mails == 7


def test_what_was_answered_then_is_compared_too() -> None:
    """With the settings in force; a log tells no answer."""
    comparison = Comparison()
    comparison.add(request(verb="DUNNO", rule="none"), PASSED, QUOTA)
    comparison.add(request(verb="REJECT", rule="country"), PASSED, QUOTA)
    comparison.add(request(verb="none", rule="none"), PASSED, QUOTA)
    comparison.add(request(), PASSED, QUOTA)

    assert comparison.unlike_recorded == 2


def test_the_span_and_the_hashed_are_counted() -> None:
    """Lines need not be in order."""
    comparison = Comparison()
    for number in (5, 3, 9):
        comparison.add(request(number, hashed=number == 9), PASSED, QUOTA)

    assert (comparison.first_unix_ms, comparison.last_unix_ms) == (T + 3, T + 9)
    assert comparison.hashed == 1
    assert comparison.differing()[0].networks == {"84.128.0.0/24": 2, "hashed": 1}


def test_an_account_in_many_networks_does_not_fill_the_memory() -> None:
    """What is too much is summed up."""
    comparison = Comparison()
    for number in range(MOST_NAMES + 50):
        event = mail(client_address=b"84.%d.%d.1" % (number // 200, number % 200))
        comparison.add(request(number, event), PASSED, QUOTA)
    (account,) = comparison.differing()

    assert len(account.networks) == MOST_NAMES + 1
    assert account.networks["others"] == 50
    assert account.networks.total() == MOST_NAMES + 50
    assert isinstance(account.networks, Counter)
