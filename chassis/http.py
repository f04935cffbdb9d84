"""The metrics port: `/metrics`, `/healthz` (alive) and `/readyz` (started), answered by the event loop.

A loop that hangs therefore answers none of them; a thread would hide that.

Whoever connects is read one short request, answered, and closed. The bounds are why no library serves it:
mail must not lose its descriptors or its memory to somebody who holds thousands of connections, or sends a
header without end.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from prometheus_client.exposition import choose_encoder

from chassis.metrics import Metrics
from chassis.settings import Address
from chassis.sockets import free_socket_path

# One more takes the place of the oldest: who asks at once is answered at once, however many only wait.
MAX_CONNECTIONS = 16
MAX_REQUEST_BYTES = 16 * 1024
ANSWER_SECONDS = 10.0  # Prometheus' own scrape_timeout, for the request, the answer, and its way
_TEXT = "text/plain; charset=utf-8"
_END = b"\r\n\r\n"

# Of the value of the header `Accept`; returns status, content type and body.
_Answer = tuple[HTTPStatus, str, bytes]
_Route = Callable[[str], _Answer]


@asynccontextmanager
async def metrics_server(address: Address, metrics: Metrics, ready: asyncio.Event) -> AsyncIterator[None]:
    """Serve until left. Raises OSError if the address cannot be bound."""

    def show(accept: str) -> _Answer:
        encode, content_type = choose_encoder(accept)
        return HTTPStatus.OK, content_type, encode(metrics.registry)

    def healthz(_: str) -> _Answer:
        return HTTPStatus.OK, _TEXT, b"ok\n"

    def readyz(_: str) -> _Answer:
        status = HTTPStatus.OK if ready.is_set() else HTTPStatus.SERVICE_UNAVAILABLE
        # The process id tells a launcher whether it was its own service that answered.
        return status, _TEXT, b"%d\n" % os.getpid()

    port = _Port({"/metrics": show, "/healthz": healthz, "/readyz": readyz})
    if address.path:
        free_socket_path(address.path)
        server = await asyncio.start_unix_server(port.serve, address.path, limit=MAX_REQUEST_BYTES)
    else:
        server = await asyncio.start_server(port.serve, address.host, address.port, limit=MAX_REQUEST_BYTES)
    try:
        yield
    finally:
        server.close()
        port.close()


class _Port:
    """The connections. Args: routes: by path."""

    def __init__(self, routes: dict[str, _Route]) -> None:
        self._routes = routes
        self._open: dict[asyncio.WriteTransport, None] = {}  # oldest first

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = writer.transport
        # All of the answer is with the system before the connection is closed.
        transport.set_write_buffer_limits(high=0)
        if len(self._open) >= MAX_CONNECTIONS:
            self._abort(next(iter(self._open)))
        self._open[transport] = None
        try:
            # It ends early, sends too long a head, or sends or reads too slowly.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    writer.write(self._answer(await reader.readuntil(_END)))
                    await writer.drain()
                    transport.close()
        finally:
            self._abort(transport)

    def close(self) -> None:
        """Wait for nobody."""
        for transport in list(self._open):
            self._abort(transport)

    def _abort(self, transport: asyncio.WriteTransport) -> None:
        self._open.pop(transport, None)
        if not transport.is_closing():
            transport.abort()

    def _answer(self, head: bytes) -> bytes:
        """To a request (RFC 9112) without its body."""
        request, *fields = head.decode("latin-1").split("\r\n")
        method, _, rest = request.partition(" ")
        target, _, version = rest.partition(" ")
        route = self._routes.get(target.partition("?")[0])
        if not version.startswith("HTTP/1."):
            status, content_type, body = _problem(HTTPStatus.BAD_REQUEST)
        elif route is None:
            status, content_type, body = _problem(HTTPStatus.NOT_FOUND)
        elif method not in ("GET", "HEAD"):
            status, content_type, body = _problem(HTTPStatus.METHOD_NOT_ALLOWED)
        else:
            named = [field.partition(":") for field in fields]
            accept = ",".join(value.strip() for name, _, value in named if name.lower() == "accept")
            status, content_type, body = route(accept)
        answer = (
            f"HTTP/1.1 {status} {status.phrase}\r\n"
            f"Content-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Allow: GET, HEAD\r\n"
            "Connection: close\r\n\r\n"
        ).encode()
        return answer if method == "HEAD" else answer + body


def _problem(status: HTTPStatus) -> _Answer:
    return status, _TEXT, f"{status} {status.phrase}\n".encode()
