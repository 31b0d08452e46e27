"""Recording: each reading goes to the text file and to the database, and waits when one fails."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice, takewhile
from typing import Generic, TypeVar

import structlog

from kei.errors import StoreError
from kei.reading import Reading
from kei.store.database import Database
from kei.store.lines import reading_line
from kei.store.text import DailyFile

log = structlog.stdlib.get_logger("kei.store")

DEFAULT_BOUND = 10_000  # readings, a day of the default requests; some 4 MB
_BATCH = 1000  # readings written at once

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class OutletStatus:
    """How one of the two places that readings go to is doing.

    Attributes:
        written: readings written since the start.
        waiting: readings in memory, because the disk does not take them.
        dropped: readings given up since the start, because too many waited.
        fault: why writing fails at present, None when all is well.
    """

    written: int
    waiting: int
    dropped: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """How recording is going.

    Attributes:
        text: the daily text files.
        database: the database.
    """

    text: OutletStatus
    database: OutletStatus


@dataclass(frozen=True, slots=True)
class _Line:
    day: date
    text: str


class _Outlet(Generic[_Item]):
    """One place that items go to, in order and once each, with a bounded spool before it.

    Args:
        name: for the log.
        write: writes the first of some items and returns how many; StoreError when none.
        sync: brings what was written to the disk; StoreError when it cannot.
        bound: how many items may wait.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[_Item]], int],
        sync: Callable[[], None],
        bound: int,
    ) -> None:
        self._name = name
        self._write = write
        self._sync = sync
        self._bound = bound
        self._spool: deque[_Item] = deque()
        self._written = 0
        self._dropped = 0
        self._dropped_before = 0  # until the present fault began
        self._fault: str | None = None
        self._sync_fails = False

    @property
    def waiting(self) -> Sequence[_Item]:
        """What is not written yet."""
        return self._spool

    def put(self, items: Sequence[_Item]) -> None:
        """Write items, after those that wait; what cannot be written waits, the oldest is lost."""
        self._spool.extend(items)
        self.flush()
        excess = len(self._spool) - self._bound
        if excess <= 0:
            return
        if self._dropped == self._dropped_before:
            log.warning("recording_spool_full", to=self._name, bound=self._bound)
        self._dropped += excess
        for _ in range(excess):
            self._spool.popleft()

    def flush(self) -> None:
        """Write what waits, as far as that goes."""
        batch = _BATCH if self._fault is None else 1  # first see whether the fault is over
        while self._spool:
            try:
                taken = self._write(list(islice(self._spool, batch)))
            except StoreError as error:
                self.failed(error)
                return
            for _ in range(taken):
                self._spool.popleft()
            self._written += taken
            batch = _BATCH
        self._well_if_so()

    def sync(self) -> None:
        """Write what waits, and bring everything to the disk."""
        self.flush()
        try:
            self._sync()
        except StoreError as error:
            self._sync_fails = True
            self.failed(error)
            return
        self._sync_fails = False
        self._well_if_so()

    def failed(self, error: StoreError) -> None:
        """Take note of a fault; only the first of a row is logged."""
        if self._fault is None:
            self._dropped_before = self._dropped
            log.error("recording_failing", to=self._name, reason=str(error))
        self._fault = str(error)

    def status(self) -> OutletStatus:
        """Return how it is doing."""
        return OutletStatus(self._written, len(self._spool), self._dropped, self._fault)

    def _well_if_so(self) -> None:
        if self._fault is None or self._spool or self._sync_fails:
            return
        self._fault = None
        log.info("recording_resumed", to=self._name, dropped=self._dropped - self._dropped_before)


class Recorder:
    """Takes readings from any thread and keeps them in both places, in the order they came.

    Text and database fail independently: what one does not take waits in memory, one error is
    logged for the fault, and it is written in order when it works again, nothing twice. The
    text comes first, so that after a crash it has whatever the database has.

    Args:
        database: stays open when the recorder is closed; others use it too.
        text: the daily files of readings; nobody else writes to them.
        bound: how many readings may wait for each of the two; beyond it the oldest is given up.
    """

    def __init__(self, database: Database, text: DailyFile, *, bound: int = DEFAULT_BOUND) -> None:
        self._store = database
        self._file = text
        self._lock = threading.Lock()
        self._text = _Outlet[_Line]("text", self._write_lines, text.sync, bound)
        self._database = _Outlet[Reading]("database", self._write_rows, database.sync, bound)

    def record(self, readings: Sequence[Reading]) -> None:
        """Keep readings, in their order. A failing disk is logged, never raised."""
        with self._lock:
            self._record(readings)

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Keep those readings whose series has none of that time yet.

        For values that carry the meter's own time and so may be heard of more than once. When the
        database cannot be asked they are kept: a line twice is better than none.
        """
        with self._lock:
            waiting = {_identity(reading) for reading in self._database.waiting}
            fresh: list[Reading] = []
            for reading in readings:
                identity = _identity(reading)
                if identity in waiting or self._is_stored(reading):
                    continue
                waiting.add(identity)
                fresh.append(reading)
            self._record(fresh)

    def sync(self) -> None:
        """Try again to write what waits, and bring everything to the disk."""
        with self._lock:
            self._text.sync()
            self._database.sync()

    def close(self) -> None:
        """Make a last attempt to write what waits, and close the text files."""
        with self._lock:
            self._text.sync()
            self._database.sync()
            for name, outlet in (
                ("text", self._text.status()),
                ("database", self._database.status()),
            ):
                if outlet.waiting:
                    log.error("readings_lost", to=name, count=outlet.waiting, reason=outlet.fault)
            try:
                self._file.close()
            except StoreError as error:
                self._text.failed(error)

    def status(self) -> RecorderStatus:
        """Return the counters of both places."""
        with self._lock:
            return RecorderStatus(self._text.status(), self._database.status())

    def _record(self, readings: Sequence[Reading]) -> None:
        zone = self._file.zone
        lines = [_Line(self._file.day_of(r.time_ms), reading_line(r, zone)) for r in readings]
        self._text.put(lines)
        self._database.put(readings)

    def _write_lines(self, lines: Sequence[_Line]) -> int:
        day = lines[0].day
        same_file = [line.text for line in takewhile(lambda line: line.day == day, lines)]
        self._file.append(day, same_file)
        return len(same_file)

    def _write_rows(self, readings: Sequence[Reading]) -> int:
        self._store.add_readings(readings)
        return len(readings)

    def _is_stored(self, reading: Reading) -> bool:
        try:
            return self._store.has(reading.unit, reading.sensor, reading.time_ms)
        except StoreError as error:
            self._database.failed(error)
            return False


def _identity(reading: Reading) -> tuple[str, str, int]:
    return reading.unit, reading.sensor, reading.time_ms
