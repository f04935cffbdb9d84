"""Accepts connections of Postfix, and has all of them."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chassis.errors import StartError
from chassis.logs import Logger
from chassis.metrics import Metrics
from chassis.sockets import BACKLOG
from frontend.clients import AllowedClients
from frontend.connection import Asker, PolicyConnection
from frontend.policy_wire import WireError, WireErrorKind
from frontend.turns import Turns

# Above smtpd_policy_service_max_ttl (1,000 s): Postfix closes first and never meets a closed connection.
IDLE_SECONDS = 1200.0
SWEEP_SECONDS = 30.0
# On leaving: what was sent by then is read, half a request may become a whole one, a reply may come.
SETTLE_SECONDS = 0.05
HALF_REQUEST_SECONDS = 1.0
DRAIN_SECONDS = 4.0  # more than a request may take
# Descriptors that are no connection: listeners, gRPC, metrics, the log.
OWN_DESCRIPTORS = 64


class PolicyServer:
    """All connections. Args: most: connections at a time."""

    def __init__(
        self, asker: Asker, *, most: int, clients: AllowedClients, log: Logger, metrics: Metrics
    ) -> None:
        self._asker = asker
        self.most = most
        self.clients = clients
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._connections: set[PolicyConnection] = set()
        turns = Turns(self._loop.call_soon)
        # See frontend.connection.Connections.
        self.wait_for_turn, self.leave_turn = turns.wait, turns.leave
        self._empty = asyncio.Event()
        self._open = metrics.gauge("connections_open", "Connections from Postfix that are open.")
        self._total = metrics.counter("connections_total", "Connections from Postfix.")
        self._too_many = metrics.counter(
            "connections_refused_total", "Connections closed because of the bound."
        )
        self._not_allowed = metrics.counter(
            "clients_not_allowed_total", "Connections closed because of allowed_clients."
        )
        errors = metrics.counter(
            "protocol_errors_total", "Connections closed because of their bytes.", kind=list(WireErrorKind)
        )
        self._errors = {kind: errors.labels(kind) for kind in WireErrorKind}

    def opened(self, connection: PolicyConnection) -> bool:
        """See frontend.connection.Connections."""
        self._total.inc()
        if not self.clients.admits(connection.peer):
            self._not_allowed.inc()
            self._log.notice("client_not_allowed", client=connection.peer)
            return False
        if len(self._connections) >= self.most:
            self._too_many.inc()
            return False
        self._connections.add(connection)
        self._open.set(len(self._connections))
        return True

    def closed(self, connection: PolicyConnection) -> None:
        """See frontend.connection.Connections."""
        self._connections.discard(connection)
        self._open.set(len(self._connections))
        if not self._connections:
            self._empty.set()

    def refused(self, connection: PolicyConnection, error: WireError) -> None:
        """See frontend.connection.Connections."""
        self._errors[error.kind].inc()
        self._log.warning("protocol_error", kind=error.kind, client=connection.peer)

    @asynccontextmanager
    async def listening(self, sockets: Sequence[socket.socket]) -> AsyncIterator[None]:
        """Accept on listening sockets until left; then take no more, answer what is out, and close.

        This process's sockets are closed then. Where somebody else holds them too, whoever connects from
        then on, or is not accepted yet, waits for the next process.
        """
        loop = self._loop
        servers: list[asyncio.Server] = []
        try:
            for sock in sockets:
                create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
                servers.append(await create(self._connection, sock=sock, backlog=BACKLOG))
            yield
        finally:
            for server in servers:
                server.close()
            await self._drain()

    def _connection(self) -> PolicyConnection:
        return PolicyConnection(self, self._asker)

    async def close_idle(self) -> None:
        """Close connections that have been idle for `IDLE_SECONDS`, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            oldest = self._loop.time() - IDLE_SECONDS
            for connection in [c for c in self._connections if not c.busy and c.idle_since < oldest]:
                connection.close()

    async def _drain(self) -> None:
        if not self._connections:
            return
        self._empty.clear()
        # A request that lies unread in a socket would cost its client one of its two tries.
        await self._emptied_within(SETTLE_SECONDS)
        for connection in list(self._connections):
            connection.close_when_idle()
        if await self._emptied_within(HALF_REQUEST_SECONDS):
            return
        for connection in [c for c in self._connections if not c.busy]:
            connection.close()
        if not await self._emptied_within(DRAIN_SECONDS - HALF_REQUEST_SECONDS):
            self._log.warning("connections_cut", count=len(self._connections))

    async def _emptied_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            return False
        return True


def raise_descriptor_limit(most_connections: int) -> None:
    """Let the process open that many connections. Raises StartError if the system does not allow it."""
    wanted = most_connections + OWN_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise StartError(
            f"MTPOLICYD_MAX_CONNECTIONS={most_connections} needs {wanted} open files,"
            f" the system allows {hard}"
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
