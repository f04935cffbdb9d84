"""Names are looked up in threads that nobody waits for."""

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest

from quota.notify.resolving import Resolver, connected, look_up
from tests.support.loops import in_uvloop
from tests.support.ports import free_port
from tests.support.receivers import silence


@in_uvloop
async def test_a_name_is_looked_up() -> None:
    places = await look_up("localhost", 25, socket.AF_INET)

    assert [(place.family, place.address) for place in places] == [(socket.AF_INET, ("127.0.0.1", 25))]


@pytest.mark.parametrize("host", ["relay.invalid", "a" * 64 + ".example", "..", "x" * 300])
async def test_a_name_that_leads_nowhere_is_an_error_of_the_system(host: str) -> None:
    with pytest.raises(OSError, match=r"\S"):
        await look_up(host, 25)


@in_uvloop
async def test_a_connection_goes_to_the_first_address_that_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is refused is not the last one."""
    closed = free_port()
    with silence() as port:
        answers = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)) for number in (closed, port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers)
        made = await connected("relay.example.org", 25)
        assert made.getpeername() == ("127.0.0.1", port)
        made.close()
        del answers[1]
        with pytest.raises(ConnectionRefusedError):
            await connected("relay.example.org", 25)
        answers.clear()
        with pytest.raises(OSError, match="no address"):
            await connected("relay.example.org", 25)


async def test_aiohttp_gets_what_it_asks_for() -> None:
    (found,) = await Resolver().resolve("localhost", 80, socket.AF_INET)

    assert (found["host"], found["port"], found["family"]) == ("127.0.0.1", 80, socket.AF_INET)


async def test_a_look_up_that_hangs_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer, when it comes at last, is nobody's."""
    go_on = threading.Event()

    def hang(*args: object, **kwargs: object) -> list[object]:
        go_on.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await look_up("relay.example.org", 25)
    go_on.set()
    while any(thread.name == "look-up" for thread in threading.enumerate()):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.005)


ENDS = """
import asyncio, socket, time, uvloop
from quota.notify.resolving import look_up

socket.getaddrinfo = lambda *args, **kwargs: time.sleep(60)

async def main():
    try:
        async with asyncio.timeout(0.1):
            await look_up("relay.example.org", 25)
    except TimeoutError:
        pass

uvloop.run(main())
"""


def test_a_process_ends_though_a_name_server_hangs() -> None:
    """A restart of quota takes a second, not the half minute of a resolver."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=50)

    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 30
