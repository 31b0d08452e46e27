"""Signals as items of a queue, so that they are handled at one place in the main thread."""

import os
import signal
from queue import Empty, SimpleQueue

STOP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
TOGGLE_SIGNAL = signal.SIGUSR1
RELOAD_SIGNAL = signal.SIGUSR2


class SignalBox:
    """Catches kei's signals from `install` on. A second stop signal ends the process at once."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[signal.Signals] = SimpleQueue()
        self._stop_asked = False

    def install(self) -> None:
        """Take over the signals of this process; main thread only."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        for number in (TOGGLE_SIGNAL, RELOAD_SIGNAL):
            signal.signal(number, self._on_other)

    def wait(self, timeout_s: float) -> signal.Signals | None:
        """Return the next signal, or None when none comes within the time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except Empty:
            return None

    def ignore(self) -> None:
        """Take no notice of signals any more: the process ends anyway, and as it was asked to.

        Python gives up its handlers while it ends; a signal would then count as what ended it.
        """
        for number in (*STOP_SIGNALS, TOGGLE_SIGNAL, RELOAD_SIGNAL):
            signal.signal(number, signal.SIG_IGN)

    def _on_stop(self, number: int, _frame: object) -> None:
        if self._stop_asked:
            os._exit(0)  # whoever asks twice does not want to wait for the meter
        self._stop_asked = True
        self._queue.put(signal.Signals(number))

    def _on_other(self, number: int, _frame: object) -> None:
        self._queue.put(signal.Signals(number))
