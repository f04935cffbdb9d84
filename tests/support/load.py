"""Clients that send as Postfix does, all the time, and the books of what they were told.

A client sends one request at a time on a connection that it keeps. If that fails it tries once more on a
new connection, and then takes its own default action, as smtpd does. A mail that met a failure is sent
again with the same instance until its fate is known, as from the queue of a mail server: so at the end
every mail was either accepted or refused, and what was accepted can be compared with what was charged.
"""

import itertools
import select
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing
from types import TracebackType
from typing import NamedTuple, Self

from tests.support.effort import STANDSTILL
from tests.support.policy import PolicyClient, new_instance
from tests.support.services import Services, wait_until

CONNECTIONS = 50
FAILURE = "DEFER 4.3.0 "
OVER_THE_LIMIT = "DEFER 4.7.1 "
# Each user sends more than the limit allows, on many connections at once.
LIMIT = 50
MAILS_OF_A_USER = 60
# Clients that send nothing but mail without a login: whoever sends mail of users too is held up by that.
INBOUND_CONNECTIONS = 2
INBOUND_PAUSE_SECONDS = 0.005
# smtpd_policy_service_retry_delay is 1 s; a shorter one is harder to live with.
RETRY_SECONDS = 0.1
AGAIN_SECONDS = 0.05
# In the README's lines for Postfix: longer than any answer may take.
TIMEOUT_SECONDS = 10.0
FINISH_SECONDS = 60.0


class Mail(NamedTuple):
    """One mail of one recipient."""

    user: str
    instance: str


class Books:
    """What was sent and what became of it; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self.sent: Counter[str] = Counter()  # mails, by user
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.answers = 0  # to mail of users
        self.inbound = 0  # to mail without a login
        self.lost_tries = 0  # a closed connection or a time-out in the place of a reply
        self.default_actions = 0  # both tries were lost
        self.failure_actions = 0
        self.failure_seconds: list[float] = []  # that each of these was waited for
        # Seconds from a request to its reply, at most.
        self.slowest = 0.0
        self.slowest_inbound = 0.0
        self.problems: list[str] = []

    def next_mail(self) -> Mail:
        with self._lock:
            user = f"user{next(self._numbers) // MAILS_OF_A_USER}"
            self.sent[user] += 1
            return Mail(user, new_instance())

    def note(self, **changes: int) -> None:
        """Add to numbers of these names."""
        with self._lock:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)

    def answered(self, seconds: float, answer: str, *, inbound: bool) -> None:
        with self._lock:
            if answer.startswith(FAILURE):
                self.failure_seconds.append(seconds)
            if inbound:
                self.inbound += 1
                self.slowest_inbound = max(self.slowest_inbound, seconds)
            else:
                self.answers += 1
                self.slowest = max(self.slowest, seconds)

    def settle(self, mail: Mail, fate: Counter[str]) -> None:
        with self._lock:
            fate[mail.user] += 1

    def problem(self, text: str) -> None:
        with self._lock:
            self.problems.append(text)

    def assert_patient(self, deadline_seconds: float) -> None:
        """Whoever heard of a failure had waited for the deadline, which a slow machine may reach."""
        assert self.default_actions == 0
        assert self.failure_actions == 0 or self.slowest > deadline_seconds

    def assert_no_try_lost(self) -> None:
        """No connection was closed, no reply came too late for Postfix, as far as the machine ran at all."""
        assert self.lost_tries == 0 or STANDSTILL.longest > TIMEOUT_SECONDS / 2
        assert self.default_actions == 0

    def assert_balanced(self, services: Services, *, besides: Collection[str] = ()) -> None:
        """Every mail has one fate, each user has just what the limit allows, and that is what was charged.

        Args:
            besides: users of the test's own, whose mail is not in the books.
        """
        allowed = {user: min(number, LIMIT) for user, number in self.sent.items()}
        assert self.problems == []
        assert dict(self.accepted) == allowed
        assert self.accepted + self.refused == self.sent
        counts = charged(services)
        assert {user: count for user, count in counts.items() if user not in besides} == allowed


class Load:
    """So many clients that send from entering to leaving.

    Args:
        port: where.
    """

    def __init__(self, port: int, *, connections: int = CONNECTIONS) -> None:
        self.books = Books()
        self._stop = threading.Event()
        clients = [_Sender(port, self.books, self._stop) for _ in range(connections + INBOUND_CONNECTIONS)]
        work = [client.run for client in clients[:connections]]
        work += [client.receive for client in clients[connections:]]
        self._senders = [threading.Thread(target=do, daemon=True) for do in work]

    def __enter__(self) -> Self:
        for sender in self._senders:
            sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        deadline = time.monotonic() + FINISH_SECONDS
        for sender in self._senders:
            sender.join(max(0.0, deadline - time.monotonic()))
        if kind is None:
            assert not any(sender.is_alive() for sender in self._senders), "mails without a fate"

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many more mails of users were answered."""
        wanted = self.books.answers + count
        wait_until(
            lambda: self.books.answers >= wanted, seconds=FINISH_SECONDS, what="requests are answered again"
        )


class _Sender:
    """One smtpd after the other, on one connection."""

    def __init__(self, port: int, books: Books, stop: threading.Event) -> None:
        self._port = port
        self._books = books
        self._stop = stop
        self._client: PolicyClient | None = None

    def run(self) -> None:
        """Mail of users, one after the other."""
        # The last mail is finished even when the test is over: its fate must be known.
        self._until_stopped(lambda: self._deliver(self._books.next_mail()))

    def receive(self) -> None:
        """Mail without a login."""

        def one() -> None:
            self._receive()
            self._stop.wait(INBOUND_PAUSE_SECONDS)

        self._until_stopped(one)

    def _until_stopped(self, work: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                work()
        except Exception as error:
            self._books.problem(repr(error))
        finally:
            self._hang_up()

    def _deliver(self, mail: Mail) -> None:
        books = self._books
        while True:
            answer = self._ask(sasl_username=mail.user, instance=mail.instance)
            if answer == "DUNNO":
                books.settle(mail, books.accepted)
                return
            if answer is not None and answer.startswith(OVER_THE_LIMIT):
                books.settle(mail, books.refused)
                return
            if answer is None:
                books.note(default_actions=1)
            elif answer.startswith(FAILURE):
                books.note(failure_actions=1)
            else:
                books.problem(answer)
                return
            time.sleep(AGAIN_SECONDS)

    def _receive(self) -> None:
        """Mail without a login passes, whatever is away; only the frontend itself may be."""
        answer = self._ask(sasl_username="")
        if answer is None:
            self._books.note(default_actions=1)
        elif answer != "DUNNO":
            self._books.problem(f"mail without a login: {answer}")

    def _ask(self, **attributes: str) -> str | None:
        """The answer of the first try or of the second, None if both are lost."""
        for number in range(2):
            if number:
                time.sleep(RETRY_SECONDS)
            try:
                started = time.monotonic()
                if self._client is None:
                    self._client = PolicyClient(self._port, timeout=TIMEOUT_SECONDS)
                else:
                    self._expect_nothing(self._client)
                answer = self._client.ask(**attributes)
                seconds = time.monotonic() - started
                self._books.answered(seconds, answer, inbound=not attributes["sasl_username"])
                return answer
            except (OSError, EOFError):
                self._hang_up()
                self._books.note(lost_tries=1)
        return None

    def _expect_nothing(self, client: PolicyClient) -> None:
        """As Postfix looks before it sends: a closed connection costs a try, and so would a second reply."""
        poll = select.poll()
        poll.register(client.socket, select.POLLIN)
        if poll.poll(0):
            if surplus := client.socket.recv(4096):
                self._books.problem(f"a reply that nobody has asked for: {surplus!r}")
            raise EOFError

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def charged(services: Services) -> dict[str, int]:
    """What the store holds, by account."""
    with closing(sqlite3.connect(services.directory / "state" / "quota.sqlite3")) as db:
        rows = db.execute(
            "SELECT a.name, sum(c.used) FROM counter c JOIN account a ON a.id = c.account GROUP BY 1"
        )
        return {name.decode(): used for name, used in rows if used}
