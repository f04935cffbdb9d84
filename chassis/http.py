"""The metrics port: `/metrics`, `/healthz` (alive) and `/readyz` (started), answered by the event loop.

A loop that hangs therefore answers none of them; a thread would hide that.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from chassis.metrics import Metrics
from chassis.settings import Address
from chassis.sockets import free_socket_path

LAG_PROBE_SECONDS = 5.0


@asynccontextmanager
async def metrics_server(address: Address, metrics: Metrics, ready: asyncio.Event) -> AsyncIterator[None]:
    """Serve until left. Raises OSError if the address cannot be bound."""
    app = web.Application()
    app.router.add_get("/metrics", make_aiohttp_handler(metrics.registry))
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", partial(_readyz, ready))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        if address.path:
            free_socket_path(address.path)
            await web.UnixSite(runner, address.path).start()
        else:
            await web.TCPSite(runner, address.host, address.port).start()
        yield
    finally:
        await runner.cleanup()


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(ready: asyncio.Event, _: web.Request) -> web.Response:
    # The process id tells a launcher whether it was its own service that answered.
    return web.Response(text=f"{os.getpid()}\n", status=200 if ready.is_set() else 503)


async def measure_lag(metrics: Metrics) -> None:
    """Measure how late the event loop is until cancelled."""
    lag = metrics.gauge("event_loop_lag_seconds", "How late the event loop ran a timer, at the last probe.")
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_PROBE_SECONDS
        await asyncio.sleep(LAG_PROBE_SECONDS)
        lag.set(max(0.0, loop.time() - due))
