"""Whose turn it is to talk to the dongle."""

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import TracebackType

AT_ONCE = 0.0  # the urgency of the session thread: before every request

_Waiting = tuple[float, int, threading.Event]
"""Who waits for the lock: its urgency, when it came, and what is set when it is its turn."""


class PriorityLock:
    """A lock without starvation: `threading.Lock` may be won by the same thread for ever.

    As a context manager it has the highest urgency and waits without a time limit; those that
    hold it have one.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._claims = 0
        self._arrivals = count()
        self._waiting: list[_Waiting] = []
        self._giving_way: list[_Waiting] = []

    def acquire(
        self, timeout_s: float | None = None, *, urgency: float = AT_ONCE, gives_way: bool = False
    ) -> bool:
        """Wait for the lock; return whether it was acquired.

        Args:
            timeout_s: longest wait, seconds; None for no limit.
            urgency: the waiter with the lowest number is next. If it is the deadline (monotonic)
                no waiter is passed over for ever, as later ones are less urgent.
            gives_way: whether to wait for as long as anybody else waits, or has claimed it.
        """
        queue = self._giving_way if gives_way else self._waiting
        with self._mutex:
            if not self._held and not (gives_way and self._claims):
                self._held = True
                return True
            turn = threading.Event()
            waiting = (urgency, next(self._arrivals), turn)
            heapq.heappush(queue, waiting)
        if turn.wait(timeout_s):
            return True
        with self._mutex:
            if turn.is_set():  # handed over in the moment of giving up
                return True
            queue.remove(waiting)
            heapq.heapify(queue)
            return False

    def release(self) -> None:
        """Hand the lock to the most urgent waiter, if there is one."""
        with self._mutex:
            self._held = False
            self._hand_over()

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep it from those who give way, also while it is released within the block."""
        with self._mutex:
            self._claims += 1
        try:
            yield
        finally:
            with self._mutex:
                self._claims -= 1
                if not self._held:
                    self._hand_over()

    def _hand_over(self) -> None:
        """Give the lock, which nobody holds, to who is next; needs the mutex."""
        queue = self._waiting or (self._giving_way if not self._claims else [])
        if queue:
            self._held = True
            heapq.heappop(queue)[-1].set()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
