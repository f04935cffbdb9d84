"""A server of a test's own, with a thread for each connection."""

import socketserver
import threading
from typing import Self


class LoopbackServer:
    """Listens on a loopback port while the context is entered.

    Args:
        handler: has one connection.
    """

    def __init__(self, handler: type[socketserver.StreamRequestHandler]) -> None:
        self._server = _Server(("127.0.0.1", 0), handler)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
