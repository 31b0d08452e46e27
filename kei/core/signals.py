"""Unix signals as items of a queue, handled in one place of the main thread."""

import os
import signal
from queue import Empty, SimpleQueue

STOP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
TOGGLE_SIGNAL = signal.SIGUSR1
RELOAD_SIGNAL = signal.SIGUSR2


class SignalQueue:
    """Queues kei's signals from `install` on. A second stop signal ends the process at once."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[signal.Signals] = SimpleQueue()
        self._stop_asked = False

    def install(self) -> None:
        """Install the signal handlers; main thread only."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        for number in (TOGGLE_SIGNAL, RELOAD_SIGNAL):
            signal.signal(number, self._on_other)

    def wait(self, timeout_s: float) -> signal.Signals | None:
        """Return the next signal, None if none comes within the time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except Empty:
            return None

    def ignore(self) -> None:
        """Ignore all signals from now on, because the process is ending.

        Python removes its handlers while it exits; a signal would then change the exit status.
        """
        for number in (*STOP_SIGNALS, TOGGLE_SIGNAL, RELOAD_SIGNAL):
            signal.signal(number, signal.SIG_IGN)

    def _on_stop(self, number: int, _frame: object) -> None:
        if self._stop_asked:
            os._exit(0)  # asked twice: do not wait for the meter
        self._stop_asked = True
        self._queue.put(signal.Signals(number))

    def _on_other(self, number: int, _frame: object) -> None:
        self._queue.put(signal.Signals(number))
