"""Correction of the times of readings that were taken before the wall clock was set."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from kei.core.clock import Clock
from kei.core.reading import Reading
from kei.store import unsynchronised_spans
from kei.store.database import Database
from kei.store.unsynchronised_spans import SAME_SETTING_MS
from kei.store.write_queue import Item, WriteQueue
from kei.timekeeping.monitor import ClockStatus

log = structlog.stdlib.get_logger("kei.store")

_Correction = Callable[[sqlite3.Connection], None]


def boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Return the name of the present boot of the machine; empty if it has none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Timing:
    """Notes which readings were timed by a clock that was not set, and corrects their times.

    Used under the lock of the recorder.

    Args:
        clock: wall and monotonic time.
        clock_status: returns whether the wall clock can be trusted at present.
        boot: name of the present boot of the machine; the monotonic clock begins anew with each.
        wait_s: how long lines wait for a clock that is likely to be wrong, seconds.

    Attributes:
        hold_until: until when lines wait for the clock, monotonic; None when they do not.
        corrections: of times in the database, still to be made by `correct`.
    """

    def __init__(
        self, clock: Clock, clock_status: Callable[[], ClockStatus], boot: str, wait_s: float
    ) -> None:
        self._clock = clock
        self._clock_status = clock_status
        self._boot = boot
        self._wait_s = wait_s
        status = clock_status()
        self._was_wrong = status.likely_wrong
        self.hold_until: float | None = None
        if wait_s > 0 and self._was_wrong:
            self.hold_until = clock.monotonic() + wait_s
        self.corrections: list[_Correction] = []
        if status.synchronised:  # it may not have been when kei ended, in this boot
            self.corrections = [self._retiming(), unsynchronised_spans.clear]

    def items(self, readings: Sequence[Reading]) -> list[Item]:
        """Return readings that were timed by the wall clock as items of the write queue."""
        status = self._clock_status()
        self._was_wrong = status.likely_wrong
        offset_ms = None if status.synchronised else self._offset_ms()
        return [Item(reading, offset_ms) for reading in readings]

    def end_overdue_hold(self) -> None:
        """Let lines wait no longer if they have waited long enough; log that."""
        if self.hold_until is not None and self._clock.monotonic() >= self.hold_until:
            self.hold_until = None
            hint = "is there a network? lines get the time that the clock shows"
            log.warning("clock_not_set", waited_s=self._wait_s, hint=hint)

    def stepped(self, queue: WriteQueue) -> None:
        """Handle that the wall clock was set.

        If it is not synchronised, readings of a clock that was likely to be wrong get their time by
        the new setting. Others keep theirs: the clock of a machine that was asleep is set when it
        wakes up, too.
        """
        if self._clock_status().synchronised:
            self.synchronised(queue)
        elif self._was_wrong:
            queue.change(partial(_retimed, self._offset_ms()))
            self.corrections.append(self._retiming())
        else:
            queue.change(_trusted)
            self.corrections.append(unsynchronised_spans.clear)

    def synchronised(self, queue: WriteQueue) -> None:
        """Handle that the wall clock is synchronised from now on."""
        queue.change(partial(_retimed, self._offset_ms()))
        queue.change(_trusted)
        self.corrections += [self._retiming(), unsynchronised_spans.clear]
        self.hold_until = None

    def correct(self, database: Database) -> None:
        """Correct the times in the database.

        Raises:
            StoreError: that is not possible now; call it again.
        """
        with database.transaction() as connection:
            for correction in self.corrections:
                correction(connection)
        self.corrections.clear()

    def note(self, connection: sqlite3.Connection, first_id: int, items: Sequence[Item]) -> None:
        """Note which of some rows were timed by an unset clock, in the transaction that adds them.

        Args:
            connection: of that transaction.
            first_id: of the rows.
            items: their readings.
        """
        offsets = (item.offset_ms for item in items)
        spans = unsynchronised_spans.find(first_id, offsets)
        unsynchronised_spans.add(connection, spans, self._boot)

    def _retiming(self) -> _Correction:
        offset_ms, boot = self._offset_ms(), self._boot

        def retime(connection: sqlite3.Connection) -> None:
            moved = unsynchronised_spans.retime(connection, offset_ms, boot)
            if moved:
                log.info("times_put_right", readings=moved)

        return retime

    def _offset_ms(self) -> int:
        return self._clock.now_ms() - round(self._clock.monotonic() * 1000)


def _trusted(item: Item) -> Item:
    return replace(item, offset_ms=None)


def _retimed(offset_ms: int, item: Item) -> Item:
    by_ms = 0 if item.offset_ms is None else offset_ms - item.offset_ms
    if abs(by_ms) < SAME_SETTING_MS:
        return item
    reading = replace(item.reading, time_ms=item.reading.time_ms + by_ms)
    return Item(reading, offset_ms)
