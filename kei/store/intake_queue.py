"""The intake queue between the sources and the recorder: sources go on while the disk stalls.

An SD card may take seconds, at times a minute, to write. But the buffer of a serial driver is full
within one second at 115,200 baud, and a request job that waited for the disk would miss its times.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Protocol

import structlog

from kei.core.clock import Clock, offset_ms
from kei.core.reading import Reading

log = structlog.stdlib.get_logger("kei.store")

BOUND = 10_000  # readings; some 50 s of four ports with 50 lines a second each
FORGETS = 0.9  # a long pause between two readings is the usual one for some twenty more
LONGER = 3  # times the usual one that a pause counts at most: else the series was gone
OF_NOW_MS = 3_600_000  # a half-hour register is the newest one for so long, if the next is late
LONGER_MIN_MS = 60_000  # but so long is a pause for boards that send several lines at once


class Record(Protocol):
    """A recorder, or a queue in front of it."""

    def record(self, readings: Sequence[Reading]) -> None:
        """Write these readings."""

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Write those whose series has no reading of that time and value yet."""


class IntakeQueue:
    """Hands readings to the recorder in a thread of its own, in the order they came.

    Args:
        recorder: takes them; may take its time.
        clock: tells by which setting of the wall clock readings are timed, if they do not say.
        bound: how many may wait; beyond it, callers of `record` are blocked.
    """

    def __init__(self, recorder: Record, clock: Clock, bound: int = BOUND) -> None:
        self._clock = clock
        self._methods = {False: recorder.record, True: recorder.record_once}
        self._bound = bound
        self._waiting: list[tuple[bool, Reading]] = []  # whether only once; the reading
        self._latest: dict[tuple[str, str], Reading] = {}  # by UnitID and SensorID
        self._pauses_ms: dict[tuple[str, str], float] = {}
        self._changed = threading.Condition()
        self._stopping = False

    def record(self, readings: Sequence[Reading], *, once: bool = False) -> None:
        """Queue readings; wait while the queue is full, but not after `stop`. Any thread.

        Args:
            readings: in order.
            once: whether they are for `record_once` of the recorder.
        """
        brought = []
        for each in readings:
            reading = each
            if each.monotonic_ms is None and not once:
                # Now, not when it is handed on: until then the clock may have been set.
                reading = replace(each, monotonic_ms=each.time_ms - offset_ms(self._clock))
            brought.append((once, reading))
            latest = self._latest.get((each.unit, each.sensor))
            if not once or latest is None or each.time_ms > latest.time_ms:  # none of long ago
                self._latest[each.unit, each.sensor] = reading
                if latest is not None:
                    self._note_pause(latest, reading)
        with self._changed:
            while len(self._waiting) >= self._bound and not self._stopping:
                self._changed.wait()
            self._waiting += brought
            self._changed.notify_all()

    def know(self, readings: Sequence[Reading]) -> None:
        """Count those of now that have been recorded already, as they were made good. Any thread.

        Args:
            readings: of any time; one that is older than `OF_NOW_MS` may be older than what was
                recorded before the start.
        """
        since_ms = self._clock.now_ms() - OF_NOW_MS
        for each in readings:
            latest = self._latest.get((each.unit, each.sensor))
            if each.time_ms > (since_ms if latest is None else latest.time_ms):
                self._latest[each.unit, each.sensor] = each

    def latest(self, unit: str) -> Mapping[str, Reading]:
        """Return the last reading of each SensorID of a unit that `record` has been given."""
        latest = self._latest.copy()
        return {sensor: reading for (of, sensor), reading in latest.items() if of == unit}

    def newest(self) -> Mapping[tuple[str, str], Reading]:
        """Return the same of every unit, by UnitID and SensorID."""
        return self._latest.copy()

    def pauses_s(self) -> Mapping[tuple[str, str], float]:
        """Return how long it usually is from one reading to the next, of each series with two.

        The longest of the last pauses: boards send several lines at once, or only what has changed.
        That a board was away for hours does not make hours the usual pause.
        """
        return {series: pause_ms / 1000 for series, pause_ms in self._pauses_ms.copy().items()}

    def _note_pause(self, earlier: Reading, reading: Reading) -> None:
        if earlier.monotonic_ms is not None and reading.monotonic_ms is not None:
            series = reading.unit, reading.sensor
            pause_ms = float(reading.monotonic_ms - earlier.monotonic_ms)
            if (usual_ms := self._pauses_ms.get(series)) is not None:
                pause_ms = min(pause_ms, max(LONGER * usual_ms, LONGER_MIN_MS))
                pause_ms = max(pause_ms, FORGETS * usual_ms)
            self._pauses_ms[series] = pause_ms

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Queue readings for `record_once` of the recorder; as `record`."""
        self.record(readings, once=True)

    def run(self) -> None:
        """Hand over readings until `stop`, then what is left. May be called again after that."""
        while True:
            with self._changed:
                while not (self._waiting or self._stopping):
                    self._changed.wait()
                waiting, self._waiting = self._waiting, []
                self._changed.notify_all()
            if not waiting:
                return
            for once, group in groupby(waiting, key=itemgetter(0)):
                readings = list(map(itemgetter(1), group))
                try:
                    self._methods[once](readings)
                except Exception:
                    log.exception("readings_not_taken", count=len(readings))

    def stop(self) -> None:
        """Make `run` return as soon as nothing waits; any thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
