"""A lock that is handed to those who wait in the order in which they came."""

import threading
from collections import deque
from types import TracebackType


class Turns:
    """Mutual exclusion without starving: `threading.Lock` may be won by the same thread for ever.

    Usable as a context manager, which waits without limit; whoever holds it has a limit.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    def acquire(self, timeout_s: float | None = None) -> bool:
        """Wait for the turn.

        Args:
            timeout_s: longest wait, seconds; None for no limit.

        Returns:
            whether it is ours now.
        """
        with self._mutex:
            if not self._held:
                self._held = True
                return True
            turn = threading.Event()
            self._waiting.append(turn)
        if turn.wait(timeout_s):
            return True
        with self._mutex:
            if turn.is_set():  # handed over in the moment of giving up
                return True
            self._waiting.remove(turn)
            return False

    def release(self) -> None:
        """Hand over to whoever has waited longest, if anybody."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().set()
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
