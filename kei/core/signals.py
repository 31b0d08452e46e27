"""Unix signals as items of a queue, handled in one place of the main thread; and the last resort.

The time limit of a stop is kept by a thread that hears of a signal from the system's own handler
(`signal.set_wakeup_fd`). So it holds also while the main thread waits for a disk, for a lock, or
for whatever it was starting, and cannot look at the queue.
"""

import os
import select
import signal
import threading
from queue import Empty, SimpleQueue

import structlog

from kei.core import logs
from kei.core.clock import SystemClock

log = structlog.stdlib.get_logger("kei.runner")

STOP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
TOGGLE_SIGNAL = signal.SIGUSR1
RELOAD_SIGNAL = signal.SIGUSR2
STOP_LIMIT_S = 9.0  # the contract allows 10 s in any state
LAST_LINES_S = 0.3  # for what is still to be logged, if anybody reads it
_FAILED = 0  # in the place of a signal's number


class SignalQueue:
    """Queues kei's signals from `install` on. A second stop signal ends the process at once."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[signal.Signals] = SimpleQueue()
        self._wakeups: int | None = None

    def install(self) -> None:
        """Install the signal handlers, and the limit of a stop; main thread only, once."""
        reading, self._wakeups = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._wakeups, warn_on_full_buffer=False)
        watch = threading.Thread(target=_watch, args=(reading,), name="stop-limit", daemon=True)
        watch.start()
        for number in (*STOP_SIGNALS, TOGGLE_SIGNAL, RELOAD_SIGNAL):
            signal.signal(number, self._on_signal)
        # Writing to a terminal from the background then goes on instead of stopping the process.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def wait(self, timeout_s: float) -> signal.Signals | None:
        """Return the next signal, None if none comes within the time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except Empty:
            return None

    def end_in_time(self) -> None:
        """Have the process end with 1 within 9 s, as if a stop signal had come; it has failed."""
        if self._wakeups is not None:
            os.write(self._wakeups, bytes([_FAILED]))

    def ignore(self) -> None:
        """Ignore all signals from now on, because the process is ending.

        Python removes its handlers while it exits; a signal would then change the exit status.
        """
        for number in (*STOP_SIGNALS, TOGGLE_SIGNAL, RELOAD_SIGNAL):
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._queue.put(signal.Signals(number))


def _watch(reading: int) -> None:
    """End the process some seconds after the first stop signal, or at the second one."""
    clock = SystemClock()
    deadline: float | None = None
    exit_code = 0
    while True:
        left_s = None if deadline is None else max(0.0, deadline - clock.monotonic())
        if not select.select([reading], [], [], left_s)[0]:
            _report()
            os._exit(exit_code)
        for number in os.read(reading, 64):
            if number != _FAILED and number not in STOP_SIGNALS:
                continue
            if deadline is not None and number != _FAILED:
                logs.flush(LAST_LINES_S)
                os._exit(exit_code)  # asked twice: do not wait for the meter
            if deadline is None:
                deadline = clock.monotonic() + STOP_LIMIT_S
                exit_code = int(number == _FAILED)


def _report() -> None:
    """Log what hangs. In a thread of its own: what hangs may hold any lock."""

    def report() -> None:
        hanging = [thread.name for thread in threading.enumerate() if not thread.daemon]
        log.error("stop_timed_out", threads=hanging)
        logs.flush(LAST_LINES_S)

    reporter = threading.Thread(target=report, name="stop-report", daemon=True)
    reporter.start()
    reporter.join(2 * LAST_LINES_S)
