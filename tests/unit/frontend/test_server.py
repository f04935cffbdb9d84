"""Connections of Postfix, on listening sockets."""

import asyncio
import resource
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from chassis.errors import StartError
from chassis.sockets import Listeners
from chassis.sockets import listening as listening_sockets
from chassis.tasks import background
from frontend import server
from frontend.clients import LOOPBACK, AllowedClients, Networks
from frontend.connection import PolicyConnection
from frontend.policy_wire import DUNNO, WireErrorKind
from frontend.server import (
    DRAIN_SECONDS,
    HALF_REQUEST_SECONDS,
    IDLE_SECONDS,
    SETTLE_SECONDS,
    SWEEP_SECONDS,
    PolicyServer,
    raise_descriptor_limit,
)
from tests.support.loops import in_uvloop
from tests.support.observed import Observed
from tests.support.ports import free_port
from tests.support.transports import FakeAsker, FakeTransport, with_login, without_login
from tests.support.virtual_time import in_virtual_time, now, settle

LOCALHOST = "127.0.0.1"


class Policy:
    """A server with an asker that the test answers for."""

    def __init__(self, *, most: int = 100, clients: Networks = LOOPBACK) -> None:
        self.seen = Observed()
        self.asker = FakeAsker()
        self.port = free_port()
        self.server = PolicyServer(
            self.asker,
            most=most,
            clients=AllowedClients(clients),
            log=self.seen.log.logger,
            metrics=self.seen.metrics,
        )

    @asynccontextmanager
    async def listening(
        self, *hosts: str, path: Path | None = None, mode: int = 0o660
    ) -> AsyncIterator[None]:
        where = Listeners(hosts or (LOCALHOST,), self.port, str(path or ""), mode)
        with listening_sockets(where) as sockets:
            async with self.server.listening(sockets):
                yield

    async def until(self, name: str, value: float) -> None:
        """Wait for a metric to have the value."""
        async with asyncio.timeout(5):
            while self.seen.sample(name) != value:  # noqa: ASYNC110 - a metric sets no event
                await asyncio.sleep(0.001)

    async def until_asked(self, instance: bytes) -> None:
        """Wait for a request to reach the asker."""
        async with asyncio.timeout(5):
            while instance not in self.asker.instances:  # noqa: ASYNC110 - it comes from a socket
                await asyncio.sleep(0.001)


class Client:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, host: str = LOCALHOST) -> "Client":
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readuntil(b"\n\n")

    async def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


# Listening


@in_uvloop
async def test_it_listens_on_all_hosts_at_the_port() -> None:
    """IPv4 and IPv6."""
    policy = Policy()
    async with policy.listening(LOCALHOST, "::1"):
        for host in (LOCALHOST, "::1"):
            client = await Client.connect(policy.port, host)
            await client.send(without_login())
            assert await client.reply() == DUNNO
            await client.close()


@pytest.mark.parametrize("mode", [0o600, 0o666])
@in_uvloop
async def test_it_listens_on_a_unix_socket_beside_the_port(mode: int, tmp_path: Path) -> None:
    """With the access rights of the settings; one that was left behind is replaced."""
    path = tmp_path / "policy.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    policy = Policy()
    async with policy.listening(path=path, mode=mode):
        assert path.stat().st_mode & 0o777 == mode
        for client in (
            Client(*await asyncio.open_unix_connection(path)),
            await Client.connect(policy.port),
        ):
            await client.send(without_login())
            assert await client.reply() == DUNNO
            await client.close()


# Connections


@in_uvloop
async def test_a_connection_is_kept_for_request_after_request() -> None:
    """Each gets exactly one reply."""
    policy = Policy()
    async with policy.listening():
        client = await Client.connect(policy.port)
        replies = []
        for number in range(3):
            instance = b"%d" % number
            await client.send(with_login(instance))
            await policy.until_asked(instance)
            policy.asker.answer(instance)
            replies.append(await client.reply())
        client.writer.write_eof()
        assert await client.rest() == b""
        await client.close()

    assert replies == [b"action=DEFER 0\n\n", b"action=DEFER 1\n\n", b"action=DEFER 2\n\n"]


@in_uvloop
async def test_a_half_closed_connection_gets_its_reply_and_ends() -> None:
    """The client has sent its last request and its end; the reply comes later."""
    policy = Policy()
    async with policy.listening():
        client = await Client.connect(policy.port)
        await client.send(without_login() + with_login(b"1"))
        client.writer.write_eof()
        assert await client.reply() == DUNNO
        await asyncio.sleep(0.02)
        policy.asker.answer(b"1")
        assert await client.rest() == b"action=DEFER 1\n\n"
        await client.close()
        await policy.until("connections_open", 0)

    assert policy.seen.log.lines == []


@in_uvloop
async def test_a_client_that_sends_far_ahead_and_half_closes_gets_every_reply() -> None:
    """Although the reading pauses on the way."""
    policy = Policy()
    requests = 6000
    async with policy.listening():
        client = await Client.connect(policy.port)
        sending = asyncio.create_task(client.send(with_login(b"1") + without_login() * requests))
        await policy.until_asked(b"1")
        await asyncio.sleep(0.02)
        policy.asker.answer(b"1")
        await sending
        client.writer.write_eof()
        data = await client.rest()
        await client.close()

    assert data == b"action=DEFER 1\n\n" + DUNNO * requests


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("bad_line", b"request=smtpd_access_policy\nnonsense\n\n"),
        ("no_request", b"sender=a\n\n"),
        ("wrong_request", b"request=junk\n\n"),
        ("nul", b"request=smtpd_access_policy\nsender=a\0b\n\n"),
        ("too_many", b"request=smtpd_access_policy\n" + b"a=b\n" * 200 + b"\n"),
        ("too_long", b"request=smtpd_access_policy\na=" + b"x" * 65536 + b"\n\n"),
        # Nothing is left unread: that would be a reset instead of an end.
        ("too_long", b"x" * 65_538),
        ("eof", b"request=smtpd_access_policy\n"),
    ],
)
@in_uvloop
async def test_what_is_no_request_is_closed_counted_and_logged(kind: str, data: bytes) -> None:
    """Without a reply to it; the request before it is answered."""
    policy = Policy()
    async with policy.listening():
        client = await Client.connect(policy.port)
        peer = client.writer.get_extra_info("sockname")
        await client.send(without_login() + data)
        if kind == "eof":
            client.writer.write_eof()
        assert await client.rest() == DUNNO
        await client.close()
        await policy.until("connections_open", 0)

    assert policy.seen.samples("protocol_errors_total") == {
        (each.value,): int(each == kind) for each in WireErrorKind
    }
    assert policy.seen.log.lines == [
        {"event": "protocol_error", "level": "warning", "kind": kind, "client": peer}
    ]


@in_uvloop
async def test_beyond_the_bound_a_connection_is_closed_at_once() -> None:
    """It is counted, the others are not disturbed, and a free place is used again."""
    policy = Policy(most=2)
    async with policy.listening():
        clients = [await Client.connect(policy.port) for _ in range(2)]
        await policy.until("connections_open", 2)
        one_more = await Client.connect(policy.port)
        assert await one_more.rest() == b""
        await one_more.close()
        for client in clients:
            await client.send(without_login())
            assert await client.reply() == DUNNO
        assert policy.seen.sample("connections_open") == 2

        await clients[0].close()
        await policy.until("connections_open", 1)
        another = await Client.connect(policy.port)
        await another.send(without_login())
        assert await another.reply() == DUNNO
        for client in (another, clients[1]):
            await client.close()
        await policy.until("connections_open", 0)

    assert policy.seen.sample("connections_refused_total") == 1
    assert policy.seen.sample("connections_total") == 4


@in_uvloop
async def test_a_client_that_is_not_allowed_is_closed_counted_and_logged() -> None:
    """At once, without an answer; it takes no place."""
    policy = Policy(most=1, clients=())
    async with policy.listening():
        client = await Client.connect(policy.port)
        peer = client.writer.get_extra_info("sockname")
        assert await client.rest() == b""
        await client.close()
        assert policy.seen.sample("connections_open") == 0

        policy.server.clients = AllowedClients(LOOPBACK)
        allowed = await Client.connect(policy.port)
        await allowed.send(without_login())
        assert await allowed.reply() == DUNNO
        await allowed.close()
        await policy.until("connections_open", 0)

    assert policy.seen.sample("clients_not_allowed_total") == 1
    assert policy.seen.sample("connections_refused_total") == 0
    assert policy.seen.log.lines == [{"event": "client_not_allowed", "level": "notice", "client": peer}]


@in_uvloop
async def test_a_client_that_vanishes_frees_its_place() -> None:
    """With a request out, or half a request sent; it is no protocol error."""
    policy = Policy()
    async with policy.listening():
        for data in (with_login(b"1"), b"request="):
            client = await Client.connect(policy.port)
            await client.send(data)
            await policy.until("connections_open", 1)
            linger = struct.pack("ii", 1, 0)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.writer.transport.abort()
            await policy.until("connections_open", 0)
        policy.asker.answer(b"1")

    assert policy.seen.log.lines == []


@in_uvloop
async def test_all_metrics_are_there_from_the_start() -> None:
    """Every kind of error at 0."""
    seen = Policy().seen

    assert seen.samples("protocol_errors_total") == {(kind.value,): 0 for kind in WireErrorKind}
    assert [seen.sample(f"connections_{name}") for name in ("open", "total", "refused_total")] == [0, 0, 0]


# Idle connections


@in_virtual_time
async def test_an_idle_connection_is_closed_after_1200_seconds() -> None:
    """Later than Postfix closes it; one that waits for its reply is not idle."""
    policy = Policy()
    loop = asyncio.get_running_loop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("frontend.connection.time", SimpleNamespace(monotonic=loop.time))
        async with policy.listening(), background(policy.server.close_idle(), died=pytest.fail):
            idle, busy, used = (FakeTransport() for _ in range(3))
            connections = []
            for transport in (idle, busy, used):
                connections.append(PolicyConnection(policy.server, policy.asker))
                connections[-1].connection_made(transport)
            connections[1].data_received(with_login(b"1"))
            await asyncio.sleep(IDLE_SECONDS / 2)
            connections[2].data_received(without_login())
            await asyncio.sleep(IDLE_SECONDS / 2)
            assert [transport.closed for transport in (idle, busy, used)] == [False, False, False]

            await asyncio.sleep(SWEEP_SECONDS + 1)
            assert [transport.closed for transport in (idle, busy, used)] == [True, False, False]
            assert now() == 1200 + SWEEP_SECONDS + 1

            policy.asker.answer(b"1")
            await asyncio.sleep(IDLE_SECONDS - SWEEP_SECONDS)
            assert [transport.closed for transport in (busy, used)] == [False, True]
            for connection in connections:
                connection.connection_lost(None)


# Leaving


class Leaving:
    """A server that is left when the test says so."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._leave = asyncio.Event()
        self._listening = asyncio.Event()
        self.serving = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        async with self._policy.listening():
            self._listening.set()
            await self._leave.wait()

    async def began(self) -> None:
        await self._listening.wait()

    async def leave(self) -> None:
        self._leave.set()
        await asyncio.sleep(0)

    async def left(self) -> None:
        await asyncio.wait_for(self.serving, 5)


@in_uvloop
async def test_leaving_answers_what_is_out_and_closes() -> None:
    """No new connection is taken; idle ones are closed at once."""
    policy = Policy()
    server = Leaving(policy)
    await server.began()
    idle, busy = await Client.connect(policy.port), await Client.connect(policy.port)
    await busy.send(with_login(b"1"))
    await policy.until("connections_open", 2)
    await policy.until_asked(b"1")
    await server.leave()
    assert await idle.rest() == b""
    assert server.serving.done() is False

    policy.asker.answer(b"1")
    assert await busy.rest() == b"action=DEFER 1\n\n"
    await server.left()
    with pytest.raises(ConnectionError):
        await Client.connect(policy.port)
    assert policy.seen.log.lines == []
    for client in (idle, busy):
        await client.close()


@in_uvloop
async def test_a_request_that_lies_unread_when_leaving_is_answered() -> None:
    """It was sent before: its client shall not lose one of its two tries."""
    policy = Policy()
    server = Leaving(policy)
    await server.began()
    client = await Client.connect(policy.port)
    await policy.until("connections_open", 1)
    # Both in one turn of the loop: the server has had no time to read.
    client.writer.write(without_login())
    await server.leave()
    assert await client.rest() == DUNNO
    await server.left()
    await client.close()


@in_uvloop
async def test_half_a_request_may_become_a_whole_one_while_leaving() -> None:
    """A connection is closed between requests, not in the middle of one."""
    policy = Policy()
    server = Leaving(policy)
    await server.began()
    client = await Client.connect(policy.port)
    first, second = without_login()[:10], without_login()[10:]
    await client.send(first)
    await policy.until("connections_open", 1)
    await server.leave()
    await asyncio.sleep(2 * SETTLE_SECONDS)
    await client.send(second)
    assert await client.rest() == DUNNO
    await server.left()
    await client.close()


@in_uvloop
async def test_who_is_not_accepted_yet_waits_for_the_next_process() -> None:
    """Where somebody holds the listening socket, leaving costs nobody a connection."""
    policy = Policy()
    with listening_sockets(Listeners((LOCALHOST,), policy.port)) as held:
        async with policy.server.listening([held[0].dup()]):
            pass
        client = await Client.connect(policy.port)
        await client.send(without_login())
        async with Policy().server.listening([held[0].dup()]):
            assert await client.reply() == DUNNO
            await client.close()


@in_virtual_time
async def test_leaving_does_not_wait_for_ever() -> None:
    """Longer than a request may take; then the connections are cut, with a line."""
    policy = Policy()
    async with policy.listening():
        connection = PolicyConnection(policy.server, policy.asker)
        connection.connection_made(FakeTransport())
        connection.data_received(with_login(b"1"))

    assert now() == SETTLE_SECONDS + DRAIN_SECONDS
    assert policy.seen.log.lines == [{"event": "connections_cut", "level": "warning", "count": 1}]


@in_virtual_time
async def test_leaving_waits_a_moment_only_for_the_rest_of_a_request() -> None:
    """Or for a client that does not read; neither is worth a line."""
    policy = Policy()
    slow, deaf = FakeTransport(), FakeTransport()
    async with policy.listening():
        for transport, data in ((slow, b"request="), (deaf, without_login())):
            connection = PolicyConnection(policy.server, policy.asker)
            connection.connection_made(transport)
            if transport is deaf:
                connection.pause_writing()
            connection.data_received(data)
            # As a transport does some time after it was closed.
            asyncio.get_running_loop().call_at(2.0, connection.connection_lost, None)

    assert (slow.closed, deaf.closed) == (True, True)
    assert SETTLE_SECONDS + HALF_REQUEST_SECONDS < now() == 2.0
    assert policy.seen.log.lines == []


@in_virtual_time
async def test_leaving_waits_no_longer_than_needed() -> None:
    """The last connection that closes ends the waiting."""
    policy = Policy()
    connection = PolicyConnection(policy.server, policy.asker)

    async def answer_later() -> None:
        await asyncio.sleep(1)
        policy.asker.answer(b"1")
        connection.connection_lost(None)

    async with policy.listening():
        connection.connection_made(FakeTransport())
        connection.data_received(with_login(b"1"))
        answering = asyncio.create_task(answer_later())
        await settle()
    await answering

    assert now() == 1
    assert policy.seen.log.lines == []


# Open files


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((1024, 1_000_000), (5064, 1_000_000)),
        ((5063, 5064), (5064, 5064)),
        ((1024, resource.RLIM_INFINITY), (5064, resource.RLIM_INFINITY)),
        ((5064, 5064), None),
        ((100_000, 1_000_000), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_needed(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], expected: tuple[int, int] | None
) -> None:
    """For the connections and 64 more; never lowered."""
    wanted: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: wanted.append(new))
    raise_descriptor_limit(5000)

    assert wanted == ([] if expected is None else [expected])
    assert server.OWN_DESCRIPTORS == 64


def test_too_few_open_files_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting, what it needs, and what the system allows."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(StartError) as caught:
        raise_descriptor_limit(5000)

    assert str(caught.value) == (
        "MTPOLICYD_MAX_CONNECTIONS=5000 needs 5064 open files, the system allows 4096"
    )
