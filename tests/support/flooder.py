"""`python -m tests.support.flooder PORT CONNECTIONS LOGIN`: sends requests without end and never reads.

A process of its own: in that of the test it would take the time of the good clients. Says `connected`, and,
when its standard input ends, how many bytes the service has taken.
"""

import select
import socket
import sys
from contextlib import suppress

from tests.support.policy import encode, request


def main(port: int, connections: int, login: str) -> None:
    block = encode(request(sasl_username=login, instance="1f2a.1.0.0")) * 200
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for sock in sockets:
        sock.setblocking(False)
    print("connected", flush=True)  # noqa: T201 - the test reads it
    sent = 0
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        for sock in sockets:
            with suppress(BlockingIOError):
                while True:
                    sent += sock.send(block)
    print(sent, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
