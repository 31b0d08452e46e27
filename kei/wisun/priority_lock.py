"""A lock that goes to the most urgent waiter, and among equals to the one that came first."""

import heapq
import threading
from itertools import count
from types import TracebackType

AT_ONCE = 0.0  # the urgency of the session thread: before every request


class PriorityLock:
    """A lock without starvation: `threading.Lock` may be won by the same thread for ever.

    As a context manager it has the highest urgency and waits without a time limit; those that
    hold it have one.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._arrivals = count()
        self._waiting: list[tuple[float, int, threading.Event]] = []

    def acquire(self, timeout_s: float | None = None, *, urgency: float = AT_ONCE) -> bool:
        """Wait for the lock; return whether it was acquired.

        Args:
            timeout_s: longest wait, seconds; None for no limit.
            urgency: the waiter with the lowest number is next. If it is the deadline (monotonic)
                no waiter is passed over for ever, as later ones are less urgent.
        """
        with self._mutex:
            if not self._held:
                self._held = True
                return True
            turn = threading.Event()
            waiting = (urgency, next(self._arrivals), turn)
            heapq.heappush(self._waiting, waiting)
        if turn.wait(timeout_s):
            return True
        with self._mutex:
            if turn.is_set():  # handed over in the moment of giving up
                return True
            self._waiting.remove(waiting)
            heapq.heapify(self._waiting)
            return False

    def release(self) -> None:
        """Hand the lock to the most urgent waiter, if there is one."""
        with self._mutex:
            if self._waiting:
                heapq.heappop(self._waiting)[-1].set()
            else:
                self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
