"""The time gate: the one place that says whether a time may be used, and for what.

Between two steps the wall clock has one *setting*: wall clock minus monotonic clock. The gate knows
the settings since the start, and how far the times by each can be trusted. A reading carries the
setting by which it was timed, so that nothing depends on when it is looked at.

Who decides several things that have to agree, as whether lines may be written and with which time,
takes a `View`: between two questions to the gate the clock may be set, and that be noticed.
"""

import threading
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

import structlog

from kei.core.clock import Clock, offset_ms
from kei.timekeeping.monitor import STEP_MS, ClockStatus

log = structlog.stdlib.get_logger("kei.clock")

SETTINGS_MAX = 16  # that are known; readings wait for longer than one only while a disk stalls
# After a step that no time service vouches for: a clock that is set wrong is set right again soon.
STEADY_S = 60.0
TRUSTED_S = 3600.0  # before anything is removed by the clock


class Trust(IntEnum):
    """How far times by a setting of the wall clock can be trusted."""

    WRONG = 0  # likely to be wrong
    UNSURE = 1  # plausible, but no time service has set it
    SURE = 2  # a time service has set it; or nobody has anything better for these times


class Monitor(Protocol):
    """Knows whether the wall clock can be trusted."""

    @property
    def status(self) -> ClockStatus:
        """Whether it can be trusted at present."""


class Setting(NamedTuple):
    """A setting of the wall clock (wall minus monotonic, ms), and what it is worth."""

    offset_ms: int
    trust: Trust


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the wall clock at one instant.

    Attributes:
        is_closed: whether lines have to wait: for the clock, or for the monitor to notice a step.
        present_ms: the present setting; while a step has not been noticed, the one before it.
        settings: all that are known, the present one at the end.
    """

    is_closed: bool
    present_ms: int
    settings: tuple[Setting, ...]

    def trust_of(self, offset: int, if_unknown: Trust = Trust.UNSURE) -> Trust:
        """Return what times by a setting are worth.

        Args:
            offset: wall clock minus monotonic clock.
            if_unknown: for a setting that was ended before the start, or between two looks.
        """
        setting = min(self.settings, key=lambda each: abs(each.offset_ms - offset))
        return setting.trust if abs(setting.offset_ms - offset) <= STEP_MS else if_unknown

    def best_offset_ms(self, offset: int, if_unknown: Trust = Trust.UNSURE) -> int:
        """Return by which setting a time that was taken by one is right.

        It is the present one if that is better. A time that was not likely to be wrong is given up
        only for that of a time service: the clock of a machine that was asleep is set when it wakes
        up, too.

        Args:
            offset: wall clock minus monotonic clock when the time was taken, in this boot.
            if_unknown: as for `trust_of`.
        """
        if abs(self.present_ms - offset) <= STEP_MS:
            return offset
        trust = self.trust_of(offset, if_unknown)
        is_better = trust is Trust.UNSURE and self.settings[-1].trust is Trust.SURE
        return self.present_ms if trust is Trust.WRONG or is_better else offset


class TimeGate:
    """Says whether lines, averages and pruning may go by the wall clock. Thread-safe; never blocks.

    A listener of the clock monitor, and the first: the others ask it. A step that the monitor has
    not noticed yet is seen by comparing the setting, so that nothing is done by it.

    Args:
        clock: wall and monotonic time.
        monitor: knows whether the wall clock can be trusted.
        wait_s: how long lines wait for a clock that is likely to be wrong, seconds: at the start,
            and, for a minute at most, after somebody has set a clock that a time service kept.
    """

    def __init__(self, clock: Clock, monitor: Monitor, wait_s: float = 0.0) -> None:
        self._clock = clock
        self._monitor = monitor
        self._wait_s = wait_s
        self._lock = threading.Lock()
        now, trust = clock.monotonic(), _trust(monitor.status)
        self._settings: tuple[Setting, ...] = (Setting(offset_ms(clock), trust),)
        self._waits_s = wait_s
        is_wrong = wait_s > 0 and trust is Trust.WRONG
        self._waits_until = now + wait_s if is_wrong else None
        self._trusted_from = self._steady_from = now

    @property
    def waits_until(self) -> float | None:
        """Until when lines wait for the clock at the longest, monotonic; None if they do not."""
        return self._waits_until

    def view(self) -> View:
        """Return what is known of the clock now."""
        present = offset_ms(self._clock)
        with self._lock:
            settings, waits = self._settings, self._waits_until is not None
        is_unnoticed = abs(present - settings[-1].offset_ms) > STEP_MS
        noticed = settings[-1].offset_ms if is_unnoticed else present
        return View(is_unnoticed or waits, noticed, settings)

    @property
    def is_closed(self) -> bool:
        """Whether lines have to wait: for the clock, or for the monitor to notice a step."""
        return self.view().is_closed

    @property
    def is_steady(self) -> bool:
        """Whether it can be said by the clock that a window is over."""
        if self.is_closed:
            return False
        return self._monitor.status.synchronised or self._clock.monotonic() >= self._steady_from

    @property
    def is_likely_wrong(self) -> bool:
        """Whether it would be better not to go by the clock."""
        return self._monitor.status.likely_wrong

    @property
    def trusted_s(self) -> float:
        """For how long the clock has been trusted without a step, seconds; 0 if it is not."""
        if self.is_closed or self._monitor.status.likely_wrong:
            return 0.0
        return self._clock.monotonic() - self._trusted_from

    @property
    def is_trusted(self) -> bool:
        """Whether what is too old by the clock may be removed."""
        return self.trusted_s >= TRUSTED_S

    def stepped(self, by_ms: int = 0) -> None:  # noqa: ARG002 - the settings say it
        """Handle that the wall clock has been set."""
        present, trust = offset_ms(self._clock), self._present_trust
        with self._lock:
            self._notice(present, trust)

    def synchronised(self) -> None:
        """Handle that the wall clock is right from now on."""
        present, now = offset_ms(self._clock), self._clock.monotonic()
        with self._lock:
            if self._is_unnoticed(present):
                self._notice(present, Trust.SURE)
            elif self._settings[-1].trust is Trust.WRONG:
                self._trusted_from = now
            self._judge(Trust.SURE)
            self._steady_from = min(self._steady_from, now)
            self._waits_until = None

    def look(self) -> bool:
        """Let lines wait no longer if they have waited long enough; keep up with the monitor.

        To be called every few seconds, so that it is known at a step what the time before was
        worth, and when `waits_until` is over.

        Returns:
            whether lines have just waited long enough.
        """
        with self._lock:  # no step is noticed meanwhile: it would be judged by what was before it
            until = self._waits_until
            has_waited = until is not None and self._clock.monotonic() >= until
            if has_waited:
                self._waits_until = None
            trust = self._present_trust
            is_noticed = not self._is_unnoticed(offset_ms(self._clock))
            if self._waits_until is None and is_noticed:
                self._judge(trust)
        if has_waited:
            hint = "is there a network? lines get the time that the clock shows"
            log.warning("clock_not_set", waited_s=self._waits_s, hint=hint)
        return has_waited

    def _notice(self, present: int, trust: Trust) -> None:
        """Begin with another setting, under the lock."""
        now, before = self._clock.monotonic(), self._settings[-1]
        # The time service that kept the clock will have it right again, unless it has gone.
        is_doubtful = self._wait_s > 0 and before.trust > trust and before.trust is Trust.SURE
        if before.trust is Trust.UNSURE and trust is not Trust.SURE:
            self._judge(Trust.SURE)
        self._trusted_from = now
        self._steady_from = now if trust is Trust.SURE else now + STEADY_S
        if is_doubtful:
            self._waits_s = min(self._wait_s, STEADY_S)
            self._waits_until = now + self._waits_s
        elif trust is not Trust.WRONG:
            self._waits_until = None
        setting = Setting(present, Trust.WRONG if is_doubtful else trust)
        self._settings = (*self._settings, setting)[-SETTINGS_MAX:]

    def _judge(self, trust: Trust) -> None:
        """Note what the present setting is worth, under the lock; one that is sure remains so."""
        *others, present = self._settings
        if present.trust not in (trust, Trust.SURE):
            self._settings = (*others, Setting(present.offset_ms, trust))

    @property
    def _present_trust(self) -> Trust:
        return _trust(self._monitor.status)

    def _is_unnoticed(self, present: int) -> bool:
        return abs(present - self._settings[-1].offset_ms) > STEP_MS


def _trust(status: ClockStatus) -> Trust:
    if status.synchronised:
        return Trust.SURE
    return Trust.WRONG if status.likely_wrong else Trust.UNSURE
