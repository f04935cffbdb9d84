"""`python -m tests.support.flooder PORT CONNECTIONS LOGIN`: sends requests without end and never reads.

A process of its own: in that of the test it would take the time of the good clients. Says `connected`, and,
when its standard input ends, how many bytes the service has taken.
"""

import select
import socket
import sys

from tests.support.policy import encode, request


def main(port: int, connections: int, login: str) -> None:
    block = memoryview(encode(request(sasl_username=login, instance="1f2a.1.0.0")) * 200)
    deaf = [Deaf(port, block) for _ in range(connections)]
    print("connected", flush=True)  # noqa: T201 - the test reads it
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        for client in deaf:
            client.send()
    print(sum(client.sent for client in deaf), flush=True)  # noqa: T201


class Deaf:
    """One connection, with as little room for replies as the system allows."""

    def __init__(self, port: int, block: memoryview) -> None:
        self._block = block
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.sent = 0

    def send(self) -> None:
        """Send what the service takes now, whole requests one after another."""
        try:
            while True:
                self.sent += self._socket.send(self._block[self.sent % len(self._block) :])
        except BlockingIOError:
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
