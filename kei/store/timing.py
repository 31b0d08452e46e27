"""Correction of the times of readings that were taken before the wall clock was set."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from kei.core.clock import Clock
from kei.core.reading import Reading
from kei.store.database import Database
from kei.store.dirty_windows import mark_dirty
from kei.store.reading_table import mark_spans
from kei.store.write_queue import Item, WriteQueue
from kei.timekeeping.monitor import ClockStatus

log = structlog.stdlib.get_logger("kei.store")

SAME_SETTING_MS = 1000  # slewing moves a clock by less between two readings; a step is 2 s or more

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
            self.corrections = [self._retiming(), _clear]

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
            self.corrections.append(_clear)

    def synchronised(self, queue: WriteQueue) -> None:
        """Handle that the wall clock is synchronised from now on."""
        queue.change(partial(_retimed, self._offset_ms()))
        queue.change(_trusted)
        self.corrections += [self._retiming(), _clear]
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
        """Note which rows were timed by an unset clock, in the transaction that adds them."""
        _add(connection, _spans(first_id, (item.offset_ms for item in items)), self._boot)

    def _retiming(self) -> _Correction:
        offset_ms, boot = self._offset_ms(), self._boot

        def retime(connection: sqlite3.Connection) -> None:
            moved = _retime(connection, offset_ms, boot)
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


@dataclass(frozen=True, slots=True)
class _Span:
    """Rows with consecutive ids that were timed by the same setting of the wall clock.

    Attributes:
        first_id: of the first row.
        last_id: of the last one.
        offset_ms: wall clock minus monotonic clock.
    """

    first_id: int
    last_id: int
    offset_ms: int


def _spans(first_id: int, offsets: Iterable[int | None]) -> Iterator[_Span]:
    """Yield the spans among rows with consecutive ids.

    Args:
        first_id: of the first row.
        offsets: of each row; None if its time needs no correction.
    """
    open_: _Span | None = None
    for id_, offset in enumerate(offsets, start=first_id):
        if open_ is not None:
            if offset is not None and abs(offset - open_.offset_ms) < SAME_SETTING_MS:
                open_ = _Span(open_.first_id, id_, open_.offset_ms)
                continue
            yield open_
        open_ = None if offset is None else _Span(id_, id_, offset)
    if open_ is not None:
        yield open_


def _add(connection: sqlite3.Connection, spans: Iterable[_Span], boot: str) -> None:
    """Save spans, in the transaction that adds their rows.

    Args:
        connection: of that transaction.
        spans: in the order of their ids.
        boot: name of the present boot, to which the monotonic clock of the offsets belongs.
    """
    for span in spans:
        extended = connection.execute(
            "UPDATE unsure SET last_id = ? WHERE last_id = ? AND boot = ?"
            " AND abs(offset_ms - ?) < ?",
            (span.last_id, span.first_id - 1, boot, span.offset_ms, SAME_SETTING_MS),
        )
        if not extended.rowcount:
            connection.execute(
                "INSERT INTO unsure (first_id, last_id, offset_ms, boot) VALUES (?, ?, ?, ?)",
                (span.first_id, span.last_id, span.offset_ms, boot),
            )


def _retime(connection: sqlite3.Connection, offset_ms: int, boot: str) -> int:
    """Give the rows of all spans the time that they have by the present setting of the clock.

    Args:
        connection: of a transaction.
        offset_ms: wall clock minus monotonic clock, now.
        boot: name of the present boot; spans of other boots cannot be corrected.

    Returns:
        how many readings changed their time.
    """
    spans: list[tuple[int, int, int]] = connection.execute(
        "SELECT first_id, last_id, offset_ms FROM unsure WHERE boot = ?", (boot,)
    ).fetchall()
    moved = 0
    for first_id, last_id, old_offset_ms in spans:
        by_ms = offset_ms - old_offset_ms
        if abs(by_ms) >= SAME_SETTING_MS:
            moved += _move(connection, first_id, last_id, by_ms)
            connection.execute(
                "UPDATE unsure SET offset_ms = ? WHERE first_id = ?", (offset_ms, first_id)
            )
    return moved


def _clear(connection: sqlite3.Connection) -> None:
    """Regard the times of all rows as right from now on."""
    connection.execute("DELETE FROM unsure")


def _move(connection: sqlite3.Connection, first_id: int, last_id: int, by_ms: int) -> int:
    ids = (first_id, last_id)
    rows: list[tuple[int, int]] = connection.execute(
        "SELECT id, time_ms FROM readings WHERE id BETWEEN ? AND ?", ids
    ).fetchall()
    moved = [(id_, time_ms + by_ms) for id_, time_ms in rows]
    mark_dirty(connection, [time_ms for _, time_ms in rows])
    connection.execute(
        "UPDATE readings SET time_ms = time_ms + ? WHERE id BETWEEN ? AND ?", (by_ms, *ids)
    )
    connection.execute("DELETE FROM spans WHERE first_id >= ? AND last_id <= ?", ids)
    mark_spans(connection, moved)
    mark_dirty(connection, [time_ms for _, time_ms in moved])
    return len(moved)
