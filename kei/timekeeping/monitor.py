"""Watches the machine's clock: notices when it is set, and when it becomes trustworthy."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from kei.core.clock import Clock
from kei.core.heartbeat import Heartbeat
from kei.timekeeping.heuristics import Evidence, likely_wrong
from kei.timekeeping.linux import Machine

log = structlog.stdlib.get_logger("kei.clock")

LOOK_S = 0.5  # twice within the shortest usual cycle
STEP_MS = 2000  # less disturbs no job and shifts no reading by much
# A time service may be started after kei, in the same boot.
HARDWARE_AGAIN_S, HARDWARE_LIMIT_S = 10.0, 120.0
_READ_LIMIT_S = 0.05  # the two clocks have to be read as one
_READ_TRIES = 5


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """How far the wall clock is to be trusted.

    Attributes:
        synchronised: whether a time service has set it since kei or the machine was started, and
            nobody else has since.
        likely_wrong: whether it is better to wait for it than to believe it.
        offset_ms: wall clock minus monotonic time, at present.
    """

    synchronised: bool
    likely_wrong: bool
    offset_ms: int


class Listener(Protocol):
    """Hears of the clock, in the monitor's thread; should return soon.

    What it raises is logged, and keeps nobody else from hearing.
    """

    def stepped(self, by_ms: int) -> None:
        """The wall clock has been set, forward (positive) or back; it shows the new time."""

    def synchronised(self) -> None:
        """The wall clock can be trusted from now on; a step that did it has been told before."""


class ClockMonitor:
    """Compares the wall clock with the monotonic one.

    Both are slewed alike by adjtime and NTP on Linux, so their difference changes only when
    somebody sets the clock (a leap second included), or when the machine wakes from suspend:
    CLOCK_MONOTONIC stands still meanwhile, and that looks like a step forward. So it should, as
    every job has to be planned anew then, too. The difference is compared with that of the last
    step that was told, not of the last look: a clock that is set in small pieces adds up.

    Args:
        clock: wall and monotonic time.
        machine: says whether its clock is synchronised.
        newest_ms: the time of the newest record, milliseconds since 1970; None if there is none.

    Attributes:
        heartbeat: of its thread.
    """

    def __init__(self, clock: Clock, machine: Machine, *, newest_ms: int | None) -> None:
        self._clock = clock
        self._machine = machine
        self._newest_ms = newest_ms
        self._listeners: list[Listener] = []
        self._stopping = threading.Event()
        self._told_ms = self._offset_ms()
        self._marker = machine.marker()
        self._old_marker: int | None = None
        self._synchronised = bool(machine.kernel_synchronised()) or self._marker is not None
        self._synchronisation_told = False
        self._hardware = machine.hardware()
        self._hardware_due = clock.monotonic() + HARDWARE_AGAIN_S
        self._hardware_until = clock.monotonic() + HARDWARE_LIMIT_S
        self.heartbeat = Heartbeat(clock)

    def listen(self, listener: Listener) -> None:
        """Have somebody told from now on, after those that listen already; before `run`."""
        self._listeners.append(listener)

    @property
    def status(self) -> ClockStatus:
        """How far the clock is to be trusted at present; any thread.

        A step that has not been looked at yet takes the trust away already.
        """
        offset_ms = self._offset_ms()
        synchronised = self._synchronised and abs(offset_ms - self._told_ms) <= STEP_MS
        evidence = Evidence(synchronised, self._hardware, self._clock.now_ms(), self._newest_ms)
        return ClockStatus(synchronised, likely_wrong(evidence), offset_ms)

    @property
    def synchronised(self) -> bool:
        """As the status has it."""
        return self.status.synchronised

    @property
    def likely_wrong(self) -> bool:
        """As the status has it."""
        return self.status.likely_wrong

    def run(self) -> None:
        """Look at the clocks until stopped."""
        while not self._stopping.is_set():
            self.look()
            self.heartbeat.beat()
            self._stopping.wait(self._clock.wait_s(LOOK_S))

    def stop(self) -> None:
        """Make `run` return soon; any thread."""
        self._stopping.set()

    def look(self) -> None:
        """Look once, and tell what has changed."""
        offset_ms = self._offset_ms()
        by_ms = offset_ms - self._told_ms
        stepped = abs(by_ms) > STEP_MS
        self._look_for_synchronisation(stepped=stepped)
        if stepped:
            self._told_ms = offset_ms
            log.warning("clock_stepped", by_s=round(by_ms / 1000))
            for listener in self._listeners:
                self._tell(listener, partial(listener.stepped, by_ms))
        if self._synchronised and not self._synchronisation_told:
            self._synchronisation_told = True
            log.info("clock_synchronised")
            for listener in self._listeners:
                self._tell(listener, listener.synchronised)

    def _look_for_synchronisation(self, *, stepped: bool) -> None:
        kernel, marker = self._machine.kernel_synchronised(), self._machine.marker()
        if stepped and not kernel:
            # Set by hand: the kernel forgets that it was synchronised, but the marker stays.
            self._synchronised, self._old_marker = False, self._marker
        self._marker = marker
        if self._synchronised:
            return  # also when the network is away for so long that the kernel loses its trust
        self._synchronised = bool(kernel) or marker not in (None, self._old_marker)
        if not self._synchronised:
            self._synchronisation_told = False
            self._look_at_hardware()

    def _look_at_hardware(self) -> None:
        now = self._clock.monotonic()
        if now >= self._hardware_due and now < self._hardware_until:
            self._hardware_due = now + HARDWARE_AGAIN_S
            self._hardware = self._machine.hardware()

    def _tell(self, listener: Listener, tell: Callable[[], None]) -> None:
        """Tell one listener; its mistakes are not those of the clock, nor of the others."""
        try:
            tell()
        except Exception:
            log.exception("clock_listener_failed", listener=type(listener).__name__)

    def _offset_ms(self) -> int:
        """Return wall clock minus monotonic time; read again if the thread was held up between."""
        best_s, offset_ms = math.inf, 0
        for _ in range(_READ_TRIES):
            before = self._clock.monotonic()
            wall_ms = self._clock.now_ms()
            took_s = self._clock.monotonic() - before
            if took_s < best_s:
                best_s, offset_ms = took_s, wall_ms - round((before + took_s / 2) * 1000)
            if took_s <= _READ_LIMIT_S:
                break
        return offset_ms
