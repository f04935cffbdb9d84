"""A TCP proxy on loopback that a test makes lose bytes or cut connections."""

import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

TO_SERVER, TO_CLIENT = "to server", "to client"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


class Proxy:
    """Stands between a service and the one that it asks.

    Args:
        target: the port of whoever is asked.
        delay: seconds that bytes take, each way.
    """

    def __init__(self, target: int, *, delay: float = 0.0) -> None:
        self._target = target
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._losing = False
        self._left: dict[str, int | None] = {TO_SERVER: None, TO_CLIENT: None}
        self.lost_bytes = 0
        self.cuts = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def lose_replies(self) -> None:
        """From now until `cut`: what the server sends is read and thrown away."""
        self._losing = True

    def cut_after(self, count: int, direction: str) -> None:
        """Let so many further bytes through in this direction, then cut."""
        self._left[direction] = count

    def cut(self) -> None:
        """Reset every connection; new ones are whole again."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
            self._losing = False
            self._left = {TO_SERVER: None, TO_CLIENT: None}
            self.cuts += bool(pairs)
        for pair in pairs:
            for sock in pair:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    # Wakes the thread that reads it; the reset follows with the close.
                    sock.shutdown(socket.SHUT_RD)
                sock.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            for source, sink, direction in ((client, server, TO_SERVER), (server, client, TO_CLIENT)):
                threading.Thread(target=self._pump, args=(pair, source, sink, direction), daemon=True).start()

    def _pump(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        sink: socket.socket,
        direction: str,
    ) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self._delay)
                if self._losing and direction == TO_CLIENT:
                    self.lost_bytes += len(data)
                    continue
                left = self._left[direction]
                if left is not None and len(data) >= left:
                    sink.sendall(data[:left])
                    self.cut()
                    return
                if left is not None:
                    self._left[direction] = left - len(data)
                sink.sendall(data)
        with self._lock:
            self._pairs.discard(pair)
        for sock in pair:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
