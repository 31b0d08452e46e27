"""The transmission limit of ARIB STD-T108."""

from collections import deque
from collections.abc import Callable

from kei.simulator.air.timeline import Group, Timeline

BUDGET_MS = 360_000  # of transmission in any hour (ARIB STD-T108)
WINDOW_MINUTES = 60  # counted in buckets of a minute
_OVERHEAD_BYTES = 60  # MAC, IPv6, UDP and security around a datagram
_BITS_PER_MS = 100  # 100 kbps
_PREAMBLE_MS = 2
_S_PER_MINUTE = 60


class AirTime:
    """How long the dongle has sent in the last hour, and whether that is all that it may.

    Args:
        timeline: has the end of the limit.
        on_change: called when the limit is reached or lifted.

    Attributes:
        used_up: whether nothing may be sent.
    """

    def __init__(self, timeline: Timeline, on_change: Callable[[], None]) -> None:
        self._timeline = timeline
        self._on_change = on_change
        self._buckets: deque[tuple[int, int]] = deque(maxlen=WINDOW_MINUTES + 1)
        self.used_up = False

    def reset(self) -> None:
        """Lift the limit, as a restart does; its end is cancelled by the caller."""
        self.used_up = False

    def total_ms(self, now: float) -> int:
        """Return the transmit time of the hour before `now`."""
        oldest = int(now // _S_PER_MINUTE) - WINDOW_MINUTES
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
        return sum(spent for _, spent in self._buckets)

    def clear(self) -> None:
        """Drop what was counted."""
        self._buckets.clear()

    def spend(self, now: float, payload_bytes: int) -> None:
        """Count a datagram; a limit that it reaches holds for the next one."""
        bits = (payload_bytes + _OVERHEAD_BYTES) * 8
        spent = _PREAMBLE_MS + -(-bits // _BITS_PER_MS)
        minute = int(now // _S_PER_MINUTE)
        if self._buckets and self._buckets[-1][0] == minute:
            self._buckets[-1] = (minute, self._buckets[-1][1] + spent)
        else:
            self._buckets.append((minute, spent))
        if not self.used_up and self.total_ms(now) >= BUDGET_MS:
            self._close()
            self._timeline.at((minute + 1) * _S_PER_MINUTE, self._check_again, Group.LIMIT)

    def forbid(self, until: float) -> None:
        """Set the limit until a monotonic time, as if it had been reached."""
        if not self.used_up:
            self._close()
            self._timeline.at(until, self._check_again, Group.LIMIT)

    def _close(self) -> None:
        self.used_up = True
        self._on_change()

    def _check_again(self, now: float) -> None:
        if self.total_ms(now) >= BUDGET_MS:
            self._timeline.at(now + _S_PER_MINUTE, self._check_again, Group.LIMIT)
            return
        self.used_up = False
        self._on_change()
