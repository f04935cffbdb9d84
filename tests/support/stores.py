"""A store, and a reader of one, that do what a test says; and files of the real one that are damaged."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from quota.domain import Charge, ChargeResult, Item, Noted, Outcome, RefusedNow, Report
from quota.overrides import AuditEntry, Changed, Request
from quota.store.sqlite import SqliteStore
from tests.support.charges import NOON, charge

WAIT_SECONDS = 10.0
PAGE_BYTES = 4096
EMPTY = Report(None, (), (), False)


class FakeStore:
    """Fulfils quota.store.interface.Store; remembers what it was asked.

    Each charge is answered with its recipient_count as units. `problems` are raised first, one a call.
    While `gate` is closed, `apply` waits inside. The third `expire` sets `expired_often`.
    """

    def __init__(self, *problems: Exception) -> None:
        self.problems = list(problems)
        self.expire_problems: list[Exception] = []
        self.forgotten: Callable[[int], int] = lambda most: 0
        self.applied: list[list[Item]] = []
        self.applied_at: list[int] = []
        self.expired: list[tuple[int, int]] = []
        self.requests: list[tuple[Request, int]] = []
        self.entries: list[AuditEntry] = []
        self.before_apply: Callable[[], None] = lambda: None
        self.closed = False
        self.expired_often = threading.Event()
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def apply(self, items: Sequence[Item], now_unix_ms: int) -> list[ChargeResult | Noted]:
        self.threads.add(threading.current_thread().name)
        self.applied.append(list(items))
        self.applied_at.append(now_unix_ms)
        self.entered.set()
        assert self.gate.wait(WAIT_SECONDS), "nobody opened the gate"
        self.before_apply()
        if self.problems:
            raise self.problems.pop(0)
        return [
            ChargeResult(Outcome.CHARGED, item.recipient_count, ())
            if isinstance(item, Charge)
            else Noted.RECORDED
            for item in items
        ]

    def change(self, request: Request, now_unix_ms: int) -> Changed:
        self.threads.add(threading.current_thread().name)
        self.requests.append((request, now_unix_ms))
        if self.problems:
            raise self.problems.pop(0)
        return Changed(len(request.changes), ())

    def note(self, entry: AuditEntry) -> None:
        self.threads.add(threading.current_thread().name)
        self.entries.append(entry)

    def expire(self, now_unix_ms: int, most: int) -> int:
        self.threads.add(threading.current_thread().name)
        self.expired.append((now_unix_ms, most))
        if len(self.expired) >= 3:
            self.expired_often.set()
        if self.expire_problems:
            raise self.expire_problems.pop(0)
        return self.forgotten(most)

    def close(self) -> None:
        self.closed = True


class FakeReader:
    """Fulfils quota.store.interface.Reader; `asked` are its calls.

    Args:
        answer: returned, or raised.
    """

    def __init__(self, answer: Report | Exception = EMPTY) -> None:
        self.answer = answer
        self.refused: RefusedNow | Exception = RefusedNow({}, ())
        self.asked_refused: list[tuple[int, int]] = []
        self.asked: list[tuple[int, int, bytes | None]] = []
        self.inside = 0
        self.most_inside = 0
        self.threads: set[str] = set()

    def refused_now(self, now_unix_ms: int, most: int) -> RefusedNow:
        self.asked_refused.append((now_unix_ms, most))
        if isinstance(self.refused, Exception):
            raise self.refused
        return self.refused

    def report(self, first_day: int, last_day: int, account: bytes | None = None) -> Report:
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        self.threads.add(threading.current_thread().name)
        self.asked.append((first_day, last_day, account))
        time.sleep(0.001)
        self.inside -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


ACCOUNTS = [b"filled%d" % number for number in range(20_000)]


def fill(path: Path) -> list[bytes]:
    """Make a SQLite store that is larger than what SQLite keeps in memory; returns the accounts in it."""
    path.write_bytes(_filled())
    return ACCOUNTS


@cache
def _filled() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "store"
        store = SqliteStore(path)
        store.apply([charge(account=account, instance=b"filled") for account in ACCOUNTS], NOON)
        store.close()
        return path.read_bytes()


def spoil(path: Path) -> None:
    """Overwrite all pages of a database but the first, in place."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(PAGE_BYTES)
        file.write(b"\xa5" * (size - PAGE_BYTES))
