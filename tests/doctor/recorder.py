"""A policy service that keeps what Postfix asks it, and says DUNNO, or REJECT if it is told to."""

import socketserver

from tests.support.loopback import LoopbackServer

# decision objects and counts at these alone.
COUNTED = {"RCPT", "DATA", "END-OF-MESSAGE"}


class Recorder(LoopbackServer):
    """Listens on a loopback port while the context is entered.

    Attributes:
        requests: what was asked since the last `clear`.
        refusing: whether questions at stages that count are answered REJECT.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.refusing = False
        recorder = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                request: dict[str, str] = {}
                for line in self.rfile:
                    name, found, value = line.decode("latin-1").rstrip("\n").partition("=")
                    if found:
                        request[name] = value
                        continue
                    recorder.requests.append(request)
                    refused = recorder.refusing and request["protocol_state"] in COUNTED
                    self.wfile.write(b"action=REJECT 5.7.1 recorded\n\n" if refused else b"action=DUNNO\n\n")
                    request = {}

        super().__init__(Handler)

    def asked(self, login: str) -> bool:
        """Whether there was a question that counts, about mail of this login, since the last `clear`."""
        return any(
            request["protocol_state"] in COUNTED and request["sasl_username"] == login
            for request in self.requests
        )

    def clear(self) -> None:
        self.requests.clear()
