"""Signs of life: whoever is to work for years says so now and then, and silence gives it away."""

from kei.core.clock import Clock

HEARTBEAT_S = 30.0  # who waits for something to do wakes up as often for its heartbeat
STILL_S = 300.0  # a stalling SD card holds a write up for a minute or two, and recovers


class Heartbeat:
    """One who is to move. `beat` is for its own thread, the rest for any.

    Args:
        clock: to measure by.
        limit_s: for how long it may be still at most.
    """

    def __init__(self, clock: Clock, limit_s: float = STILL_S) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._last = clock.monotonic()

    def beat(self) -> None:
        """Say that it moves."""
        self._last = self._clock.monotonic()

    @property
    def still_s(self) -> float:
        """For how long it has not moved, seconds."""
        return self._clock.monotonic() - self._last

    @property
    def has_stopped(self) -> bool:
        """Whether it has been still for longer than it may."""
        return self.still_s > self._limit_s
