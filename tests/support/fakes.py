"""Stand-ins for time and chance, the only things that tests replace."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from kei.core.clock import SystemClock

TOKYO = ZoneInfo("Asia/Tokyo")


class FakeClock:
    """A clock that goes only when it is told to."""

    def __init__(self, now_ms: int = 1_700_000_000_000, zone: tzinfo = UTC) -> None:
        self.wall_ms = now_ms
        self.ticks = 1000.0
        self._zone = zone

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic(self) -> float:
        return self.ticks

    def wait_s(self, seconds: float) -> float:
        return max(0.0, seconds)

    @property
    def zone(self) -> tzinfo:
        return self._zone

    def advance(self, seconds: float) -> None:
        self.ticks += seconds
        self.wall_ms += round(seconds * 1000)


class FastClock:
    """A clock that runs faster than the machine's, and with it everything that waits by it."""

    def __init__(self, speed: float, zone: tzinfo = UTC) -> None:
        self._speed = speed
        self._zone = zone
        self._machine = SystemClock(zone)
        self._begun, self._began_ms = self._machine.monotonic(), self._machine.now_ms()

    def now_ms(self) -> int:
        return self._began_ms + round((self.monotonic() - self._begun) * 1000)

    def monotonic(self) -> float:
        return self._begun + (self._machine.monotonic() - self._begun) * self._speed

    def wait_s(self, seconds: float) -> float:
        return max(0.0, seconds / self._speed)

    @property
    def zone(self) -> tzinfo:
        return self._zone
