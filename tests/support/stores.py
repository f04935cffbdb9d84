"""A store, and a reader of one, that do what a test says."""

import threading
import time
from collections.abc import Callable, Sequence

from quota.domain import Charge, ChargeResult, Outcome, Refusal, RefusedNow, Report

WAIT_SECONDS = 10.0
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
        self.applied: list[list[Charge | Refusal]] = []
        self.applied_at: list[int] = []
        self.expired: list[tuple[int, int]] = []
        self.before_apply: Callable[[], None] = lambda: None
        self.closed = False
        self.expired_often = threading.Event()
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[str] = set()

    def apply(self, items: Sequence[Charge | Refusal], now_unix_ms: int) -> list[ChargeResult | None]:
        self.threads.add(threading.current_thread().name)
        self.applied.append(list(items))
        self.applied_at.append(now_unix_ms)
        self.entered.set()
        assert self.gate.wait(WAIT_SECONDS), "nobody opened the gate"
        self.before_apply()
        if self.problems:
            raise self.problems.pop(0)
        return [
            ChargeResult(Outcome.CHARGED, item.recipient_count, ()) if isinstance(item, Charge) else None
            for item in items
        ]

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
