"""One connection of a Postfix smtpd, without a socket."""

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from frontend.connection import READ_BYTES, PolicyConnection
from frontend.policy_wire import DUNNO, WireError
from tests.support.transports import FakeAsker, FakeTransport, with_login, without_login


class Connections:
    """Notes what a server is told."""

    def __init__(self, *, room: bool = True) -> None:
        self.room = room
        self.open: list[PolicyConnection] = []
        self.errors: list[str] = []
        self.turns: deque[Callable[[], None]] = deque()
        self.turning = False
        self.stopped = False  # the test turns the loop, turn by turn
        self.places_left = 0

    def leave_turn(self) -> None:
        self.places_left += 1

    def wait_for_turn(self, turn: Callable[[], None]) -> None:
        self.turns.append(turn)
        if not (self.turning or self.stopped):
            self.turning = True
            while self.turns:
                self.turns.popleft()()
            self.turning = False

    def opened(self, connection: PolicyConnection) -> bool:
        self.open.append(connection)
        return self.room

    def closed(self, connection: PolicyConnection) -> None:
        self.open.remove(connection)

    def refused(self, connection: PolicyConnection, error: WireError) -> None:
        self.errors.append(error.kind.value)


class Client:
    """One connection and everything around it."""

    def __init__(self, *, room: bool = True) -> None:
        self.connections = Connections(room=room)
        self.asker = FakeAsker()
        self.transport = FakeTransport()
        self.connection = PolicyConnection(self.connections, self.asker)
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    def half_close(self) -> bool:
        """Whether the connection stays open for its replies; a transport closes it otherwise."""
        stays = self.connection.eof_received()
        if not stays:
            self.transport.close()
        return bool(stays)

    def vanish(self) -> None:
        self.transport.closed = True
        self.connection.connection_lost(ConnectionResetError())

    @property
    def replies(self) -> list[bytes]:
        """Those that were written whole."""
        *replies, end = self.transport.written.split(b"\n\n")
        assert end == b""
        return replies


# Requests and replies


def test_a_request_gets_exactly_one_reply() -> None:
    """As the asker gives it; the connection is kept."""
    client = Client()
    client.send(with_login(b"1"))
    assert client.replies == []

    client.asker.answer(b"1")
    assert client.transport.written == b"action=DEFER 1\n\n"
    assert client.transport.closed is False


def test_a_kept_connection_takes_request_after_request() -> None:
    """Whatever their kind."""
    client = Client()
    for instance in (b"1", b"2"):
        client.send(with_login(instance))
        client.asker.answer(instance)
        client.send(without_login())

    assert client.replies == [b"action=DEFER 1", b"action=DUNNO", b"action=DEFER 2", b"action=DUNNO"]


def test_a_request_in_pieces_is_asked_once_it_is_whole() -> None:
    """Byte for byte."""
    client = Client()
    for byte in with_login(b"1"):
        assert client.asker.instances == []
        client.send(bytes([byte]))

    assert client.asker.instances == [b"1"]


def test_requests_in_one_segment_are_asked_one_at_a_time() -> None:
    """So their replies leave in order, however long each takes."""
    client = Client()
    client.send(with_login(b"1") + without_login(b"2") + with_login(b"3"))
    assert client.asker.instances == [b"1"]

    client.asker.answer(b"1")
    assert client.asker.instances == [b"1", b"2", b"3"]
    assert client.replies == [b"action=DEFER 1", b"action=DUNNO"]

    client.asker.answer(b"3")
    assert client.replies == [b"action=DEFER 1", b"action=DUNNO", b"action=DEFER 3"]


def test_thousands_of_requests_in_one_segment_do_not_nest() -> None:
    """Each is answered at once, and the stack does not grow."""
    client = Client()
    client.send(without_login() * 5000)

    assert client.transport.written == DUNNO * 5000


# Errors


def test_what_is_no_request_gets_no_reply_but_a_close() -> None:
    """The server hears of it once, whatever comes after."""
    client = Client()
    client.send(b"nonsense\n\n" + without_login())
    client.send(b"nonsense\n\n")

    assert client.transport.written == b""
    assert (client.transport.closed, client.transport.aborted) == (True, False)
    assert client.connections.errors == ["bad_line"]
    assert client.asker.instances == []


def test_requests_before_an_error_are_answered() -> None:
    """The error counts when it is its turn."""
    client = Client()
    client.send(without_login() + with_login(b"1") + b"request=junk\n\n")
    assert client.connections.errors == []
    assert client.transport.closed is False

    client.asker.answer(b"1")
    assert client.replies == [b"action=DUNNO", b"action=DEFER 1"]
    assert client.connections.errors == ["wrong_request"]
    assert client.transport.closed is True


# The end of the client


def test_an_idle_client_that_ends_is_closed() -> None:
    """Without an error."""
    client = Client()
    client.send(without_login())

    assert client.half_close() is False
    assert client.transport.closed is True
    assert client.connections.errors == []


def test_a_half_closed_client_gets_its_reply() -> None:
    """Then the connection closes."""
    client = Client()
    client.send(with_login(b"1"))
    assert client.half_close() is True
    assert client.transport.closed is False

    client.asker.answer(b"1")
    assert client.replies == [b"action=DEFER 1"]
    assert (client.transport.closed, client.connections.errors) == (True, [])


def test_a_half_closed_client_gets_the_replies_to_all_its_requests() -> None:
    """Also to those that were not asked yet."""
    client = Client()
    client.send(with_login(b"1") + with_login(b"2"))
    client.half_close()
    client.asker.answer(b"1")
    assert client.transport.closed is False

    client.asker.answer(b"2")
    assert client.replies == [b"action=DEFER 1", b"action=DEFER 2"]
    assert client.transport.closed is True


def test_an_end_in_the_middle_of_a_request_is_an_error() -> None:
    """There is nothing to reply to."""
    client = Client()
    client.send(b"request=smtpd_access_policy\n")
    client.half_close()

    assert client.transport.written == b""
    assert (client.transport.closed, client.connections.errors) == (True, ["eof"])


def test_an_end_in_the_middle_waits_for_the_reply_before_it() -> None:
    """The whole request is answered, the other one is the error."""
    client = Client()
    client.send(with_login(b"1") + b"request=")
    assert client.half_close() is True

    client.asker.answer(b"1")
    assert client.replies == [b"action=DEFER 1"]
    assert (client.transport.closed, client.connections.errors) == (True, ["eof"])


def test_an_answer_to_a_client_that_is_gone_is_dropped() -> None:
    """And its other requests are not asked."""
    client = Client()
    client.send(with_login(b"1") + with_login(b"2"))
    client.vanish()
    assert client.connections.open == []

    client.asker.answer(b"1")
    assert client.transport.written == b""
    assert client.asker.instances == [b"1"]


# A client that does not read, or sends too much


def test_a_client_that_does_not_read_is_not_asked_for() -> None:
    """Its next requests wait until it has read."""
    client = Client()
    client.connection.pause_writing()
    client.send(without_login() * 2)
    assert client.asker.instances == []

    client.connection.resume_writing()
    assert client.replies == [b"action=DUNNO"] * 2


def test_a_client_that_stops_reading_and_half_closes_gets_everything_later() -> None:
    """The connection stays until then."""
    client = Client()
    client.connection.pause_writing()
    client.send(without_login())
    assert client.half_close() is True
    assert client.transport.closed is False

    client.connection.resume_writing()
    assert client.replies == [b"action=DUNNO"]
    assert client.transport.closed is True


def test_a_client_ahead_of_its_replies_is_not_read() -> None:
    """Until what it has sent is no whole request any more."""
    client = Client()
    client.send(with_login(b"1"))
    assert client.transport.reading is True

    client.send(without_login() + b"request=")
    assert client.transport.reading is False

    client.asker.answer(b"1")
    assert client.transport.reading is True
    assert client.replies == [b"action=DEFER 1", b"action=DUNNO"]


def test_a_client_ahead_of_its_replies_has_one_request_asked_in_a_turn() -> None:
    """So that a thousand of them leave room for their neighbours."""
    client = Client()
    client.connections.stopped = True
    client.send(without_login(b"1") + without_login(b"2") + without_login(b"3"))
    assert client.asker.instances == [b"1"]
    assert client.transport.reading is False

    client.send(without_login(b"4"))
    client.connection.resume_writing()
    for asked in ([b"1", b"2"], [b"1", b"2", b"3"], [b"1", b"2", b"3", b"4"]):
        assert len(client.connections.turns) == 1
        client.connections.turns.popleft()()
        assert client.asker.instances == asked
    assert not client.connections.turns
    assert client.transport.written == DUNNO * 4
    assert client.connections.places_left == 3


@pytest.mark.parametrize("vanishes", [False, True])
def test_the_place_of_a_turn_is_left_with_the_answer(vanishes: bool) -> None:
    """Not before, and also when the client has gone meanwhile."""
    client = Client()
    client.send(without_login(b"1") + with_login(b"2"))
    before = client.connections.places_left
    if vanishes:
        client.vanish()
    client.asker.answer(b"2")

    assert (before, client.connections.places_left) == (0, 1)


def test_a_turn_in_which_nothing_can_be_asked_leaves_its_place() -> None:
    """The client has gone, or its next bytes are no request."""
    for half in (True, False):
        client = Client()
        client.connections.stopped = True
        client.send(without_login(b"1") + b"nonsense\n\n")
        if half:
            client.vanish()
        client.connections.turns.popleft()()

        assert client.connections.places_left == 1


def test_what_is_read_and_written_at_a_time_is_bounded() -> None:
    """The bytes lie in one buffer for all connections until they are taken out of it."""
    first, second = Client(), Client()
    buffer = first.connection.get_buffer(1_000_000)
    assert len(buffer) == READ_BYTES
    assert second.connection.get_buffer(1) is buffer
    assert first.transport.most_unread == 0

    for client, data in ((first, with_login(b"1")), (second, with_login(b"2"))):
        buffer[: len(data)] = data
        client.connection.buffer_updated(len(data))
        buffer[:] = bytes(len(buffer))
    assert (first.asker.instances, second.asker.instances) == ([b"1"], [b"2"])


# The server's side


def test_without_room_a_connection_is_cut() -> None:
    """At once, before it asks anything."""
    client = Client(room=False)

    assert client.transport.aborted is True
    client.send(without_login())
    assert (client.transport.written, client.asker.instances) == (b"", [])


def test_a_connection_says_that_it_is_lost() -> None:
    """Whoever has closed it."""
    client = Client()
    assert client.connections.open == [client.connection]

    client.vanish()
    assert client.connections.open == []


def test_closing_when_idle_is_at_once_without_a_request() -> None:
    """Postfix opens a new connection when it needs one."""
    client = Client()
    client.connection.close_when_idle()

    assert (client.transport.closed, client.transport.aborted) == (True, False)


def test_closing_when_idle_answers_what_was_read() -> None:
    """The request that is out and those behind it; then the connection ends, and takes no more."""
    client = Client()
    client.send(with_login(b"1") + with_login(b"2"))
    client.connection.close_when_idle()
    client.asker.answer(b"1")
    assert client.transport.closed is False

    client.asker.answer(b"2")
    assert client.replies == [b"action=DEFER 1", b"action=DEFER 2"]
    assert client.transport.closed is True


def test_closing_when_idle_waits_for_the_rest_of_a_request() -> None:
    """It ends between requests, not in the middle of one; the reply is flushed, not thrown away."""
    client = Client()
    client.send(without_login()[:5])
    client.connection.close_when_idle()
    assert client.transport.closed is False

    client.transport.unread = 1
    client.send(without_login()[5:])
    assert client.replies == [b"action=DUNNO"]
    assert (client.transport.closed, client.transport.aborted) == (True, False)


@pytest.mark.parametrize(("unread", "aborted"), [(0, False), (1, True)])
def test_closing_does_not_wait_for_a_client_that_does_not_read(unread: int, aborted: bool) -> None:
    """It has had its time."""
    client = Client()
    client.transport.unread = unread
    client.connection.close()

    assert (client.transport.closed, client.transport.aborted) == (True, aborted)


def test_closing_a_lost_connection_does_nothing() -> None:
    """It may be lost while others are closed."""
    client = Client()
    client.vanish()
    client.connection.close()
    client.connection.close_when_idle()

    assert client.transport.aborted is False
    assert client.connection.peer is None


def test_a_connection_is_busy_between_request_and_reply() -> None:
    """And at no other time; the peer is known for the log."""
    client = Client()
    assert client.connection.busy is False
    client.send(with_login(b"1"))
    assert client.connection.busy is True
    client.asker.answer(b"1")
    assert client.connection.busy is False
    assert client.connection.peer == ("127.0.0.1", 40000)


def test_each_reply_begins_a_new_idle_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As does the opening; a half request does not."""
    clock = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr("frontend.connection.time", SimpleNamespace(monotonic=lambda: next(clock)))
    client = Client()
    times = [client.connection.idle_since]
    for data in (without_login(), without_login(), b"request="):
        client.send(data)
        times.append(client.connection.idle_since)

    assert times == [1.0, 2.0, 3.0, 3.0]
