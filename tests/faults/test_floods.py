"""Many, slow, deaf and senseless clients: memory is bounded, and good clients are answered quickly."""

import itertools
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.effort import STANDSTILL
from tests.support.policy import AMERICAN, PolicyClient, encode, request
from tests.support.programs import unmet
from tests.support.protos import ROOT
from tests.support.services import Services, running, wait_until

CONNECTIONS = 5000
MOST = 6000
USUAL_FILES = 1024
FLOOD_SECONDS = 20.0
MALFORMED = 100_000
P99_SECONDS = 0.05
# Besides, so many times what it takes without the flood: whatever else runs here takes its share.
CALM_SECONDS = 1.0
TIMES_CALM = 5
MEGABYTE = 1024 * 1024
GOOD_CLIENTS = 4
# What is no request, each in another way; tests/unit has the kinds one by one.
SENSELESS = [
    b"\n",
    b"nonsense\n\n",
    b"request=junk\n\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"request=smtpd_access_policy\nsender=a\0b\n\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    b"a=b\n" * 300 + b"\n",
    b"x" * 66_000,
]


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """With room for the flood and for good clients, which is more than the usual limit of open files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = before[1]
    if hard != resource.RLIM_INFINITY and hard < MOST + 100:
        unmet(f"these tests open {MOST} connections, the system allows {hard} files: ulimit -Hn {MOST + 100}")
    try:
        # The services raise their own.
        resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL_FILES, hard))
        with running(tmp_path, held=True, MAX_CONNECTIONS=str(MOST), THRESHOLD="1000000") as services:
            assert services.held is not None
            # Connections inherit it: what a client does not read is soon more than the system takes.
            services.held.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            # For this side of the connections.
            resource.setrlimit(resource.RLIMIT_NOFILE, (MOST + 100, hard))
            yield services
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def pss(services: Services, name: str = "frontend") -> int:
    """The memory of a service, in bytes: its own, and its share of what it shares."""
    rollup = Path(f"/proc/{services.processes[name].pid}/smaps_rollup").read_text()
    (line,) = [line for line in rollup.splitlines() if line.startswith("Pss:")]
    return int(line.split()[1]) * 1024


class GoodClients:
    """A few clients that ask all the time, mail with and without a login in turn."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.seconds: list[float] = []
        self.problems: list[object] = []
        with self.asking():
            time.sleep(CALM_SECONDS)
        self._calm_p99 = self._p99()

    def _ask(self, user: str) -> None:
        try:
            with PolicyClient(self._port) as client:
                for login in itertools.cycle(("", user)):
                    if self._stop.is_set():
                        return
                    started = time.monotonic()
                    answer = client.ask(sasl_username=login)
                    self.seconds.append(time.monotonic() - started)
                    if answer != "DUNNO":
                        self.problems.append(answer)
                    self._stop.wait(0.002)
        except (OSError, EOFError) as error:
            self.problems.append(error)

    @contextmanager
    def asking(self) -> Iterator[None]:
        self._stop.clear()
        self.seconds.clear()
        threads = [
            threading.Thread(target=self._ask, args=(f"good{number}",)) for number in range(GOOD_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(20)

    def _p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]

    def assert_well_served(self) -> None:
        """Every answer was right, and of a hundred answers 99 were quick."""
        assert self.problems == []
        assert len(self.seconds) > 100
        assert self._p99() < P99_SECONDS + TIMES_CALM * self._calm_p99 + STANDSTILL.longest


@contextmanager
def connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, which never block this side."""
    sockets = []
    try:
        for _ in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", port), 10))
            sockets[-1].setblocking(False)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


@pytest.mark.full
def test_five_thousand_connections_of_which_many_drip(services: Services) -> None:
    """A byte a second from each of them: a connection costs little, and its neighbours are served."""
    before = pss(services)
    half = encode(request(sasl_username="slow"))[:-2]
    good = GoodClients(services.port)
    with connected(services.port, CONNECTIONS) as sockets:
        wait_until(
            lambda: services.metric("frontend", "mtpolicyd_connections_open") >= CONNECTIONS,
            what="all are open",
        )
        with good.asking():
            end = time.monotonic() + FLOOD_SECONDS
            for number in itertools.count():
                for sock in sockets:
                    sock.send(half[number % len(half)].to_bytes())
                if time.monotonic() > end:
                    break
                time.sleep(1)
        growth = pss(services) - before

        limits = Path(f"/proc/{services.processes['frontend'].pid}/limits").read_text()
        (files,) = [line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")]
        assert int(files) >= MOST
        assert services.metric("frontend", "mtpolicyd_connections_open") >= CONNECTIONS
    good.assert_well_served()
    assert growth < 50 * MEGABYTE


@pytest.mark.full
@pytest.mark.parametrize("login", ["", "deaf"], ids=["inbound", "login"])
def test_clients_that_never_read(services: Services, login: str) -> None:
    """They send without end: the service stops reading them, and what it has of them is bounded."""
    before = pss(services)
    good = GoodClients(services.port)
    flooder = [sys.executable, "-m", "tests.support.flooder", str(services.port), "1000", login]
    with subprocess.Popen(flooder, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"connected\n"
        with good.asking():
            time.sleep(FLOOD_SECONDS)
        growth = pss(services) - before
        sent = int(process.communicate()[0])

    good.assert_well_served()
    assert sent > 100 * MEGABYTE
    assert growth < 20 * MEGABYTE


@pytest.mark.full
def test_headers_without_end_at_the_metrics_port(services: Services) -> None:
    """Each is a closed connection: nothing of it stays, and nothing is logged."""
    before = pss(services)
    logged = len(services.log("frontend"))
    good = GoodClients(services.port)
    field = b"x: " + b"x" * 4000 + b"\r\n"
    end = time.monotonic() + FLOOD_SECONDS
    with good.asking():
        while time.monotonic() < end:
            with connected(services.metrics_ports["frontend"], 10) as sockets:
                for sock in sockets:
                    sock.settimeout(10)
                    with suppress(ConnectionError):
                        sock.sendall(b"GET /metrics HTTP/1.1\r\n")
                        for _ in range(1000):
                            sock.sendall(field)
        growth = pss(services) - before
    good.assert_well_served()
    assert growth < 20 * MEGABYTE
    assert len(services.log("frontend")) == logged


@pytest.mark.parametrize("kind", [pytest.param("metrics", marks=pytest.mark.full), "gRPC"])
def test_connections_to_other_ports_take_nobody_a_descriptor(services: Services, kind: str) -> None:
    """More than a process may have open: mail is checked all the same, for the first time too."""
    listen = (services.environment[f"MTPOLICYD_{name}_LISTEN"] for name in ("DECISION", "QUOTA"))
    ports = (
        services.metrics_ports.values()
        if kind == "metrics"
        else [int(address.rpartition(":")[2]) for address in listen]
    )
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(connected(port, USUAL_FILES + 100))
        with PolicyClient(services.port) as client:
            assert client.ask(client_address=AMERICAN).startswith("REJECT")
            assert client.ask() == "DUNNO"
        assert services.metric("quota", "mtpolicyd_charges_total", outcome="charged") == 1
        for name in services.processes:
            assert services.metric(name, "process_open_fds") < USUAL_FILES / 2


@pytest.mark.full
def test_malformed_requests(services: Services) -> None:
    """Each is a closed connection and a count; nothing of it stays."""
    before = pss(services)
    good = GoodClients(services.port)
    with good.asking():
        for number in range(MALFORMED):
            # A reset is as good as an end, whenever it comes.
            with (
                socket.create_connection(("127.0.0.1", services.port), 10) as sock,
                suppress(ConnectionError),
            ):
                sock.sendall(SENSELESS[number % len(SENSELESS)])
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(100) == b""
        growth = pss(services) - before
    good.assert_well_served()
    assert services.metric("frontend", "mtpolicyd_protocol_errors_total") == MALFORMED
    assert growth < 20 * MEGABYTE
