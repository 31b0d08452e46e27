"""Heartbeats of threads that run for years: a missing one shows that a thread hangs."""

from kei.core.clock import Clock

HEARTBEAT_S = 30.0  # the longest wait of a thread before its next heartbeat
SILENCE_LIMIT_S = 300.0  # a stalling SD card holds a write up for a minute or two, and recovers


class Heartbeat:
    """The heartbeat of one thread. That thread calls `beat`; any thread may read the rest.

    Args:
        clock: monotonic time.
        limit_s: the longest silence of a thread that still works, seconds.
    """

    def __init__(self, clock: Clock, limit_s: float = SILENCE_LIMIT_S) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._last = clock.monotonic()

    def beat(self) -> None:
        """Note that the thread is alive now."""
        self._last = self._clock.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the last beat."""
        return self._clock.monotonic() - self._last

    @property
    def has_stopped(self) -> bool:
        """Whether the last beat is longer ago than the limit."""
        return self.silent_s > self._limit_s
