"""How the services are: asked all at once, and what of their answers is not well. No output."""

import asyncio
import os
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import aiohttp
import grpc
import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from admin.look.frontends import FrontendStatus, ask_frontend
from admin.talk.names import plain
from admin.talk.services import CALL_SECONDS, addresses_of, reason_of
from chassis.grpc_server import open_channel
from chassis.settings import Address
from protos import decision_admin_pb2, quota_admin_pb2
from protos.decision_admin_pb2_grpc import DecisionAdminStub
from protos.quota_admin_pb2_grpc import QuotaAdminStub

# As the alert MtpolicydCountryDataStale has them.
STALE_DAYS = 45
STALE_BUILT_IN_DAYS = 400
BUILT_IN = "built-in"
DAY_MS = 86_400_000
# What each service, or each host, has of its own.
_OWN = ("_listen", "_target", "_metrics", "statedir")

Status = quota_admin_pb2.QuotaStatus | decision_admin_pb2.DecisionStatus | FrontendStatus


class Service(NamedTuple):
    """One service, or one replica of it."""

    name: str
    address: Address
    status: Status | None  # None: it does not answer
    error: str = ""  # why it does not
    ready: bool = False

    @property
    def where(self) -> str:
        return f"{self.name} at {self.address}"


async def ask_all(quota: Address, decision: Address, frontend: Address) -> list[Service]:
    """Ask every address that the three stand for."""
    asking: list[Awaitable[Service]] = [_ask_frontend(address) for address in addresses_of(frontend)]
    asking += [
        _ask("decision", address, DecisionAdminStub, decision_admin_pb2.DecisionStatusRequest())
        for address in addresses_of(decision)
    ]
    asking += [
        _ask("quota", address, QuotaAdminStub, quota_admin_pb2.QuotaStatusRequest())
        for address in addresses_of(quota)
    ]
    return await asyncio.gather(*asking)


async def _ask(name: str, address: Address, stub: Any, request: Any) -> Service:
    async with open_channel(address) as channel:
        health_stub: Any = HealthStub(channel)
        try:
            status = await stub(channel).Status(request, timeout=CALL_SECONDS)
            health = await health_stub.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            return Service(name, address, None, reason_of(error))
    return Service(name, address, status, ready=health.status == health_pb2.HealthCheckResponse.SERVING)


async def _ask_frontend(address: Address) -> Service:
    try:
        return Service("frontend", address, await ask_frontend(address), ready=True)
    except (OSError, aiohttp.ClientError, ValueError) as error:
        return Service("frontend", address, None, plain(_reason(error)))


def _reason(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno)  # asyncio's own words say once more where
    return str(cause) or type(cause).__name__


class Expected(NamedTuple):
    """What the commands take for granted, which the services may see otherwise."""

    time_zone: str
    setting_lines: Sequence[str]  # decision's, by the command's environment


def problems(services: Sequence[Service], expected: Expected, *, now_unix_ms: int) -> list[str]:
    """A line for each thing that is not well."""
    found = [f"no answer from {one.where}: {one.error}" for one in services if one.status is None]
    for one in services:
        status = one.status
        if status is not None and not one.ready:
            found.append(f"{one.where} is starting or stopping")
        if isinstance(status, FrontendStatus):
            found += _of_frontend(one, status)
        elif isinstance(status, decision_admin_pb2.DecisionStatus):
            found += _of_decision(one, status, expected, now_unix_ms)
        elif isinstance(status, quota_admin_pb2.QuotaStatus) and not status.store_up:
            found.append(f"{one.where}: the store fails; see event=store_failed in its log")
        error = getattr(status, "settings_error", "")
        if error:
            found.append(f"{one.where}: newer settings are not in force: {plain(error)}")
    versions = {one.status.version for one in services if one.status is not None}
    if len(versions) > 1:
        found.append(f"the services have different versions: {', '.join(map(plain, sorted(versions)))}")
    for name in ("decision", "quota"):
        same = [one for one in services if one.name == name]
        found += [f"replicas of {name} have different settings: {line}" for line in differences(same)]
    return found


def differences(services: Iterable[Service]) -> list[str]:
    """Settings that several services have, with different values: `debug = 1 (quota at ...), 4 (...)`."""
    values: dict[str, dict[str, list[str]]] = {}
    for one in services:
        for name, value in settings_of(one.status).items():
            if not name.endswith(_OWN):
                values.setdefault(name, {}).setdefault(value, []).append(one.where)
    return [
        plain(f"{name} = " + ", ".join(f"{value} ({', '.join(who)})" for value, who in seen.items()))
        for name, seen in values.items()
        if len(seen) > 1
    ]


def settings_of(status: Status | None) -> dict[str, str]:
    """The settings in force that a service has told, by name."""
    return dict(_split(getattr(status, "setting_lines", ())))


def _split(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(" = ")
        yield name, value


def _of_frontend(one: Service, status: FrontendStatus) -> Iterator[str]:
    if status.failing_open:
        yield f"{one.where}: the failure action is in force: mail is not checked"
    elif not status.connected:
        yield f"{one.where}: no stream to decision"
    if not status.settings_good:
        yield f"{one.where}: newer settings are not in force; see event=settings_refused in its log"


def _of_decision(
    one: Service, status: decision_admin_pb2.DecisionStatus, expected: Expected, now_unix_ms: int
) -> Iterator[str]:
    if not status.quota_connected:
        yield f"{one.where}: no stream to quota"
    if not any(data.built_unix_ms for data in status.databases):
        yield f"{one.where}: no country data: mail from every country passes"
    for data in status.databases:
        if data.error:
            yield f"{one.where}: country data {plain(data.source)}: {plain(data.error)}"
        days = (now_unix_ms - data.built_unix_ms) // DAY_MS
        bound = STALE_BUILT_IN_DAYS if data.source == BUILT_IN else STALE_DAYS
        if data.built_unix_ms and days > bound:
            yield f"{one.where}: country data {plain(data.source)} is {days} days old"
    if status.time_zone != expected.time_zone:
        yield (
            f"{one.where} has days of {plain(status.time_zone)}, this command of {expected.time_zone}: "
            "give it the services' environment"
        )
    told = settings_of(status)
    for name, value in _split(expected.setting_lines):
        if name in told and told[name] != value and not name.endswith((*_OWN, "timezone", "debug")):
            yield (
                f"{one.where} has {name} = {plain(told[name])}, this command {plain(value) or '(empty)'}: "
                "give it the services' environment"
            )
