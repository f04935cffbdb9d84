"""The answers by one set of settings."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from admin.replay.trial import PORTIONS_PER_CHECKPOINT, Trial
from decision.origins import Answer as Told
from decision.origins import Kind, Origin
from decision.record_format import RecordedRequest
from decision.settings import Settings
from decision.verdict import MailEvent, Mode, Stage
from tests.support.charges import BERLIN, berlin
from tests.support.mails import mail
from tests.support.observed import Observed
from tests.support.policy import AMERICAN

NOON = berlin("2026-11-23 12:00")
FROM_US = mail(client_address=AMERICAN.encode())
PASSED, COUNTRY, QUOTA = ("DUNNO", "none"), ("REJECT", "country"), ("DEFER", "quota")

MakeTrial = Callable[..., Trial]


@pytest.fixture
def trial(tmp_path: Path, seen: Observed) -> Iterator[MakeTrial]:
    with ExitStack() as stack:

        def make(*, recorded_countries: bool = False, **settings: Any) -> Trial:
            trial = Trial(
                Settings(timezone=settings.pop("timezone", BERLIN), geoip_directory=tmp_path, **settings),
                tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite3",
                recorded_countries=recorded_countries,
                log=seen.log.logger,
            )
            return stack.enter_context(closing(trial))

        yield make


@pytest.fixture
def seen() -> Observed:
    return Observed()


def at(unix_ms: int, event: MailEvent | None = None, origin: Origin | None = None) -> RecordedRequest:
    return RecordedRequest(unix_ms, event or mail(), origin)


def mails(count: int, *, unix_ms: int = NOON, **event: Any) -> list[RecordedRequest]:
    """As many messages with one recipient each."""
    return [at(unix_ms, mail(instance=b"%d.%d" % (unix_ms, number), **event)) for number in range(count)]


def answers(trial: Trial, *requests: RecordedRequest) -> list[tuple[str, str]]:
    return [(answer.verb, answer.rule) for answer in trial.answer(requests)]


def test_the_rules_answer(trial: MakeTrial) -> None:
    """Country first; what it refuses is not charged."""
    assert answers(trial(threshold=2), *[at(NOON, FROM_US)] * 3, *mails(3)) == [
        *[COUNTRY] * 3,
        PASSED,
        PASSED,
        QUOTA,
    ]


def test_the_country_is_told(trial: MakeTrial) -> None:
    """Whether it matters or not."""
    assert [
        answer.country for answer in trial(country_mode=Mode.OFF).answer([at(NOON), at(NOON, FROM_US)])
    ] == ["DE", "US"]


@pytest.mark.parametrize(
    "settings",
    [
        {"exempt_accounts": "alice"},
        {"exempt_networks": [ip_network("8.8.8.0/24"), ip_network("84.128.0.0/16")]},
        {"country_mode": Mode.OBSERVE, "quota_mode": Mode.OBSERVE},
        {"country_mode": Mode.OFF, "quota_mode": Mode.OFF},
    ],
)
def test_nobody_is_refused_whom_the_settings_spare(trial: MakeTrial, settings: dict[str, Any]) -> None:
    """Exempt, observed, off."""
    assert set(answers(trial(threshold=1, **settings), *[at(NOON, FROM_US)] * 3, *mails(3))) == {PASSED}


def test_exempt_mail_is_counted_all_the_same(trial: MakeTrial) -> None:
    """An exempt network uses up what the account has elsewhere."""
    exempt = trial(threshold=2, exempt_networks=[ip_network("10.0.0.0/8")])

    assert answers(exempt, *mails(3, client_address=b"10.0.0.1")) == [PASSED] * 3
    assert answers(exempt, *mails(1, unix_ms=NOON + 1)) == [QUOTA]


def test_an_allowed_network_passes_the_country_rule(trial: MakeTrial) -> None:
    """And no other."""
    allowed = trial(allowed_networks=[ip_network("8.8.8.8/32")])

    assert answers(allowed, at(NOON, FROM_US), at(NOON, mail(client_address=b"8.8.4.4"))) == [PASSED, COUNTRY]


def test_messages_are_counted_where_the_settings_say_so(trial: MakeTrial) -> None:
    """Ten recipients are one message, or ten."""

    def message(instance: bytes) -> list[RecordedRequest]:
        event = mail(instance=instance)
        recipients = [event._replace(recipient=b"r%d" % number) for number in range(10)]
        end = event._replace(stage=Stage.END_OF_MESSAGE, recipient=b"", recipient_count=10)
        return [at(NOON, event) for event in [*recipients, end]]

    assert answers(trial(threshold=2, count="messages"), *message(b"1"), *message(b"2")) == [PASSED] * 22
    assert answers(trial(threshold=12), *message(b"1"), *message(b"2")) == [PASSED] * 13 + [QUOTA] * 9


def test_a_recipient_that_is_asked_about_again_costs_nothing(trial: MakeTrial) -> None:
    """As the services count."""
    assert answers(trial(threshold=1), *[at(NOON)] * 3) == [PASSED] * 3


def test_a_day_begins_at_the_midnight_of_the_settings(trial: MakeTrial) -> None:
    """The recorded times are the clock."""
    late, early = mails(2, unix_ms=berlin("2026-11-23 23:59")), mails(2, unix_ms=berlin("2026-11-24 00:00"))
    in_berlin, in_tokyo = trial(threshold=2), trial(threshold=2, timezone="Asia/Tokyo")

    assert answers(in_berlin, *late) + answers(in_berlin, *early) == [PASSED] * 4
    assert answers(in_tokyo, *late) + answers(in_tokyo, *early) == [PASSED, PASSED, QUOTA, QUOTA]


def test_stages_that_are_not_counted_are_looked_at(trial: MakeTrial) -> None:
    """MAIL is refused by country, and costs nothing."""
    strict = trial(threshold=1)

    assert answers(strict, *mails(1), *mails(1, stage=Stage.OTHER)) == [PASSED, PASSED]
    assert answers(strict, at(NOON, FROM_US._replace(stage=Stage.OTHER))) == [COUNTRY]


def test_a_hashed_address_is_where_the_recording_says(trial: MakeTrial) -> None:
    """By its own kind, with all that the settings make of it."""
    hashed = mail(client_address=b"00112233445566778899aabbccddeeff")
    origins = [
        Origin(Kind.COUNTRY, (Told("a", "US"), Told("b", ""))),
        Origin(Kind.COUNTRY, (Told("a", "US"), Told("b", "DE"))),
        Origin(Kind.LOOPBACK),
        Origin(Kind.UNKNOWN, (Told("a", ""),)),
    ]
    requests = [
        at(NOON, hashed._replace(instance=b"%d" % number), origin)._replace(hashed=True)
        for number, origin in enumerate(origins)
    ]

    assert answers(trial(), *requests) == [COUNTRY, PASSED, PASSED, PASSED]
    assert answers(trial(country_unknown="reject"), *requests)[3] == COUNTRY
    assert answers(trial(allowedcountries="US"), *requests) == [PASSED] * 4


def test_recorded_countries_are_believed_on_demand(trial: MakeTrial) -> None:
    """Otherwise the databases of the settings are asked."""
    moved = at(NOON, FROM_US, Origin(Kind.COUNTRY, (Told("a", "DE"),)))

    assert answers(trial(), moved) == [COUNTRY]
    assert answers(trial(recorded_countries=True), moved) == [PASSED]
    assert answers(trial(recorded_countries=True), at(NOON, FROM_US)) == [COUNTRY]


def test_a_database_that_cannot_be_used_is_told(trial: MakeTrial, seen: Observed, tmp_path: Path) -> None:
    """The built-in data stands in, as in the service."""
    assert answers(trial(databases=[str(tmp_path / "missing.mmdb")]), at(NOON, FROM_US)) == [COUNTRY]
    assert "country_data_refused" in seen.log.events


def test_what_is_long_past_is_forgotten(trial: MakeTrial, tmp_path: Path) -> None:
    """Messages after six hours; and the log of the store does not grow for ever."""
    long = trial(threshold=10**6)
    for hour in range(PORTIONS_PER_CHECKPOINT + 1):
        trial_answers = answers(long, *mails(50, unix_ms=NOON + hour * 3_600_000))
        assert set(trial_answers) == {PASSED}
    long._store.checkpoint()
    (count,) = long._store._db.execute("SELECT count(*) FROM ledger").fetchone()

    assert count <= 2 * 50 * 8
