"""Where the services are, how they are asked, and what their errors mean to whoever asks."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import TypeVar

import grpc
import grpc.aio

from admin.talk.exits import EXIT_NO, EXIT_NO_SERVICE, EXIT_WRONG, EndError
from admin.talk.names import plain
from chassis.config import load_or_exit
from chassis.grpc_server import open_channel
from chassis.settings import Address
from decision.settings import Settings as DecisionSettings
from frontend.settings import Settings as FrontendSettings
from frontend.settings import reached_at

CALL_SECONDS = 10.0
T = TypeVar("T")

_CODES = {
    grpc.StatusCode.NOT_FOUND: EXIT_NO,
    grpc.StatusCode.INVALID_ARGUMENT: EXIT_WRONG,
    grpc.StatusCode.FAILED_PRECONDITION: EXIT_WRONG,
    grpc.StatusCode.UNAUTHENTICATED: EXIT_WRONG,
    grpc.StatusCode.PERMISSION_DENIED: EXIT_WRONG,
    grpc.StatusCode.RESOURCE_EXHAUSTED: EXIT_WRONG,
}


def decision_settings() -> DecisionSettings:
    """The settings of decision as the command's environment has them, or exit code 2."""
    return load_or_exit("decision", DecisionSettings).settings


def frontend_settings() -> FrontendSettings:
    """Those of the frontend, likewise."""
    return load_or_exit("frontend", FrontendSettings).settings


def frontend_target() -> Address:
    """Where the metrics of a frontend are found, which may listen on a wildcard address."""
    address = frontend_settings().frontend_metrics
    return address if address.path else Address(reached_at(address.host), address.port)


def run(service: str, target: Address, ask: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
    """Ask one service over a channel of its own. Raises EndError."""

    async def asking() -> T:
        async with open_channel(target) as channel:
            return await ask(channel)

    try:
        return asyncio.run(asking())
    except grpc.aio.AioRpcError as error:
        raise end_of(service, target, error) from error


def end_of(service: str, target: Address, error: grpc.aio.AioRpcError) -> EndError:
    """What a failed call means: that the service is away, or what it says."""
    reason = reason_of(error)
    code = _CODES.get(error.code(), EXIT_NO_SERVICE)
    if code == EXIT_NO_SERVICE:
        return EndError(code, f"no answer from {service} at {target}: {reason}")
    return EndError(code, reason)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """What gRPC or the service says, in a few words."""
    details = error.details() or error.code().name
    # `failed to connect to all addresses; last error: UNKNOWN: ipv4:...: connect: Connection refused (111)`
    return plain(details.rpartition(": ")[2] if details.startswith("failed to connect") else details)


def addresses_of(target: Address) -> list[Address]:
    """Each address that a target's name stands for; itself if it is a socket or its name is unknown."""
    if target.path:
        return [target]
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError:
        return [target]  # who asks it says that it is unknown
    hosts = list(dict.fromkeys(str(item[4][0]) for item in found))
    if len(hosts) == 1 or all(_is_loopback(host) for host in hosts):
        # `localhost` is one service, whichever of its addresses it listens at: gRPC tries them all.
        return [target]
    return [Address(host, target.port) for host in hosts]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
