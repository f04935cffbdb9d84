"""What a frontend's metrics say of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from admin.look.frontends import FrontendStatus, ask_frontend, read_metrics
from chassis.http import metrics_server
from chassis.metrics import Metrics
from chassis.settings import Address
from tests.support.ports import free_port

TEXT = """
# TYPE mtpolicyd_build_info gauge
mtpolicyd_build_info{version="0.1.0",python_version="3.11"} 1
process_start_time_seconds 1.8e9
mtpolicyd_stream_up{peer="decision"} 1
mtpolicyd_failure_action_in_force 1
mtpolicyd_failure_actions_total{cause="no_answer"} 3
mtpolicyd_failure_actions_total{cause="overloaded"} 0
mtpolicyd_config_last_reload_successful 0
"""


@asynccontextmanager
async def answering(text: str, status: int = 200) -> AsyncIterator[Address]:
    """A server that says this, whatever it is asked."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    address = Address("127.0.0.1", free_port())
    await web.TCPSite(runner, address.host, address.port).start()
    try:
        yield address
    finally:
        await runner.cleanup()


def test_the_metrics_say_how_it_is() -> None:
    """The causes without zeros."""
    assert read_metrics(TEXT) == FrontendStatus(
        version="0.1.0",
        started_unix_ms=1_800_000_000_000,
        connected=True,
        failing_open=True,
        failure_actions={"no_answer": 3},
        settings_good=False,
    )


@pytest.mark.parametrize("text", ["", "<html>", "up 1", TEXT.replace("stream_up", "stream_down")])
def test_other_text_is_no_frontend(text: str) -> None:
    """Whoever answers at that port."""
    with pytest.raises(ValueError, match=r"."):
        read_metrics(text)


async def test_a_frontend_is_asked_by_http() -> None:
    """At its metrics port."""
    async with answering(TEXT) as address:
        assert (await ask_frontend(address)).version == "0.1.0"


async def test_a_socket_is_asked_too(tmp_path: Path) -> None:
    """That of a chassis, whose other metrics are missing here."""
    address = Address("", 0, f"{tmp_path}/metrics")
    async with metrics_server(address, Metrics(), asyncio.Event()):
        with pytest.raises(ValueError, match="its metrics have no mtpolicyd_stream_up"):
            await ask_frontend(address)


async def test_what_does_not_answer_is_told() -> None:
    """Nobody there, or an error."""
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask_frontend(Address("127.0.0.1", free_port()))
    async with answering(TEXT, 500) as address:
        with pytest.raises(aiohttp.ClientResponseError):
            await ask_frontend(address)
