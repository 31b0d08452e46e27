"""The transmission limit of ARIB STD-T108: 360 s in an hour, kept as an accumulating budget."""

from collections import deque

from kei.simulator.dongle.core import Core
from kei.simulator.dongle.registers import Reg
from kei.simulator.dongle.timeline import Group
from kei.simulator.dongle.wire import Event

BUDGET_MS = 360_000  # in any hour
WINDOW_MINUTES = 60  # counted in buckets of a minute
_OVERHEAD_BYTES = 60  # MAC, IPv6, UDP and security around a datagram
_BITS_PER_MS = 100  # 100 kbps
_PREAMBLE_MS = 2
_S_PER_MINUTE = 60


class AirTime:
    """Counts transmit time; says with EVENT 32 that it is used up and with 33 that it is back."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._buckets: deque[tuple[int, int]] = deque(maxlen=WINDOW_MINUTES + 1)

    @property
    def used_up(self) -> bool:
        """Whether sending is forbidden."""
        return bool(self._core.registers[Reg.LIMITED])

    def total_ms(self, now: float) -> int:
        """Return the transmit time of the hour before `now`."""
        oldest = int(now // _S_PER_MINUTE) - WINDOW_MINUTES
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
        return sum(spent for _, spent in self._buckets)

    def clear(self) -> None:
        """Forget what was spent."""
        self._buckets.clear()

    def spend(self, now: float, payload_bytes: int) -> None:
        """Count a datagram; reaching the limit takes effect for the next one."""
        bits = (payload_bytes + _OVERHEAD_BYTES) * 8
        spent = _PREAMBLE_MS + -(-bits // _BITS_PER_MS)
        minute = int(now // _S_PER_MINUTE)
        if self._buckets and self._buckets[-1][0] == minute:
            self._buckets[-1] = (minute, self._buckets[-1][1] + spent)
        else:
            self._buckets.append((minute, spent))
        if not self.used_up and self.total_ms(now) >= BUDGET_MS:
            self._close()
            self._core.at((minute + 1) * _S_PER_MINUTE, self._look_again, Group.LIMIT)

    def forbid(self, until: float) -> None:
        """Reach the limit by decree, until a monotonic time."""
        if not self.used_up:
            self._close()
            self._core.at(until, self._look_again, Group.LIMIT)

    def _close(self) -> None:
        core = self._core
        core.registers[Reg.LIMITED] = 1
        core.emit(core.event(Event.LIMIT_REACHED, core.address))

    def _look_again(self, now: float) -> None:
        core = self._core
        if self.total_ms(now) >= BUDGET_MS:
            core.at(now + _S_PER_MINUTE, self._look_again, Group.LIMIT)
            return
        core.registers[Reg.LIMITED] = 0
        core.emit(core.event(Event.LIMIT_LIFTED, core.address))
