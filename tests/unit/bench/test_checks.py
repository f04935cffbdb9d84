"""What counts as a wrong answer."""

from collections.abc import Mapping

import pytest

from bench.checks import Counts, wrong_counts, wrong_replies
from tests.support.bench import load

# 98 passed, 2 rejected.
RIGHT = Counts(
    asked=100, answered=100, charges_sent=100, charges_back=100, units=98, stored=98, refused=0, recorded=2
)
REJECTED = "REJECT 5.7.1 Sending mail from country US is not allowed (id kbtd6g2g79)"
DEFERRED = "DEFER 4.7.1 Daily limit of 1000 recipients reached, it ends 2026-11-24 00:00 +03 (id kbtd6g2g79)"


def test_right_replies() -> None:
    """Home passes, abroad is rejected, in our words."""
    texts = {"DUNNO": "DUNNO", "REJECT": REJECTED}

    assert wrong_replies([load(texts=texts), load(texts=texts)]) == []


def test_right_replies_to_one_who_is_over_the_limit() -> None:
    """As many as were to be deferred."""
    limited = load(home={"DUNNO": 1000, "DEFER": 100}, abroad={}, texts={"DEFER": DEFERRED})

    assert wrong_replies([limited], over_limit=100) == []
    assert wrong_replies([limited], over_limit=99) == ["100 mails were deferred, 99 were to be"]


@pytest.mark.parametrize(
    ("home", "abroad", "finding"),
    [
        ({"DUNNO": 98}, {"DUNNO": 1, "REJECT": 1}, "mail from abroad was answered {'DUNNO': 1, 'REJECT': 1}"),
        ({"DUNNO": 97, "REJECT": 1}, {"REJECT": 2}, "mail from home was answered {'DUNNO': 97, 'REJECT': 1}"),
        ({"DUNNO": 97, "DEFER": 1}, {"REJECT": 2}, "1 mails were deferred, 0 were to be"),
        ({"OK": 98}, {"REJECT": 2}, "mail from home was answered {'OK': 98}"),
    ],
)
def test_wrong_replies(home: Mapping[str, int], abroad: Mapping[str, int], finding: str) -> None:
    """A reply that passes what is to be refused, or the other way round."""
    assert wrong_replies([load(home=home, abroad=abroad)]) == [finding]


@pytest.mark.parametrize(
    "texts",
    [
        {"DUNNO": "dunno"},
        {"DUNNO": "DUNNO really"},
        {"REJECT": "REJECT 5.7.1 no"},
        {"PREPEND": "PREPEND X: y"},
    ],
)
def test_wrong_words(texts: Mapping[str, str]) -> None:
    """The whole text is compared, and no other verb is known."""
    assert len(wrong_replies([load(texts=texts)])) == 1


def test_lost_requests_are_wrong() -> None:
    """However fast the others were."""
    assert wrong_replies([load(lost=3)]) == [
        "50 connections: 3 requests lost, 0 malformed replies, 0 unanswered"
    ]


def test_right_counts() -> None:
    """Each request went over both hops, and what passed is what was charged."""
    assert wrong_counts([load()], RIGHT) == []


@pytest.mark.parametrize("field", Counts._fields)
@pytest.mark.parametrize("step", [-1, 1])
def test_each_count_is_compared(field: str, step: int) -> None:
    """One too many or too few of any of them is a finding."""
    counts = RIGHT._replace(**{field: getattr(RIGHT, field) + step})

    assert len(wrong_counts([load()], counts)) == 1


def test_what_was_there_before_does_not_count() -> None:
    """A store that was filled, or an earlier load."""
    before = Counts(1, 2, 3, 4, 5, 6, 7, 8)
    after = Counts(*(then + now for then, now in zip(before, RIGHT, strict=True)))

    assert after.since(before) == RIGHT
