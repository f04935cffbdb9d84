"""Looks names up in threads that nobody waits for.

Those of the event loop are waited for when the process ends. A name server that does not answer would make a
restart of quota take half a minute, in which nobody charges.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import NamedTuple

from aiohttp.abc import AbstractResolver, ResolveResult

CONNECT_SECONDS = 10.0  # for each address of a name


class Place(NamedTuple):
    """Where a name leads to."""

    family: socket.AddressFamily
    address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


async def look_up(host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Place]:
    """Raises OSError. If it is cancelled, the thread goes on until the system's resolver gives up."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Place]] = loop.create_future()

    def finish(found: list[Place] | OSError) -> None:
        if future.done():
            return
        if isinstance(found, OSError):
            future.set_exception(found)
        else:
            future.set_result(found)

    def ask() -> None:
        found: list[Place] | OSError
        try:
            answers = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
            found = [Place(answer[0], answer[4]) for answer in answers]
        except OSError as error:
            found = error
        except UnicodeError:  # of a name that cannot be one
            found = OSError("no host name")
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, found)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    return await future


async def connected(host: str, port: int) -> socket.socket:
    """A connection to the first address of the name that takes one. Raises OSError."""
    loop = asyncio.get_running_loop()
    problem = OSError("the name has no address")
    for place in await look_up(host, port):
        made = socket.socket(place.family, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(made, place.address)
        except OSError as error:  # TimeoutError is one
            made.close()
            problem = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise problem


class Resolver(AbstractResolver):
    """The same for aiohttp."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(place.address[0]),
                port=port,
                family=place.family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for place in await look_up(host, port, family)
        ]

    async def close(self) -> None:
        """Nothing is held."""
