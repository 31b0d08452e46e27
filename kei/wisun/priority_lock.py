"""A lock that is handed to whoever is most urgent, and among equals to who came first."""

import heapq
import threading
from itertools import count
from types import TracebackType

AT_ONCE = 0.0  # of the keeper: before every request


class Turns:
    """Mutual exclusion without starving: `threading.Lock` may be won by the same thread for ever.

    Usable as a context manager, which comes before everybody else and waits without limit;
    whoever holds it has a limit.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._arrivals = count()
        self._waiting: list[tuple[float, int, threading.Event]] = []

    def acquire(self, timeout_s: float | None = None, *, urgency: float = AT_ONCE) -> bool:
        """Wait for the turn.

        Args:
            timeout_s: longest wait, seconds; None for no limit.
            urgency: who waits with the lowest comes next. With deadlines (monotonic) nobody is
                passed over for ever, as later ones are less urgent.

        Returns:
            whether it is ours now.
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
        """Hand over to the most urgent one who waits, if anybody."""
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
