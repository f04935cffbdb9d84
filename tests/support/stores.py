"""A store that does what a test says."""

import threading
from collections.abc import Callable, Sequence

from quota.domain import Charge, ChargeResult, Outcome, Refusal

WAIT_SECONDS = 10.0


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
