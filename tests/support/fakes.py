"""Stand-ins for time and chance, the only things that tests replace."""

import contextlib
import os
import sys
import threading
import time
import tty
import weakref
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from kei.core.clock import SystemClock

TOKYO = ZoneInfo("Asia/Tokyo")
TICKER = "fast-clock"  # the name of the thread that moves all fast clocks
TICK_S = 0.005  # between two looks
LONGEST_TICK_S = 0.008  # what passes at most from one look to the next


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

    It stands while a thread of this process has something to do, or would have if the machine had
    time for it: only when all of them wait, the next thing to happen is that time passes. Thus
    neither a slow machine nor a busy one makes a dongle slow, whatever the speed. Who waits for
    this clock must not do so without a pause.

    Args:
        speed: how much faster.
        zone: local time.
        stands: False for many threads, of which one is nearly always at work: time passes then,
            too, but not for long between two looks.
    """

    def __init__(self, speed: float, zone: tzinfo = UTC, *, stands: bool = True) -> None:
        self._speed = speed
        self._stands = stands
        self._zone = zone
        self._now = self._begun = SystemClock().monotonic()
        self._began_ms = SystemClock().now_ms()
        _ticker.move(self)

    def set(self, now_ms: int) -> None:
        """Set the wall clock."""
        self._began_ms = now_ms - round((self._now - self._begun) * 1000)

    def now_ms(self) -> int:
        return self._began_ms + round((self._now - self._begun) * 1000)

    def monotonic(self) -> float:
        return self._now

    def wait_s(self, seconds: float) -> float:
        """Not less than a tick: the clock stands until the next one."""
        return max(TICK_S, seconds / self._speed) if seconds > 0 else 0.0

    @property
    def zone(self) -> tzinfo:
        return self._zone

    def pass_by(self, passed_s: float, idle_s: float) -> None:
        """Move on by what has passed, or was idle, on the machine; the ticker's thread only."""
        machine_s = idle_s if self._stands else passed_s
        self._now += min(machine_s, LONGEST_TICK_S) * self._speed


class _Ticker:
    """Moves all fast clocks, in a thread that lives as long as there is one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clocks: weakref.WeakSet[FastClock] = weakref.WeakSet()
        self._runs = False

    def move(self, clock: FastClock) -> None:
        """Move this clock from now on."""
        with self._lock:
            self._clocks.add(clock)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name=TICKER, daemon=True).start()

    def _run(self) -> None:
        sys.settrace(None)  # coverage would look at each line of it, a hundred times a second
        pause, machine = threading.Event(), SystemClock()
        busy = _Busyness()
        looked = machine.monotonic()
        while self._goes_on():
            pause.wait(TICK_S)
            before, looked = looked, machine.monotonic()
            self._pass(looked - before, busy.idle_s())

    def _pass(self, passed_s: float, idle_s: float) -> None:
        with self._lock:
            clocks = list(self._clocks)
        for clock in clocks:
            clock.pass_by(passed_s, idle_s)

    def _goes_on(self) -> bool:
        with self._lock:
            self._runs = bool(self._clocks)
            return self._runs


_ticker = _Ticker()


class _Busyness:
    """What the threads of this process do, as the kernel tells; to be asked by one of them."""

    def __init__(self) -> None:
        self._me = threading.get_native_id()
        self._threads: dict[str, _Thread] = {}
        self._looked_s = self._used_s = 0.0
        self._in, self._out = os.openpty()
        tty.setraw(self._out)
        self.idle_s()

    def __del__(self) -> None:
        os.close(self._in)
        os.close(self._out)

    def idle_s(self) -> float:
        """Return for how long, since it was asked last, all threads were waiting for something.

        That is the time that is left of what the processor's took, and what they had to wait for
        one. It is 0 if another thread is at it, whose time is not yet known.
        """
        worked_s = self._wait_for_terminals()
        looked_s, used_s = SystemClock().monotonic(), time.process_time()
        passed_s, worked_s = looked_s - self._looked_s, worked_s + used_s - self._used_s
        self._looked_s, self._used_s = looked_s, used_s
        names = os.listdir("/proc/self/task")  # noqa: PTH208 - a hundred times a second
        self._threads = {name: self._threads.get(name) or _Thread(name) for name in names}
        at_work = False
        for thread in self._threads.values():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                at_work |= thread.id != self._me and thread.is_at_work()
                worked_s += thread.delayed_s()
        return 0.0 if at_work else max(0.0, passed_s - worked_s)

    def _wait_for_terminals(self) -> float:
        """Wait until what was written to a terminal before is at its other end; return how long.

        A thread of the kernel's brings it there, who may have to wait for a processor as well.
        """
        began = SystemClock().monotonic()
        os.write(self._in, b".")
        os.read(self._out, 1)
        return SystemClock().monotonic() - began


class _Thread:
    """A thread of this process in the eyes of the kernel, see proc(5)."""

    def __init__(self, name: str) -> None:
        self.id = int(name)
        self._files: list[int] = []
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for what in ("stat", "schedstat"):
                self._files.append(os.open(f"/proc/self/task/{name}/{what}", os.O_RDONLY))
        self._delay_ns = 0

    def __del__(self) -> None:
        for file in self._files:
            os.close(file)

    def is_at_work(self) -> bool:
        """Return whether it runs, or would, or waits for a disk."""
        return self._read(0).rpartition(b") ")[2][:1] in (b"R", b"D")

    def delayed_s(self) -> float:
        """Return how long it had to wait for a processor since it was asked last."""
        before_ns, self._delay_ns = self._delay_ns, int(self._read(1).split()[1])
        return (self._delay_ns - before_ns) / 1e9

    def _read(self, number: int) -> bytes:
        if number >= len(self._files):
            raise ProcessLookupError
        return os.pread(self._files[number], 1024, 0)
