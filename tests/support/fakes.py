"""Stand-ins for time and chance, the only things that tests replace."""

import threading
import weakref
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from kei.core.clock import SystemClock

TOKYO = ZoneInfo("Asia/Tokyo")
TICKER = "fast-clock"  # the name of a clock's own thread
TICK_S = 0.005  # between two looks
LONGEST_TICK_S = 0.008


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
    """A clock that runs faster than the machine's, and with it everything that waits by it.

    It stands while the machine has no time for this process: of what passes between two looks of
    a thread of its own, only the first `LONGEST_TICK_S` counts. Thus a busy machine does not make
    a dongle slow, whatever the speed.
    """

    def __init__(self, speed: float, zone: tzinfo = UTC) -> None:
        self._speed = speed
        self._zone = zone
        self._machine = SystemClock(zone)
        self._lock = threading.Lock()
        self._looked = self._machine.monotonic()
        self._now = self._begun = self._looked
        self._began_ms = self._machine.now_ms()
        threading.Thread(
            target=_keep_ticking, args=(weakref.ref(self),), name=TICKER, daemon=True
        ).start()

    def now_ms(self) -> int:
        return self._began_ms + round((self.monotonic() - self._begun) * 1000)

    def monotonic(self) -> float:
        with self._lock:
            looked = self._machine.monotonic()
            self._now += min(looked - self._looked, LONGEST_TICK_S) * self._speed
            self._looked = looked
            return self._now

    def wait_s(self, seconds: float) -> float:
        return max(0.0, seconds / self._speed)

    @property
    def zone(self) -> tzinfo:
        return self._zone


def _keep_ticking(clock_ref: weakref.ref[FastClock]) -> None:
    """Look at the clock all the time, as long as somebody has it."""
    pause = threading.Event()
    while (clock := clock_ref()) is not None:
        clock.monotonic()
        del clock
        pause.wait(TICK_S)
