"""Stand-ins for time and chance, the only things that tests replace."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

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

    @property
    def zone(self) -> tzinfo:
        return self._zone

    def advance(self, seconds: float) -> None:
        self.ticks += seconds
        self.wall_ms += round(seconds * 1000)
