"""What Postfix's users notice while the services, or some of them, are away."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.e2e.postfix import LOCAL, Postfix, policy_check, smtpd
from tests.support.policy import AMERICAN, GERMAN
from tests.support.services import Services, running

FOREIGN = "bob@example.net"
UNAVAILABLE = (
    f"450 4.3.0 <{FOREIGN}>: Recipient address rejected: "
    "Policy service is not available, please try again later"
)
MISCONFIGURED = "451 4.3.5 <{}>: Recipient address rejected: Server configuration problem"
# Less than the three seconds that a request waits for decision.
AT_ONCE_SECONDS = 2.0

ServicesByMode = dict[str, Services]


@pytest.fixture(scope="module")
def services_by_mode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServicesByMode]:
    """Two sets of services; a test that stops one of them starts it again."""
    with ExitStack() as stack:
        yield {
            mode: stack.enter_context(running(tmp_path_factory.mktemp(mode), ON_FAILURE=mode))
            for mode in ("dunno", "defer")
        }


@pytest.fixture(scope="module")
def postfix(services_by_mode: ServicesByMode) -> Iterator[Postfix]:
    """A port 587 for each set of services, and `plain`, whose check knows no default action."""
    smtpds = {
        mode: smtpd({"08": policy_check(services.port)}, auth=True)
        for mode, services in services_by_mode.items()
    }
    plain = f"check_policy_service inet:127.0.0.1:{services_by_mode['dunno'].port}"
    with Postfix(smtpds | {"plain": smtpd({"08": plain}, auth=True)}) as postfix:
        yield postfix


@contextmanager
def without(services: Services, name: str) -> Iterator[None]:
    """One service is away inside, and back afterwards."""
    services.kill(name)
    try:
        yield
    finally:
        services.start(name)
        services.wait_connected()


def test_mail_passes_while_nothing_listens_and_is_checked_again_afterwards(
    postfix: Postfix, services_by_mode: ServicesByMode, login: str
) -> None:
    """With `default_action=DUNNO` in the check an absent frontend stops no mail."""
    with without(services_by_mode["dunno"], "frontend"):
        sent = postfix.send("dunno", FOREIGN, client=AMERICAN, login=login)
        inbound = postfix.send("dunno", LOCAL, client=AMERICAN)
    after = postfix.send("dunno", FOREIGN, client=AMERICAN, login=login)

    assert postfix.delivered(sent) == [FOREIGN]
    assert postfix.delivered(inbound) == [LOCAL]
    assert after.recipients[0].startswith("554 5.7.1 ")


def test_the_plain_check_stops_all_mail_while_nothing_listens(
    postfix: Postfix, services_by_mode: ServicesByMode, login: str
) -> None:
    """Without the default action everybody hears 451, even inbound mail, until the frontend is back."""
    with without(services_by_mode["dunno"], "frontend"):
        sent = postfix.send("plain", FOREIGN, client=GERMAN, login=login)
        inbound = postfix.send("plain", LOCAL, client=AMERICAN)
    foreign = postfix.send("plain", FOREIGN, client=AMERICAN, login=login)
    allowed = postfix.send("plain", FOREIGN, client=GERMAN, login=login)

    assert sent.recipients == [MISCONFIGURED.format(FOREIGN)]
    assert inbound.recipients == [MISCONFIGURED.format(LOCAL)]
    assert foreign.recipients[0].startswith("554 5.7.1 ")
    assert postfix.delivered(allowed) == [FOREIGN]


def test_mail_passes_unchecked_while_decision_is_away_with_dunno(
    postfix: Postfix, services_by_mode: ServicesByMode, login: str
) -> None:
    """A user who has logged in may send from anywhere for the time being."""
    with without(services_by_mode["dunno"], "decision"):
        sent = postfix.send("dunno", FOREIGN, client=AMERICAN, login=login)
    after = postfix.send("dunno", FOREIGN, client=AMERICAN, login=login)

    assert postfix.delivered(sent) == [FOREIGN]
    assert after.recipients[0].startswith("554 5.7.1 ")


def test_mail_is_deferred_while_decision_is_away_with_defer(
    postfix: Postfix, services_by_mode: ServicesByMode, login: str
) -> None:
    """A user who has logged in is asked to try again later, and can."""
    with without(services_by_mode["defer"], "decision"):
        sent = postfix.send("defer", FOREIGN, client=GERMAN, login=login)
    after = postfix.send("defer", FOREIGN, client=GERMAN, login=login)

    assert sent.recipients == [UNAVAILABLE]
    assert postfix.delivered(after) == [FOREIGN]


@pytest.mark.parametrize("mode", ["dunno", "defer"])
def test_mail_without_a_login_does_not_notice_that_decision_is_away(
    postfix: Postfix, services_by_mode: ServicesByMode, mode: str
) -> None:
    """Inbound mail passes at once, whatever the failure action."""
    with without(services_by_mode[mode], "decision"):
        started = time.monotonic()
        inbound = postfix.send(mode, LOCAL, client=AMERICAN)
        relay = postfix.send(mode, FOREIGN, client=AMERICAN)
        seconds = time.monotonic() - started

    assert postfix.delivered(inbound) == [LOCAL]
    assert relay.recipients == [f"554 5.7.1 <{FOREIGN}>: Relay access denied"]
    assert seconds < AT_ONCE_SECONDS
