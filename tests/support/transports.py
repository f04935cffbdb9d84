"""A client of the policy port without a socket, and somebody who answers its requests."""

import asyncio
from collections.abc import Callable
from typing import Any

from frontend.policy_wire import DUNNO, PolicyRequest


class FakeTransport(asyncio.Transport):
    """Keeps what is written; `unread` is what the client has not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unread = 0
        self.most_unread: int | None = None
        self.closed = False
        self.aborted = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "a reply to a closed connection"
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.most_unread = high

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert self.reading, "reading was paused already"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "reading was not paused"
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 40000) if name == "peername" else default


class FakeAsker:
    """Answers mail without a login at once; for the rest the test decides when."""

    def __init__(self) -> None:
        self.instances: list[bytes] = []
        self._answers: dict[bytes, Callable[[bytes], None]] = {}

    def ask(self, request: PolicyRequest, answer: Callable[[bytes], None]) -> None:
        self.instances.append(request[b"instance"])
        if request.login:
            self._answers[request[b"instance"]] = answer
        else:
            answer(DUNNO)

    def answer(self, instance: bytes) -> None:
        """The reply tells which request it belongs to."""
        self._answers.pop(instance)(b"action=DEFER %b\n\n" % instance)


def with_login(instance: bytes) -> bytes:
    """A request that waits for `FakeAsker.answer`."""
    return b"request=smtpd_access_policy\nsasl_username=alice\ninstance=%b\n\n" % instance


def without_login(instance: bytes = b"none") -> bytes:
    """A request that is answered at once."""
    return b"request=smtpd_access_policy\ninstance=%b\n\n" % instance
