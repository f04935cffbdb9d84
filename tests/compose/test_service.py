"""What mail servers and admins notice of the services in containers."""

import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.compose.conftest import LIMIT
from tests.compose.engine import Engine
from tests.compose.stack import MONITORING, SERVICES, Inspected, Stack
from tests.e2e.postfix import Postfix, policy_check, smtpd
from tests.support.mmdb import write_mmdb
from tests.support.policy import AMERICAN, GERMAN, PolicyClient
from tests.support.services import wait_until

pytestmark = pytest.mark.compose

# In what a changed file is promised to be in force.
RELOAD_SECONDS = 2.0
# In what a service that has moved is found: a question that waits 3 s in vain, and a bit.
FOUND_SECONDS = 8.0
# In what all three have stopped when nobody asks them anything.
STOP_SECONDS = 10.0
# In what a service that died answers again; mail waits 3 s for it.
BACK_SECONDS = 15.0
# Two scrapes and two look-ups of the addresses.
SCRAPED_SECONDS = 60.0


def used_up(port: int, login: str) -> int:
    """How many recipients the user could still send to."""
    with PolicyClient(port) as client:
        answers = [client.ask(sasl_username=login) for _ in range(LIMIT + 1)]
    unchecked = [answer for answer in answers if "not available" in answer]
    assert not unchecked, answers
    return sum(answer == "DUNNO" for answer in answers)


def send(port: int, login: str, count: int) -> None:
    with PolicyClient(port) as client:
        assert [client.ask(sasl_username=login) for _ in range(count)] == ["DUNNO"] * count


@contextmanager
def asking(port: int) -> Iterator[list[tuple[float, str]]]:
    """Somebody abroad asks twenty times a second; each answer with its time."""
    heard: list[tuple[float, str]] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.wait(0.05):
            with suppress(OSError, EOFError), PolicyClient(port) as client:
                while not enough.wait(0.05):
                    heard.append((time.monotonic(), client.ask(client_address=AMERICAN)))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield heard
    finally:
        enough.set()
        thread.join()


def test_a_mail_from_abroad_is_refused_and_one_from_home_passes(stack: Stack, login: str) -> None:
    """At the published port, and with the command that the documents name."""
    (port,) = stack.policy_ports()
    with PolicyClient(port) as client:
        assert client.ask(sasl_username=login) == "DUNNO"
        assert client.ask(sasl_username=login, client_address=AMERICAN).startswith("REJECT 5.7.1 ")
    told = stack.compose("exec", "-T", "frontend", "mtpolicyctl", "test", "--user", login, "--ip", GERMAN)

    assert told == "DUNNO\n"
    assert used_up(port, login) == LIMIT - 2


def test_the_admins_commands_reach_every_service(stack: Stack, login: str) -> None:
    """From quota's container, where the token is; the user's next mail hears it."""

    def ctl(*words: str) -> str:
        return stack.compose("exec", "-T", "-e", "SUDO_USER=anton", "quota", "mtpolicyctl", *words)

    (port,) = stack.policy_ports()
    frontend = stack.container("frontend")
    with PolicyClient(port) as client:

        def checks() -> bool:
            client.ask(sasl_username=f"other-{login}")
            return stack.metric(frontend, 9101, "mtpolicyd_failure_action_in_force") == 0

        # An outage of another test ends some seconds after its last failure.
        wait_until(checks, seconds=30, what="mail is checked again")
        status = json.loads(ctl("status", "--json"))
        before = client.ask(sasl_username=login, client_address=AMERICAN)
        ctl("country", "allow", login, "US", "--until", "tonight", "--reason", "journey")
        after = client.ask(sasl_username=login, client_address=AMERICAN)
    (entry,) = json.loads(ctl("audit", "--json", "--user", login))

    assert (status["well"], status["problems"]) == (True, [])
    assert {one["service"] for one in status["services"]} == {"frontend", "decision", "quota"}
    assert (before[:6], after) == ("REJECT", "DUNNO")
    assert (entry["what"], entry["value"], entry["reason"]) == ("country", "US", "journey")
    assert entry["who"].startswith("anton@")


def test_postfix_refuses_and_accepts(stack: Stack) -> None:
    """A real Postfix on the host, with the check as the documents show it."""
    login = "postfix@example.org"
    (port,) = stack.policy_ports()
    with Postfix({"submission": smtpd({"08-mtpolicyd": policy_check(port)}, auth=True)}) as postfix:
        postfix.add_login(login)
        foreign = postfix.send("submission", "bob@example.net", client=AMERICAN, login=login)
        recipients = [f"bob{number}@example.net" for number in range(LIMIT + 1)]
        home = postfix.send("submission", *recipients, client=GERMAN, login=login)

        assert foreign.recipients[0].startswith("554 5.7.1 ")
        assert [reply[:3] for reply in home.recipients] == ["250"] * LIMIT + ["450"]
        assert sorted(postfix.delivered(home)) == sorted(recipients[:LIMIT])


def test_prometheus_sees_every_service_and_a_decision(stack: Stack, login: str) -> None:
    """Under the names of the jobs that rules and dashboards ask for."""
    for service, metrics_port in (("frontend", 9101), ("decision", 9102), ("quota", 9103)):
        wait_until(
            lambda service=service, port=metrics_port: stack.scraped(service, port),
            seconds=SCRAPED_SECONDS,
            what=f"Prometheus reads {service}",
        )
    decision = stack.container("decision")
    name, labels = "mtpolicyd_decisions_total", {"action": "reject", "reason": "country"}
    with PolicyClient(stack.policy_ports()[0]) as client:
        assert client.ask(sasl_username=login, client_address=AMERICAN).startswith("REJECT ")

    # The same number as the container's own: that of an earlier one stays in Prometheus for five minutes.
    counted = stack.metric(decision, 9102, name, **labels)
    selector = f'instance="{stack.address(decision, "backend")}:9102", action="reject", reason="country"'
    wait_until(
        lambda: stack.query(f"sum({name}{{{selector}}})") == counted,
        seconds=SCRAPED_SECONDS,
        what="it is counted",
    )
    assert counted
    assert stack.query('up{job="alertmanager"}') == 1


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_dies_comes_back_and_nothing_is_forgotten(stack: Stack, login: str, name: str) -> None:
    """It is started again at once, and the counts are those of before."""
    (port,) = stack.policy_ports()
    send(port, login, 5)

    stack.crash(stack.container(name))

    wait_until(lambda: _refuses(port), seconds=BACK_SECONDS, what="mail from abroad is refused")
    stack.wait_healthy(name)
    stack.wait_connected()
    assert used_up(port, login) == LIMIT - 5


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_docker_has_killed_returns_with_up(
    stack: Stack, engine: Engine, login: str, name: str
) -> None:
    """Docker takes `docker kill` for a wish: it stays away until then. The counts are those of before."""
    (port,) = stack.policy_ports()
    send(port, login, 5)
    killed = stack.container(name)["Id"]

    engine.docker("kill", killed)
    time.sleep(1)
    assert not _state(engine, killed)["Running"]
    stack.compose("up", "-d", name)

    stack.wait_healthy(name)
    stack.wait_connected()
    assert used_up(port, login) == LIMIT - 5


def test_an_alert_is_silenced_as_the_runbooks_say(stack: Stack) -> None:
    """By Alertmanager's own program, which the image has."""
    page = (stack.checkout / "docs/runbooks/README.md").read_text().replace("\\\n", "")
    (command,) = re.findall(r"^docker compose exec (alertmanager .+)$", page, re.MULTILINE)

    stack.compose("exec", "-T", *command.split())

    told = stack.run("alertmanager", "amtool", "--alertmanager.url=http://127.0.0.1:9093", "silence")
    assert "MtpolicydNoTraffic" in told


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_what_has_read_its_file_anew_is_started_again_when_it_dies(stack: Stack, name: str) -> None:
    """By the command of the documents. (After `kill -s HUP` Docker would take its end for a wish.)"""
    read = "Completed loading of configuration file"
    before = stack.compose("logs", "--no-color", name).count(read)

    stack.compose("exec", "-T", name, "sh", "-c", "kill -HUP 1")

    wait_until(
        lambda: stack.compose("logs", "--no-color", name).count(read) > before,
        seconds=10,
        what="the file is read anew",
    )
    stack.crash(stack.container(name))
    stack.wait_healthy(name)


def test_the_counts_survive_down_and_up(stack: Stack, login: str) -> None:
    """They are in a volume, which `down` leaves."""
    send(stack.policy_ports()[0], login, 5)

    stack.compose("down")
    stack.compose("up", "-d", *SERVICES, *MONITORING)
    stack.wait_healthy(*SERVICES, *MONITORING)
    stack.wait_connected()

    assert used_up(stack.policy_ports()[0], login) == LIMIT - 5


def test_a_stop_is_orderly(stack: Stack, engine: Engine) -> None:
    """No service is killed for taking too long."""
    stopped = {name: stack.container(name)["Id"] for name in SERVICES}

    started = time.monotonic()
    stack.compose("stop", *SERVICES)
    seconds = time.monotonic() - started
    codes = {name: _state(engine, one)["ExitCode"] for name, one in stopped.items()}
    stack.compose("up", "-d", *SERVICES)
    stack.wait_healthy(*SERVICES)
    stack.wait_connected()

    assert codes == dict.fromkeys(SERVICES, 0)
    assert seconds < STOP_SECONDS


def test_changed_settings_are_in_force_within_two_seconds(stack: Stack, login: str) -> None:
    """Renamed into place in the mounted directory, as editors and configuration tools do it."""
    (port,) = stack.policy_ports()
    before = stack.settings_file.read_text()

    def write(text: str) -> None:
        new = stack.settings_file.with_suffix(".new")
        new.write_text(text)
        new.replace(stack.settings_file)

    try:
        with PolicyClient(port) as client:
            assert client.ask(sasl_username=login, client_address=AMERICAN).startswith("REJECT ")
            write(before + 'allowedcountries = "US"\n')
            # Another 0.5 s for a machine that is busy.
            wait_until(
                lambda: client.ask(sasl_username=login, client_address=AMERICAN) == "DUNNO",
                seconds=RELOAD_SECONDS + 0.5,
                what="the new country is allowed",
            )
    finally:
        write(before)
        wait_until(lambda: _refuses(port), seconds=5, what="the old settings are in force")


def test_new_country_data_is_taken_over(stack: Stack, login: str) -> None:
    """What geo-update puts into its volume, decision reads, and cannot change."""
    address = "8.8.4.4"
    home, abroad = ({"country": {"iso_code": code}} for code in ("DE", "US"))
    records = {"8.8.8.0/24": abroad, "8.8.4.0/24": home, "84.128.0.0/10": home}
    # A directory of the checkout is mounted into geo-update: that of the secrets.
    file = write_mmdb(stack.checkout / "deploy/secrets/data.mmdb", "GeoLite2-Country", records)
    file.chmod(0o644)
    (port,) = stack.policy_ports()
    target = "/var/lib/GeoIP/Test-Country.mmdb"
    with PolicyClient(port) as client:
        assert client.ask(sasl_username=login, client_address=address).startswith("REJECT ")

        stack.compose("run", "--rm", "geo-update", "cp", "/run/secrets/data.mmdb", target)

        wait_until(
            lambda: client.ask(sasl_username=login, client_address=address) == "DUNNO",
            seconds=20,
            what="it is taken over",
        )
        assert client.ask(sasl_username=login, client_address=AMERICAN).startswith("REJECT ")
    assert stack.run("decision", "sh", "-c", f"rm {target} || echo refused") == "refused\n"


def test_two_decisions_and_two_frontends_count_exactly(stack: Stack, engine: Engine, login: str) -> None:
    """Asked by many at once on both ports; also while one decision dies, whose work the other takes over."""
    first = _free_pair()
    ports = {"POLICY_PORT": f"{first}-{first + 1}"}
    scale = ("--scale", "decision=2", "--scale", "frontend=2")
    try:
        stack.compose("up", "-d", *scale, *SERVICES, *MONITORING, variables=ports)
        stack.wait_healthy(*SERVICES)
        stack.wait_connected()
        left, right = stack.policy_ports()
        assert sum(_together(lambda port: used_up(port, login), [left, right] * 4)) == LIMIT

        with asking(left) as heard, ExitStack() as stack_of_clients:
            clients = [stack_of_clients.enter_context(PolicyClient(port)) for port in (left, right)]
            passed = 0
            for replica in stack.containers("decision"):
                time.sleep(1)
                engine.docker("kill", replica["Id"])
                time.sleep(1)
                for client in clients:
                    passed += client.ask(sasl_username=f"more-{login}") == "DUNNO"
                engine.docker("start", replica["Id"])
                stack.wait_healthy("decision")
        assert passed == 4
        assert used_up(right, f"more-{login}") == LIMIT - 4
        # Nobody from abroad slipped through while the stream moved to the other replica.
        assert {answer.split()[0] for _, answer in heard} == {"REJECT"}
        assert len(heard) > 20

        wait_until(
            lambda: stack.scraped("decision", 9102),
            seconds=SCRAPED_SECONDS,
            what="Prometheus finds both replicas",
        )
    finally:
        stack.compose("up", "-d", "--scale", "decision=1", "--scale", "frontend=1", *SERVICES, *MONITORING)
        stack.wait_healthy(*SERVICES)
        stack.wait_connected()


def test_a_decision_that_moves_twice_is_found_soon(stack: Stack, engine: Engine) -> None:
    """With another address each time, as after two quick restarts; gRPC would not look for half a minute."""
    (port,) = stack.policy_ports()
    one = stack.container("decision")
    network = f"{stack.name}_backend"
    fillers = []
    try:
        for number in range(2):
            engine.docker("network", "disconnect", network, one["Id"])
            fillers.append(_fill_address(engine, network, number))
            engine.docker("network", "connect", "--alias", "decision", network, one["Id"])
            wait_until(lambda: _refuses(port), seconds=FOUND_SECONDS, what="decision is found")
    finally:
        for filler in fillers:
            engine.docker("rm", "-f", filler)
    stack.wait_connected()


def _fill_address(engine: Engine, network: str, number: int) -> str:
    """A container that takes the address that has just become free."""
    arguments = ("run", "--detach", "--name", f"filler-{os.getpid()}-{number}", "--network", network)
    return engine.docker(*arguments, "debian:bookworm-slim", "sleep", "60").strip()


def _state(engine: Engine, container: str) -> Inspected:
    (found,) = json.loads(engine.docker("inspect", container))
    state: Inspected = found["State"]
    return state


def _free_pair() -> int:
    """The first of two free ports; below those that the kernel gives to clients, ip(7)."""
    for first in range(20000, 32000, 2):
        with suppress(OSError), ExitStack() as stack:
            for port in (first, first + 1):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError("no two ports are free")


def _refuses(port: int) -> bool:
    """Whether mail from abroad is; whoever asks so until it is may have used up the day's mails."""
    try:
        with PolicyClient(port) as client:
            return client.ask(sasl_username="abroad", client_address=AMERICAN).startswith("REJECT ")
    except (OSError, EOFError):
        return False


def _together(work: Callable[[int], int], ports: list[int]) -> list[int]:
    """Each in a thread of its own."""
    results: list[int] = []
    threads = [threading.Thread(target=lambda port=port: results.append(work(port))) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(ports)
    return results
