"""The wall clock is set back, passes midnight, and changes to and from daylight saving."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from tests.support.clock import WallClock
from tests.support.load import CONNECTIONS, FAILURE, LIMIT, Load
from tests.support.policy import PolicyClient, new_instance
from tests.support.services import Services, wait_until

HOUR = 3600.0
QUOTA_SECONDS = 1.5


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def services(tmp_path: Path, clock: WallClock) -> Iterator[Services]:
    """Not started: the clock is set first."""
    services = Services(tmp_path, {"ON_FAILURE": "defer", "THRESHOLD": str(LIMIT)})
    services.environment |= clock.environment
    try:
        yield services
    finally:
        services.stop()


def start(services: Services, *names: str) -> None:
    services.start(*names)
    services.wait_connected()


class User:
    """One user, on a connection of his own."""

    def __init__(self, services: Services, name: str) -> None:
        self._port = services.port
        self._name = name

    def send(self, count: int) -> list[str]:
        """The answers to so many mails of one recipient each."""
        with PolicyClient(self._port) as client:
            return [client.ask(sasl_username=self._name) for _ in range(count)]

    def passes(self, *, instance: str, recipient: str) -> bool:
        """Whether one more recipient of a message is accepted."""
        with PolicyClient(self._port) as client:
            answer = client.ask(sasl_username=self._name, instance=instance, recipient=recipient)
        return answer == "DUNNO"


def left(answers: list[str]) -> int:
    """How many mails passed before the limit was reached; what is refused says when it ends."""
    passed = answers.count("DUNNO")
    assert answers[:passed] == ["DUNNO"] * passed
    assert all(answer.startswith("DEFER 4.7.1 Daily limit") for answer in answers[passed:]), answers
    return passed


@pytest.mark.parametrize("seconds", [-HOUR, pytest.param(HOUR, marks=pytest.mark.full)], ids=["back", "on"])
def test_the_clock_is_set_under_load(services: Services, clock: WallClock, seconds: float) -> None:
    """By an hour, within the day: the counts are exact; only what was under way may meet its deadline."""
    clock.set("2026-11-23 12:00")
    start(services)
    with Load(services.port) as load:
        for _ in range(3):
            load.wait_for_answers(300)
            clock.move(seconds)
        load.wait_for_answers(300)

    if seconds < 0:
        load.books.assert_patient(QUOTA_SECONDS)
    else:
        assert load.books.default_actions == 0
        assert load.books.failure_actions <= 3 * CONNECTIONS or load.books.slowest > QUOTA_SECONDS
    load.books.assert_balanced(services)


def test_midnight_begins_a_day_and_setting_the_clock_back_does_not(
    services: Services, clock: WallClock
) -> None:
    """Each day keeps its own count, and a message stays in the day of its first recipient."""
    clock.set("2026-11-23 23:30")
    start(services)
    user, other = User(services, "user"), User(services, "other")
    late = {"instance": new_instance()}
    assert other.passes(recipient="first@example.net", **late)
    assert left(user.send(LIMIT + 1)) == LIMIT

    clock.set("2026-11-24 00:00:01")
    assert left(user.send(LIMIT - 1)) == LIMIT - 1
    assert other.passes(recipient="second@example.net", **late)
    assert left(other.send(LIMIT + 1)) == LIMIT

    clock.move(-HOUR)
    assert left(user.send(1)) == 0
    # Two recipients of the late message were charged to this day.
    assert left(other.send(LIMIT + 1)) == LIMIT - 2

    clock.move(HOUR)
    assert left(user.send(2)) == 1


@pytest.mark.full
def test_midnight_passes_under_load(services: Services, clock: WallClock) -> None:
    """What was accepted is charged, to one of the two days, and neither is exceeded."""
    clock.set("2026-11-23 23:55")
    start(services)
    clock.set("2026-11-23 23:59:57")
    with Load(services.port) as load:
        load.wait_for_answers(300)
        wait_until(lambda: clock.now().day == 24, what="it is midnight")
        load.wait_for_answers(300)

    books = load.books
    assert books.problems == []
    books.assert_patient(QUOTA_SECONDS)
    assert books.accepted + books.refused == books.sent
    counts = charged_by_day(services)
    assert {day for day, _ in counts} == {date(2026, 11, 23).toordinal(), date(2026, 11, 24).toordinal()}
    assert max(counts.values()) == LIMIT
    total: Counter[str] = Counter()
    for (_, user), used in counts.items():
        total[user] += used
    assert total == books.accepted


def charged_by_day(services: Services) -> dict[tuple[int, str], int]:
    """What the store holds, by day (`date.toordinal()`) and account."""
    with closing(sqlite3.connect(services.directory / "state" / "quota.sqlite3")) as db:
        rows = db.execute("SELECT c.day, a.name, c.used FROM counter c JOIN account a ON a.id = c.account")
        return {(day, name.decode()): used for day, name, used in rows if used}


@pytest.mark.parametrize(
    ("before", "after", "next_day"),
    [
        # 25 hours: 02:30 comes twice.
        ("2026-10-25 02:30", "2026-10-25 02:30", "2026-10-26 00:00:01"),
        # 23 hours: from 02:00 to 03:00 in no time.
        pytest.param(
            *("2027-03-28 01:59:50", "2027-03-28 03:00:10", "2027-03-29 00:00:01"), marks=pytest.mark.full
        ),
    ],
    ids=["autumn", "spring"],
)
def test_a_change_of_daylight_saving_is_within_a_day(
    services: Services, clock: WallClock, before: str, after: str, next_day: str
) -> None:
    """It begins none; the next midnight does."""
    clock.set(before)
    start(services)
    user = User(services, "user")
    assert left(user.send(LIMIT - 1)) == LIMIT - 1

    clock.set(after, fold=1)
    answers = user.send(2)
    assert left(answers) == 1
    assert f"it ends {next_day[:10]} 00:00" in answers[-1]

    # Its last second, however long the day is.
    clock.set(f"{before[:10]} 23:59:30")
    assert left(user.send(1)) == 0
    clock.set(next_day)
    assert left(user.send(LIMIT + 1)) == LIMIT


def test_clocks_that_differ_cost_the_failure_action_until_they_agree(
    services: Services, clock: WallClock
) -> None:
    """quota's is ahead by more than a charge may take: all of them come expired, and nothing is charged."""
    services.start("quota")
    for name in clock.environment:
        del services.environment[name]
    start(services, "decision", "frontend")
    user = User(services, "user")
    assert left(user.send(1)) == 1
    clock.move(QUOTA_SECONDS + 1)
    answers = user.send(2)
    expired = services.metric("quota", "mtpolicyd_items_expired_total")
    clock.move(-QUOTA_SECONDS - 1)

    assert [answer[: len(FAILURE)] for answer in answers] == [FAILURE] * 2
    assert expired == 2
    assert left(user.send(LIMIT)) == LIMIT - 1
