"""Services that are killed, stopped and restarted under load: the books balance, a restart costs no mail."""

import signal
import time
from pathlib import Path
from random import Random

import pytest

from tests.support.effort import FULL
from tests.support.launching import READY, launched, pid_of, read_until, signal_to, started_again
from tests.support.load import FAILURE, LIMIT, Load
from tests.support.policy import PolicyClient, encode, request
from tests.support.services import SERVICES, Services, wait_until

ROUNDS = 20 if FULL else 4
# A longer absence of one of these is an outage, by the README; a restart takes 0.6 s on an idle machine.
DEADLINE_SECONDS = {"quota": 1.5, "decision": 3.0}
SHORTEST_SECONDS = min(DEADLINE_SECONDS.values())
# An outage that is older is answered at once.
PATIENCE_SECONDS = 5.0
TRIES = 3


def test_whatever_is_killed_or_stopped_accepted_is_charged(held: Services, chance: Random) -> None:
    """At moments and with neighbours that the seed chooses: each mail has one fate, the counts are exact."""
    with Load(held.port) as load:
        for _ in range(ROUNDS):
            load.wait_for_answers(20)
            time.sleep(chance.uniform(0, 0.5))
            victims = chance.sample(SERVICES, chance.choice((1, 1, 1, 2, 3)))
            for name in victims:
                held.signal(name, chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
                time.sleep(chance.choice((0, chance.uniform(0, 0.1))))
            time.sleep(chance.choice((0, chance.uniform(0, 0.5))))
            held.start(*chance.sample(victims, len(victims)))
        held.wait_connected()
        load.wait_for_answers(200)

    load.books.assert_balanced(held)


@pytest.mark.parametrize(
    "order", [SERVICES, pytest.param(SERVICES[::-1], marks=pytest.mark.full)], ids="-".join
)
def test_a_rolling_restart_costs_nobody_a_mail(tmp_path: Path, order: tuple[str, ...]) -> None:
    """By SIGTERM under the launcher: no failure action, and nobody loses both tries of Postfix."""
    services = Services(tmp_path, {"ON_FAILURE": "defer", "THRESHOLD": str(LIMIT)})
    with launched(services) as launcher:
        read_until(launcher, READY)
        services.wait_connected()
        with Load(services.port) as load:
            for name in order:
                restart_without_failures(services, launcher.pid, name, load)
        assert load.books.default_actions == 0
        load.books.assert_balanced(services)


def restart_without_failures(services: Services, launcher: int, name: str, load: Load) -> None:
    """As the README promises for one that is quick enough; on a slow machine nobody hears of it too early."""
    books = load.books
    for _ in range(TRIES):
        load.wait_for_answers(200)
        waited = len(books.failure_seconds)
        started = time.monotonic()
        pid = signal_to(launcher, name, signal.SIGTERM)
        wait_until(lambda pid=pid: started_again(launcher, name, pid), what=f"{name} is started again")
        wait_until(lambda: is_ready(services, launcher, name), seconds=20, what=f"{name} is ready")
        services.wait_connected()
        seconds = time.monotonic() - started
        load.wait_for_answers(200)
        if len(books.failure_seconds) == waited:
            return
        assert seconds > DEADLINE_SECONDS.get(name, 0), f"a failure action in {seconds:.1f} s"
        assert seconds > PATIENCE_SECONDS or min(books.failure_seconds[waited:]) > 0.9 * SHORTEST_SECONDS


def is_ready(services: Services, launcher: int, name: str) -> bool:
    try:
        return services.ready_pid(name) == pid_of(launcher, name)
    except OSError:
        return False


def test_a_frontend_that_is_stopped_answers_what_it_was_asked(held: Services) -> None:
    """Before it ends: a request that is lost would cost its client one of its two tries."""
    held.signal("quota", signal.SIGSTOP)
    clients = [PolicyClient(held.port) for _ in range(20)]
    for client in clients:
        client.socket.sendall(encode(request()))
    wait_until(
        lambda: held.metric("frontend", "mtpolicyd_stream_items_total", direction="sent") == 20,
        what="decision is asked",
    )
    held.processes["frontend"].terminate()
    time.sleep(0.3)
    held.signal("quota", signal.SIGCONT)
    answers = [client.read_action() for client in clients]
    for client in clients:
        client.close()

    # On a slow machine the deadline may have passed.
    assert all(answer.startswith(("DUNNO", FAILURE)) for answer in answers)
    assert held.processes["frontend"].wait(10) == 0


def test_a_connection_that_comes_while_the_frontend_is_away_is_answered(held: Services) -> None:
    """It waits in the backlog of the socket that somebody holds, with its request."""
    held.signal("frontend", signal.SIGTERM)
    clients = [PolicyClient(held.port) for _ in range(20)]
    for client in clients:
        client.socket.sendall(encode(request(sasl_username="")))
    held.start("frontend")
    answers = [client.read_action() for client in clients]
    for client in clients:
        client.close()

    assert answers == ["DUNNO"] * 20
    assert held.metric("frontend", "mtpolicyd_connections_total") == 20
