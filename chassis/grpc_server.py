"""One gRPC server with `grpc.health.v1`, and the channel that a client of ours uses.

Keepalive on both sides: a peer whose machine vanished is noticed in about 15 s, not after TCP's hours.
Channel arguments: https://grpc.github.io/grpc/core/group__grpc__arg__keys.html
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from chassis.errors import StartError
from chassis.settings import Address
from chassis.sockets import free_socket_path

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
STOP_SECONDS = 3.0
# Services of ours and admins' commands, one each; beyond that they would take the store its descriptors.
MAX_CONNECTIONS = 256
_KEEPALIVE = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
_SERVER = (
    *_KEEPALIVE,
    # Two servers on one port would share its connections silently.
    ("grpc.so_reuseport", 0),
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_CLIENT = (
    *_KEEPALIVE,
    # A peer that restarts is away for less than a second, and every request waits for it meanwhile.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
    # Despite its name, how long one attempt may take: a far or busy machine needs its time for a handshake.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    # A container that comes back may have another address; gRPC would ask the DNS every 30 s at most.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A proxy of the environment is for the Internet, not for the services' own connections.
    ("grpc.enable_http_proxy", 0),
)


@asynccontextmanager
async def grpc_server(
    address: Address,
    *,
    service: str,
    also: Sequence[str] = (),
    register: Callable[[grpc.aio.Server], None],
    drain: Callable[[], Awaitable[None]],
) -> AsyncIterator[grpc.aio.Server]:
    """Serve until left; then say NOT_SERVING, let `drain` end the streams, and stop.

    Args:
        service: full name, for grpc.health.v1 beside the name "".
        also: those of further services on the port.

    Raises:
        StartError: the address cannot be bound.
    """
    server = grpc.aio.server(options=_SERVER)
    register(server)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if address.path:
        free_socket_path(address.path)
    try:
        server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise StartError(f"cannot listen on {address}: is another instance running?") from error
    await server.start()
    for name in ("", service, *also):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield server
    finally:
        await health.enter_graceful_shutdown()
        await drain()
        await server.stop(STOP_SECONDS)


def open_channel(target: Address) -> grpc.aio.Channel:
    """A channel to one of our services; it connects when it is first used, and again by itself."""
    name = str(target) if target.path else f"dns:///{target}"
    return grpc.aio.insecure_channel(name, options=_CLIENT)
