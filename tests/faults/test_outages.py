"""What Postfix hears while a service is away or hangs, and how that ends."""

import signal
import statistics
import subprocess
import sys
import threading
import time
from itertools import permutations
from pathlib import Path

import pytest

from tests.support.effort import FULL, STANDSTILL, slack
from tests.support.load import CONNECTIONS, Load
from tests.support.policy import AMERICAN, PolicyClient, new_instance
from tests.support.services import SERVICES, Services, running, wait_until

# The longest that a request of a user waits while one of these does not answer.
DEADLINE_SECONDS = {"decision": 3.0, "quota": 1.5}
MISSING_SECONDS = 60.0


def ask(services: Services, **attributes: str) -> tuple[str, float]:
    """The answer on a new connection, and the seconds that it took."""
    started = time.monotonic()
    with PolicyClient(services.port) as client:
        return client.ask(**attributes), time.monotonic() - started


def test_without_quota_foreign_mail_is_still_refused(own: Services) -> None:
    """The country rule does not need quota; mail from home hears the failure action."""
    own.kill("quota")

    assert ask(own, client_address=AMERICAN)[0].startswith("REJECT 5.7.1")
    assert ask(own)[0].startswith("DEFER 4.3.0")
    assert ask(own, sasl_username="")[0] == "DUNNO"


@pytest.mark.full
def test_without_decision_mail_without_a_login_passes_at_once(own: Services) -> None:
    """Whatever happens behind the frontend, inbound mail neither waits nor is refused."""
    own.kill("decision")
    answer, seconds = ask(own, sasl_username="", client_address=AMERICAN)

    assert answer == "DUNNO"
    assert seconds < 0.5
    assert ask(own)[0].startswith("DEFER 4.3.0")


@pytest.mark.full
def test_the_failure_action_is_dunno_by_default(tmp_path: Path) -> None:
    """Mail with a login passes unchecked while decision is away, and that is counted."""
    with running(tmp_path) as services:
        services.kill("decision")

        assert ask(services)[0] == "DUNNO"
        assert services.metric("frontend", "mtpolicyd_failure_actions_total") == 1


@pytest.mark.parametrize(
    ("name", "stopped_seconds"),
    [
        pytest.param(
            *(name, seconds),
            id=f"{name}-{seconds}s",
            marks=() if (name, seconds) == ("quota", 4) else pytest.mark.full,
        )
        for name in DEADLINE_SECONDS
        # Shorter than the deadline, longer than it, and an outage that is old.
        for seconds in (0.5, 4, 8)
    ],
)
def test_a_service_that_hangs_costs_no_more_than_the_deadline(
    held: Services, name: str, stopped_seconds: float
) -> None:
    """SIGSTOP under load: every answer comes in time; after SIGCONT all is normal within a second."""
    with Load(held.port) as load:
        load.wait_for_answers(200)
        held.signal(name, signal.SIGSTOP)
        inbound = load.books.inbound
        time.sleep(stopped_seconds)
        inbound_meanwhile = load.books.inbound - inbound
        held.signal(name, signal.SIGCONT)
        continued = time.monotonic()
        wait_until(
            lambda: ask(held, sasl_username="afterwards", instance=new_instance())[0] == "DUNNO",
            what="mail is checked again",
        )
        normal_seconds = time.monotonic() - continued
        load.wait_for_answers(200)

    assert load.books.slowest < DEADLINE_SECONDS[name] + 0.1 + slack()
    assert load.books.slowest_inbound < 0.1 + slack()
    assert inbound_meanwhile > 10 * stopped_seconds
    assert normal_seconds < 1 + STANDSTILL.longest
    load.books.assert_no_try_lost()
    if stopped_seconds > DEADLINE_SECONDS[name]:
        # Those who are answered at once, because the outage is old by then, have waited for nothing.
        waited = [seconds for seconds in load.books.failure_seconds if seconds > DEADLINE_SECONDS[name] / 2]
        # A busy machine delays one or the other answer, but not half of them.
        assert statistics.median(waited) < DEADLINE_SECONDS[name] + 0.1 + STANDSTILL.longest
    load.books.assert_patient(DEADLINE_SECONDS[name])
    load.books.assert_balanced(held, besides=["afterwards"])


@pytest.mark.full
def test_a_frontend_that_hangs_answers_when_it_goes_on(held: Services) -> None:
    """Shorter than the time-out of Postfix: whoever waited is answered on the connection that he has."""
    with Load(held.port) as load:
        load.wait_for_answers(200)
        held.signal("frontend", signal.SIGSTOP)
        answers = load.books.answers
        time.sleep(2)
        meanwhile = load.books.answers - answers
        with pytest.raises(TimeoutError), PolicyClient(held.port, timeout=0.1) as client:
            client.ask(sasl_username="")
        held.signal("frontend", signal.SIGCONT)
        load.wait_for_answers(200)

    # Those that were on their way.
    assert meanwhile <= CONNECTIONS
    load.books.assert_no_try_lost()
    load.books.assert_patient(DEADLINE_SECONDS["decision"])
    load.books.assert_balanced(held)


@pytest.mark.full
def test_an_old_outage_is_answered_at_once_and_ends_by_itself(own: Services) -> None:
    """After five seconds nobody waits; when decision is back, mail is checked again; two log lines."""
    own.kill("decision")
    deadline = time.monotonic() + 15
    seconds = 9.0
    while seconds > 0.1 and time.monotonic() < deadline:
        answer, seconds = ask(own)
        assert answer.startswith("DEFER 4.3.0")
    at_once = seconds
    own.start("decision")
    own.wait_connected()

    assert at_once < 0.1
    assert ask(own)[0] == "DUNNO"
    assert own.log("frontend").count("event=peer_down") == 1
    assert own.log("frontend").count("event=peer_up") == 1


def test_a_request_that_waits_is_answered_when_decision_comes_back(own: Services) -> None:
    """A restart shorter than the deadline costs nobody a failure."""
    own.kill("decision")
    with PolicyClient(own.port) as client:
        answers: list[str] = []
        waiting = threading.Thread(target=lambda: answers.append(client.ask()))
        waiting.start()
        own.start("decision")
        waiting.join(10)

    assert answers == ["DUNNO"]


def test_a_second_quota_on_the_same_state_stops_with_a_clear_line(own: Services) -> None:
    """The counts have one writer."""
    other = {
        "MTPOLICYD_QUOTA_LISTEN": "unix:/nonexistent/q",
        "MTPOLICYD_QUOTA_METRICS": f"unix:{own.directory}/m",
    }
    second = subprocess.run(
        [sys.executable, "-m", "quota"],
        env=own.environment | other,
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert second.returncode == 1
    assert f"the state directory {own.directory}/state is in use by another quota" in second.stdout
    assert ask(own)[0] == "DUNNO"


def test_sigterm_ends_each_service_with_exit_code_0(own: Services) -> None:
    """In any order, and quickly."""
    for name in SERVICES:
        started = time.monotonic()
        own.signal(name, signal.SIGTERM)
        assert own.processes[name].returncode == 0
        assert time.monotonic() - started < 6


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(order, id="-".join(order), marks=() if order == SERVICES[::-1] else pytest.mark.full)
        for order in permutations(SERVICES)
    ],
)
def test_services_may_start_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    """With a pause between them; once they stand, mail is checked."""
    services = Services(tmp_path, {"THRESHOLD": "1", "ON_FAILURE": "defer"})
    try:
        for name in order:
            services.start(name)
            time.sleep(0.5 if FULL else 0)
        services.wait_connected()

        assert [ask(services)[0][:12] for _ in range(2)] == ["DUNNO", "DEFER 4.7.1 "]
    finally:
        services.stop()


@pytest.mark.full
@pytest.mark.parametrize("name", DEADLINE_SECONDS)
def test_a_service_that_is_missing_for_long(held: Services, name: str) -> None:
    """Under load: an answer to every request, soon at once; checked again a second after the start."""
    with Load(held.port) as load:
        load.wait_for_answers(200)
        held.kill(name)
        time.sleep(MISSING_SECONDS)
        load.wait_for_answers(200)
        held.start(name)
        started = time.monotonic()
        held.wait_connected()
        normal_seconds = time.monotonic() - started
        load.wait_for_answers(200)

    assert normal_seconds < 1 + slack()
    assert load.books.failure_actions > 0
    assert load.books.slowest < DEADLINE_SECONDS[name] + 0.1 + slack()
    assert load.books.slowest_inbound < 0.1 + slack()
    load.books.assert_no_try_lost()
    load.books.assert_balanced(held)


def test_unchecked_mail_is_told_in_one_line_and_by_a_gauge(tmp_path: Path) -> None:
    """Whatever the cause: the admin sees that the failure action answers."""
    with running(tmp_path) as services:
        assert services.metric("frontend", "mtpolicyd_failure_action_in_force") == 0
        services.kill("quota")
        answers = [ask(services, sasl_username=f"u{number}")[0] for number in range(2)]

        assert answers == ["DUNNO", "DUNNO"]
        assert services.metric("frontend", "mtpolicyd_failure_action_in_force") == 1
        assert services.log("frontend").count("event=failure_action_in_force cause=quota_unavailable") == 1
