"""The clock monitor: notices when the machine's clock is set, and when it is synchronised."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import partial
from typing import Protocol

import structlog

from kei import RELEASED
from kei.core.clock import Clock, epoch_ms, offset_ms
from kei.core.heartbeat import Heartbeat
from kei.timekeeping.linux import ClockSources, LinuxClock

log = structlog.stdlib.get_logger("kei.clock")

CHECK_S = 0.5  # twice within the shortest usual cycle of a job
STEP_MS = 2000  # less disturbs no job and shifts no reading by much
# A time service may be started after kei, in the same boot.
SOURCES_AGAIN_S, SOURCES_LIMIT_S = 10.0, 120.0
_RELEASED_MS = epoch_ms(datetime.combine(RELEASED, time(), UTC))


@dataclass(frozen=True, slots=True)
class ClockStatus:
    """Whether the wall clock can be trusted.

    Attributes:
        synchronised: whether a time service has set it since kei or the machine was started, and
            nobody else has set it since.
        likely_wrong: whether it is better to wait until it is set than to use its time.
    """

    synchronised: bool
    likely_wrong: bool


class ClockListener(Protocol):
    """Is called in the monitor's thread; should return soon. Its exceptions are logged."""

    def stepped(self, by_ms: int) -> None:
        """Handle that the wall clock has been set, forward (positive) or back."""

    def synchronised(self) -> None:
        """Handle that the wall clock is right from now on; called after `stepped`, if at all."""


class ClockMonitor:
    """Compares the wall clock with the monotonic one.

    Linux slews both alike (adjtime, NTP), so their difference changes only when the clock is set
    (a leap second included), or when the machine wakes from suspend: CLOCK_MONOTONIC stands still
    meanwhile, which looks like a step forward. That is intended, as every job has to be planned
    anew then, too. The difference is compared with that of the last reported step, not of the last
    check, so that a clock that is set in small steps is noticed.

    Args:
        clock: wall and monotonic time.
        linux: knows whether the clock is synchronised.
        newest_ms: the time of the newest record, milliseconds since 1970; None if there is none.

    Attributes:
        heartbeat: of its thread.
    """

    def __init__(self, clock: Clock, linux: LinuxClock, *, newest_ms: int | None) -> None:
        self._clock = clock
        self._linux = linux
        self._newest_ms = newest_ms
        self._listeners: list[ClockListener] = []
        self._stopping = threading.Event()
        self._reported_ms = offset_ms(clock)  # the difference after the last reported step
        self._marker = linux.timesync_marker()
        self._old_marker: int | None = None
        self._synchronised = bool(linux.kernel_synchronised()) or self._marker is not None
        self._synchronised_reported = False
        self._sources = linux.sources()
        self._sources_due = clock.monotonic() + SOURCES_AGAIN_S
        self._sources_until = clock.monotonic() + SOURCES_LIMIT_S
        self.heartbeat = Heartbeat(clock)

    def add_listener(self, listener: ClockListener) -> None:
        """Call a listener from now on, after those that were added before; only before `run`."""
        self._listeners.append(listener)

    @property
    def status(self) -> ClockStatus:
        """Whether the clock can be trusted at present; any thread.

        It is no longer synchronised after a step, even before `check` has noticed that.
        """
        present_ms = offset_ms(self._clock)
        synchronised = self._synchronised and abs(present_ms - self._reported_ms) <= STEP_MS
        wrong = likely_wrong(
            synchronised=synchronised,
            sources=self._sources,
            now_ms=self._clock.now_ms(),
            newest_ms=self._newest_ms,
        )
        return ClockStatus(synchronised, wrong)

    @property
    def synchronised(self) -> bool:
        """The same of the status."""
        return self.status.synchronised

    def run(self) -> None:
        """Check the clock until stopped."""
        while not self._stopping.is_set():
            self.check()
            self.heartbeat.beat()
            self._stopping.wait(self._clock.wait_s(CHECK_S))

    def stop(self) -> None:
        """Make `run` return soon; any thread."""
        self._stopping.set()

    def check(self) -> None:
        """Check the clock once, and report what has changed to the listeners."""
        present_ms, kernel, marker = self._look()
        by_ms = present_ms - self._reported_ms
        stepped = abs(by_ms) > STEP_MS
        self._check_synchronisation(kernel=kernel, marker=marker, stepped=stepped)
        if stepped:
            self._reported_ms = present_ms
            log.warning("clock_stepped", by_s=round(by_ms / 1000))
            for listener in self._listeners:
                _call(listener, partial(listener.stepped, by_ms))
        if self._synchronised and not self._synchronised_reported:
            self._synchronised_reported = True
            log.info("clock_synchronised")
            for listener in self._listeners:
                _call(listener, listener.synchronised)

    def _look(self) -> tuple[int, bool | None, int | None]:
        """Return the setting of the clock, and what kernel and time service say of this one.

        If the clock is set between the two, what they say is of another one than was seen.
        """
        seen_ms = offset_ms(self._clock)
        while True:
            kernel, marker = self._linux.kernel_synchronised(), self._linux.timesync_marker()
            before_ms, seen_ms = seen_ms, offset_ms(self._clock)
            if abs(seen_ms - before_ms) <= STEP_MS:
                return seen_ms, kernel, marker

    def _check_synchronisation(
        self, *, kernel: bool | None, marker: int | None, stepped: bool
    ) -> None:
        if stepped and not kernel:
            # Set by hand: the kernel's flag is cleared then, but the marker stays.
            self._synchronised, self._old_marker = False, self._marker
        self._marker = marker
        if self._synchronised:
            return  # also when the kernel clears its flag because the network is away for long
        self._synchronised = bool(kernel) or marker not in (None, self._old_marker)
        if not self._synchronised:
            self._synchronised_reported = False
            now = self._clock.monotonic()
            if self._sources_due <= now < self._sources_until:
                self._sources_due = now + SOURCES_AGAIN_S
                self._sources = self._linux.sources()


def _call(listener: ClockListener, report: Callable[[], None]) -> None:
    """Call one listener; an error in it must not keep the others from being called."""
    try:
        report()
    except Exception:
        log.exception("clock_listener_failed", listener=type(listener).__name__)


def likely_wrong(
    *, synchronised: bool, sources: ClockSources, now_ms: int, newest_ms: int | None
) -> bool:
    """Return whether it is better to wait for the clock to be set than to use its time.

    It is better where the clock will be set, as on a Raspberry Pi without a battery clock, and
    where it cannot be right, because it shows a time that has passed already.

    Args:
        synchronised: whether a time service has set the clock.
        sources: from what the machine knows the time.
        now_ms: what the clock shows, milliseconds since 1970.
        newest_ms: the time of the newest record when kei was started; None if there was none.
    """
    if synchronised:
        return False
    if sources.time_service and not sources.battery_clock:
        return True
    return now_ms < _RELEASED_MS or (newest_ms is not None and now_ms < newest_ms)
