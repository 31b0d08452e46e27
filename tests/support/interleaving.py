"""Two threads in every order: each stops between any two lines of some modules."""

import sys
import threading
from collections.abc import Callable
from types import FrameType, ModuleType, TracebackType
from typing import Any

PATIENCE_S = 60.0


def in_every_order(
    prepare: Callable[[], tuple[Callable[[], object], Callable[[], object]]],
    check: Callable[[], object],
    modules: tuple[ModuleType, ...],
) -> int:
    """Let two threads run until each order has been tried in which one interrupts the other once.

    The first one stops before one of its lines, the second runs up to one of its own, then the
    first ends, and then the second. One that waits for an `OpenLock` lets the other go on.

    Args:
        prepare: returns what the two are to do; called anew for each order.
        check: called when both have ended.
        modules: in which they stop.

    Returns:
        how many orders there were.
    """
    files = frozenset(str(module.__file__) for module in modules)
    orders = stop_first = stop_second = 0
    while True:
        first, second = prepare()
        one, other = _Thread(first, stop_first, files), _Thread(second, stop_second, files)
        for thread in (one, other, one, other):
            thread.go_on()
        for thread in (one, other):
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        check()
        orders += 1
        stop_second += 1
        if other.lines < stop_second:
            stop_first, stop_second = stop_first + 1, 0
            if one.lines < stop_first:
                return orders


class OpenLock:
    """A lock that tells when a thread waits for it; to take the place of `threading.Lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            thread = threading.current_thread()
            if isinstance(thread, _Thread):
                thread.rests.set()
            self._lock.acquire()

    def __exit__(
        self, _type: type[BaseException] | None, _error: object, _at: TracebackType | None
    ) -> None:
        self._lock.release()


class _Thread(threading.Thread):
    """A thread that stops once, before the line of a number in some files.

    Attributes:
        lines: how many it has run there.
        rests: whether it has stopped, waits for a lock, or has ended.
    """

    def __init__(self, do: Callable[[], object], stop_at: int, files: frozenset[str]) -> None:
        super().__init__(daemon=True)
        self._do = do
        self._stop_at = stop_at
        self._files = files
        self._goes_on = threading.Event()
        self._has_ended = False
        self.lines = 0
        self.rests = threading.Event()

    def go_on(self) -> None:
        """Start it, or let it go on; return when it rests."""
        if self.ident is None:
            self.start()
        else:
            self.rests.clear()
            self._goes_on.set()
            if self._has_ended:
                return
        assert self.rests.wait(PATIENCE_S)

    def run(self) -> None:
        sys.settrace(self._called)
        try:
            self._do()
        finally:
            sys.settrace(None)
            self._has_ended = True
            self.rests.set()

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        return self._traced if frame.f_code.co_filename in self._files else None

    def _traced(self, _frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            if self.lines == self._stop_at:
                self.rests.set()
                assert self._goes_on.wait(PATIENCE_S)
            self.lines += 1
        return self._traced
