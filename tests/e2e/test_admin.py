"""A user calls: from the error that Postfix shows to the limit that ends by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.postfix import Postfix, policy_check, smtpd
from tests.support.clock import WallClock
from tests.support.ctl import Ctl
from tests.support.policy import AMERICAN, GERMAN
from tests.support.services import Services

LIMIT = 3
PORT = "submission"
USER = "Anna@example.org"
ACCOUNT = "anna@example.org"


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """Of the services and of the admin; it is evening."""
    clock = WallClock(tmp_path)
    clock.set("2026-11-23 22:40")
    return clock


@pytest.fixture
def services(tmp_path: Path, clock: WallClock) -> Iterator[Services]:
    services = Services(tmp_path, {"THRESHOLD": str(LIMIT)})
    services.environment |= clock.environment
    try:
        services.start()
        services.wait_connected()
        yield services
    finally:
        services.stop()


@pytest.fixture
def postfix(services: Services) -> Iterator[Postfix]:
    with Postfix({PORT: smtpd({"08-mtpolicyd": policy_check(services.port)}, auth=True)}) as postfix:
        postfix.add_login(USER)
        yield postfix


def send(postfix: Postfix, count: int, *, client: str = GERMAN) -> list[str]:
    """What the user is told of each recipient of one mail."""
    recipients = [f"bob{number}@example.net" for number in range(count)]
    return postfix.send(PORT, *recipients, client=client, login=USER).recipients


def accepted(replies: list[str]) -> int:
    return sum(reply.startswith("250 ") for reply in replies)


def test_a_limit_is_raised_until_tonight(services: Services, postfix: Postfix, clock: WallClock) -> None:
    """Explained by the user's error, in force with the next mail, audited, and gone with the day."""
    ctl = Ctl(services, SUDO_USER="anton")
    *passed, error = send(postfix, LIMIT + 1)
    assert accepted(passed) == LIMIT
    assert error.startswith("450 4.7.1 ")

    found = ctl.json("explain", error)
    assert (found["account"], found["rule"], found["address"]) == (ACCOUNT, "quota", GERMAN)
    assert (found["used"], found["limit"], found["resets"]) == (LIMIT, LIMIT, "2026-11-24T00:00:00+01:00")
    assert f"mtpolicyctl limit set --until tonight {ACCOUNT} {2 * LIMIT}" in ctl.said("explain", error)

    ctl.said("limit", "set", "--until", "tonight", "--reason", "ticket 1", ACCOUNT, str(2 * LIMIT))
    assert accepted(send(postfix, LIMIT + 1)) == LIMIT
    (entry,) = ctl.json("audit")
    assert (entry["what"], entry["account"], entry["value"]) == ("limit", ACCOUNT, str(2 * LIMIT))
    assert (entry["until"], entry["reason"]) == ("2026-11-24T00:00:00+01:00", "ticket 1")
    assert entry["who"].startswith("anton@")

    clock.set("2026-11-23 23:59:30")
    assert [one["value"] for one in ctl.json_of("limit", "list")] == [2 * LIMIT]
    clock.set("2026-11-24 00:00:01")
    assert ctl.json_of("limit", "list") == []
    assert accepted(send(postfix, 2 * LIMIT)) == LIMIT
    assert ctl.json("usage", ACCOUNT)["limit"] == LIMIT


def test_a_traveller_is_let_through_for_two_hours(
    services: Services, postfix: Postfix, clock: WallClock
) -> None:
    """And refused as before when these are over, whatever midnight does."""
    ctl = Ctl(services)
    (error,) = send(postfix, 1, client=AMERICAN)
    assert error.startswith("554 5.7.1 ")
    assert ctl.json("explain", error)["rule"] == "country"

    ctl.said("country", "allow", "--until", "+2h", ACCOUNT, "US")
    assert accepted(send(postfix, 1, client=AMERICAN)) == 1
    clock.set("2026-11-24 00:39")
    assert accepted(send(postfix, 1, client=AMERICAN)) == 1
    clock.set("2026-11-24 00:41")
    assert accepted(send(postfix, 1, client=AMERICAN)) == 0


def test_a_thief_is_locked_out_in_the_middle_of_a_mail(services: Services, postfix: Postfix) -> None:
    """From the next recipient on; and let in again."""
    ctl = Ctl(services)
    with postfix.session(PORT, client=GERMAN, login=USER) as session:
        assert session.send("bob@example.net").accepted
        ctl.said("lock", ACCOUNT, "--reason", "stolen")
        (error,) = session.send("bob@example.net").recipients
    assert error[0] in "45"
    assert ctl.json("explain", error)["rule"] == "lock"

    ctl.said("unlock", ACCOUNT)
    assert accepted(send(postfix, 1)) == 1
