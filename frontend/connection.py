"""One connection of a Postfix smtpd: bytes to the parser, requests to the asker, replies to the socket."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, cast

from frontend.policy_wire import PolicyParser, PolicyRequest, WireError

# As many clients as there may be can send without end and never read: all that is kept of each is this much,
# one request, and one reply that the system does not take. Postfix sends a request of less than a kilobyte.
READ_BYTES = 4 * 1024
# One for all: what was read is copied out before anything else is read.
_chunk = bytearray(READ_BYTES)


class Connections(Protocol):
    """What a connection needs of the server it belongs to."""

    def opened(self, connection: "PolicyConnection") -> bool:
        """Whether the connection may stay."""

    def closed(self, connection: "PolicyConnection") -> None: ...

    def refused(self, connection: "PolicyConnection", error: WireError) -> None:
        """Its bytes were no request; it has been closed."""

    def wait_for_turn(self, turn: Callable[[], None]) -> None:
        """Call `turn` when all that is ready now has had its turn and there is a place (turns.py)."""

    def leave_turn(self) -> None:
        """The place is free again."""


class Asker(Protocol):
    """Answers requests."""

    def ask(self, request: PolicyRequest, answer: Callable[[bytes], None]) -> None:
        """Call `answer` exactly once, now or later, with a whole reply."""


class PolicyConnection(asyncio.BufferedProtocol):
    """Asks one request at a time, so replies leave in the order of the requests.

    A client that sends its next requests before it has heard, which Postfix does not, has one request asked
    in each turn that it gets, and is not read from meanwhile: it holds nobody up and fills no memory.
    """

    def __init__(self, connections: Connections, asker: Asker) -> None:
        self._connections = connections
        self._asker = asker
        self._parser = PolicyParser()
        self._transport: asyncio.Transport | None = None
        self._asking = False  # a request is out
        self._waits_for_turn = False
        self._has_turn = False
        self._wants_more = True  # what is buffered is not a whole request
        self._writable = True
        self._reading = True
        self._at_eof = False
        self._closing_when_idle = False
        self.idle_since = time.monotonic()

    @property
    def peer(self) -> object:
        """The client's address, for the log."""
        return self._transport.get_extra_info("peername") if self._transport else None

    @property
    def busy(self) -> bool:
        """A request has no reply yet."""
        return self._asking

    def close_when_idle(self) -> None:
        """Answer what was read, and the rest of a request whose beginning was read; then close."""
        self._closing_when_idle = True
        self._close_if_idle()

    def close(self) -> None:
        """Close, without waiting for a client that does not read."""
        if self._transport is not None:
            unread = self._transport.get_write_buffer_size()
            (self._transport.abort if unread else self._transport.close)()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)
        if not self._connections.opened(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.closed(self)

    def get_buffer(self, sizehint: int) -> bytearray:
        return _chunk

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(_chunk[:nbytes])

    def data_received(self, data: bytes | bytearray) -> None:
        self._parser.receive(data)
        self._proceed()

    def eof_received(self) -> bool:
        self._at_eof = True
        self._proceed()
        # A half-closed client still reads the replies that it waits for.
        return self._asking or self._waits_for_turn or not self._writable

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._proceed()

    def _proceed(self) -> None:
        """Ask the next request if there is one and no other is out."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._asking and self._writable and not self._waits_for_turn:
            try:
                self._ask_next(self._transport)
            except WireError as error:
                # Flushes the replies that are still to be sent, as far as the client reads them.
                self._transport.close()
                self._connections.refused(self, error)
        self._throttle()
        self._close_if_idle()

    def _ask_next(self, transport: asyncio.Transport) -> None:
        request = self._parser.next_request()
        self._wants_more = request is None
        if request is not None:
            self._asking = True
            self._asker.ask(request, self._answer)
        elif self._at_eof:
            self._parser.end()
            transport.close()

    def _answer(self, reply: bytes) -> None:
        self._asking = False
        if self._has_turn:
            self._leave_turn()
        self.idle_since = time.monotonic()
        if self._transport is None:
            return
        self._transport.write(reply)
        if self._parser.buffered or self._at_eof:
            self._waits_for_turn = True
            self._connections.wait_for_turn(self._take_turn)
        else:
            self._close_if_idle()

    def _take_turn(self) -> None:
        self._waits_for_turn = False
        self._has_turn = True
        self._proceed()
        # What was asked gives the place back with its answer, which may have come by now.
        if self._has_turn and not self._asking:
            self._leave_turn()

    def _leave_turn(self) -> None:
        self._has_turn = False
        self._connections.leave_turn()

    def _close_if_idle(self) -> None:
        if self._closing_when_idle and not self._asking and not self._parser.buffered and self._transport:
            # The last reply may still be on its way: it is flushed.
            self._transport.close()

    def _throttle(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        reading = self._wants_more or not self._parser.buffered
        if reading is not self._reading:
            self._reading = reading
            (transport.resume_reading if reading else transport.pause_reading)()
