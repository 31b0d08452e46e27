"""The writer: where each reading is, and how it gets from there into the text and the database.

What holds at every instant, whatever fails and whenever the process or the power ends:

1. A row of `readings` has its line in the text, or had it until somebody else removed it.
2. The checkpoint in the database says up to which byte of each file the lines are rows. It is moved
   in the transaction that adds the rows, after the text up to there has been synced. So the
   database, which is synced for other reasons too, never claims a line that the disk may not have;
   and what is behind the checkpoint has no row.
3. A reading is in one of four places: in memory (`_fresh`, for less than a second while the
   database works), in the table `pending`, in the text behind the checkpoint (and in `_unsaved`,
   for its milliseconds), or in the text with its row.
4. A reading in `pending` gets its line like this: a transaction says which lines are about to be
   appended, and moves the checkpoint to where they begin; that is synced; the lines are appended;
   the next transaction that moves the checkpoint makes them rows and removes them from `pending`.
   Recovery finds those of which the text has the line already, however far it came.
5. Lines are appended only while the time gate is open. What waits in `pending` is seen by no upload
   and in no average, so that they wait, too.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import Sequence
from datetime import date
from itertools import islice

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError, TextError
from kei.core.incidents import Incidents
from kei.core.reading import Reading
from kei.store import checkpoints, unsynchronised_spans
from kei.store.checkpoints import Progress
from kei.store.database import CHECK_EVERY_S, Database
from kei.store.dirty_windows import mark_dirty
from kei.store.line_maker import Line, LineMaker
from kei.store.pending import Item, PendingQueue
from kei.store.reading_table import ReadingTable
from kei.store.recovery import fill, recover
from kei.store.sinks import RecorderStatus, Sinks
from kei.store.text import DailyFile
from kei.store.writeback import WriteBack
from kei.timekeeping.gate import TimeGate, Trust

log = structlog.stdlib.get_logger("kei.store")

COMMIT_EVERY_S = 600.0  # of rows that have their line; the end of a window commits, too
COMMIT_SOON_S = 0.5  # of readings that have no line: a crash may cost a second
COMMIT_ROWS = 5000  # so many are committed at once, however soon they come
RETRY_S = 5.0  # between tries of a sink that fails, besides those with each reading
SYNC_SHARE = 0.95  # of the permitted time; the rest is for the disk
_LINES_AT_ONCE = 1000


class Writer:
    """Holds the readings that are not in both sinks, and writes them. Raises no `StoreError`.

    Used under the lock of the recorder; status, `is_complete` and `failing` by any thread.

    Args:
        database: takes the rows.
        text: the daily files of readings.
        gate: says when lines may be written, and which time is right.
        clock: wall and monotonic time.
        boot: name of the present boot of the machine, to which its monotonic time belongs.
        sync_s: seconds of readings that a power cut may cost.
        bound: how many readings are kept in memory; beyond it the oldest is given up.
    """

    def __init__(
        self,
        database: Database,
        text: DailyFile,
        gate: TimeGate,
        *,
        clock: Clock,
        boot: str,
        sync_s: float,
        bound: int,
    ) -> None:
        self._store = database
        self._table = ReadingTable(database)
        self._file = text
        self._gate = gate
        self._clock = clock
        self._boot = boot
        self._write_back = WriteBack(clock, sync_s * SYNC_SHARE)
        self._bound = bound
        self._sinks = Sinks()
        self._text, self._database = self._sinks.text, self._sinks.database
        self._maker = LineMaker(gate, text.zone, clock)
        self._incidents = Incidents(log, clock)
        self._fresh: deque[Item] = deque()  # neither a line nor in `pending`
        self._unsaved: list[Line] = []  # lines behind the checkpoint
        self._forgotten = 0  # lines behind the checkpoint that only the text has
        self._pending = PendingQueue(database, boot)
        self._prepared: list[Line] = []  # of it, those that are about to be appended
        self._progress = Progress(text)
        self._generation = database.generation
        self._limit = _LINES_AT_ONCE
        self._spans_due = True  # whether times in the database may have to be corrected
        self._recover_at = self._look_at = clock.monotonic()

    def add(self, items: Sequence[Item]) -> None:
        """Take readings, which `settle` writes."""
        self._fresh.extend(items)

    def fresh_of(self, readings: Sequence[Reading]) -> list[Item]:
        """Return those readings, with times of their own, whose series has none of that time."""
        known = {_identity(item.reading) for item in self._fresh if item.offset_ms is None}
        known |= {_identity(line.reading) for line in self._unsaved}
        fresh: list[Item] = []
        for reading in readings:
            item = self._maker.storable(Item(reading, None, Trust.SURE))
            if item is None or _identity(reading) in known or self._is_stored(reading):
                continue
            known.add(_identity(reading))
            fresh.append(item)
        return fresh

    def clock_changed(self) -> None:
        """Have `settle` correct what the clock had wrong."""
        self._spans_due = True

    def look(self) -> bool:
        """Look now and then whether the files are still there; return whether to settle."""
        now = self._clock.monotonic()
        try:
            self._store.check()
        except StoreError as error:
            self._sinks.failed(error)
        if self._look_at <= now:
            self._look_at = now + CHECK_EVERY_S
            self._progress.others |= self._file.others()
        return self._store.generation != self._generation or bool(self._progress.others)

    @property
    def has_to_retry(self) -> bool:
        """Whether something is to be tried again."""
        unsettled = self._progress.checkpoint is None or bool(self._progress.others)
        return bool(self._sinks.fault) or unsettled or self._spans_due

    @property
    def is_database_failing(self) -> bool:
        """Whether the last try to write to the database failed."""
        return self._database.fault is not None

    @property
    def commit_within_s(self) -> float | None:
        """Within how many seconds to commit; None if there is nothing to be committed."""
        if not (self._moves or self._fresh):
            return None
        if self._database.fault is not None:
            return RETRY_S
        return COMMIT_SOON_S if self._fresh else COMMIT_EVERY_S

    @property
    def sync_due(self) -> float | None:
        """When to call `sync`, monotonic; None if everything is synced."""
        return self._write_back.due

    @property
    def why_not_committed(self) -> str | None:
        """Why lines have no row although all was tried; None if they have."""
        if self._unsaved or self._forgotten or self._progress.checkpoint is None:
            return self._sinks.fault or "the database does not take readings"
        return None

    @property
    def is_complete(self) -> bool:
        """Whether every reading so far has its line; returns at once."""
        return not self._fresh and self._pending.count == 0

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the sinks that fail at present; returns at once."""
        return self._sinks.failing

    def status(self) -> RecorderStatus:
        """Return the state of both sinks; returns at once."""
        waiting = len(self._fresh) + (self._pending.count or 0)
        return RecorderStatus(
            self._text.status(waiting),
            self._database.status(len(self._fresh) + len(self._unsaved) + self._forgotten),
            waiting,
            self._maker.set_aside,
        )

    def close(self) -> None:
        """Try a last time to write what waits, and close the text files."""
        self._recover_at = self._clock.monotonic()
        self.settle(commit=True)
        if self._fresh and self._database.fault:
            self._write_lines(even_closed=True)  # a line that may be wrong is better than none
        self.sync()
        if self._fresh:
            log.error("readings_lost", count=len(self._fresh), reason=self._sinks.fault)
        try:
            self._file.close()
        except TextError as error:
            self._sinks.failed(error)

    def settle(self, *, commit: bool) -> None:
        """Write what can be written now: lines, and rows if `commit` is set."""
        try:
            self._gate.look()
            if self._store.generation != self._generation:
                self._generation = self._store.generation
                self._progress.saved(None)
            if self._progress.checkpoint is None:
                self._recover()
            if self._spans_due:
                self._correct_times()
            if self._progress.others:
                self._fill_files()
            self._write_lines()
            if commit or len(self._unsaved) >= min(COMMIT_ROWS, self._bound):
                self._commit_all()
            self._shorten()
        except Exception as error:  # noqa: BLE001 - whatever it is, recording goes on
            self._incidents.raised(
                "recorder_failed", level=logging.ERROR, reason=repr(error), exc_info=True
            )
        else:
            self._incidents.ended("recorder_failed")

    def _recover(self) -> None:
        now = self._clock.monotonic()
        if now < self._recover_at:
            return
        self._recover_at = now + RETRY_S  # it may have to read a lot
        known = [(line.text, line.reading) for line in self._unsaved]
        try:
            checkpoint = recover(self._store, self._file, known)
            self._pending.reset()
        except StoreError as error:
            self._sinks.failed(error)
            return
        self._generation = self._store.generation
        self._progress.saved(checkpoint)
        self._unsaved, self._forgotten = [], 0
        self._prepared = []
        self._recover_at = now
        self._write_back.touched()
        self._database.works()

    def _correct_times(self) -> None:
        """Correct the times of rows that were timed before the clock was set."""
        try:
            self._commit()  # with the marks of those that are to be corrected
            moved = unsynchronised_spans.correct(self._store, self._gate, self._boot)
        except StoreError as error:
            self._sinks.failed(error)
        else:
            self._spans_due = False
            if moved:
                log.info("times_put_right", readings=moved)

    def _write_lines(self, *, even_closed: bool = False) -> None:
        """Append the lines of what has none, first of what is in `pending`."""
        if not (self._fresh or self._pending.count or self._text.fault):
            return
        if self._gate.is_closed and not even_closed:
            return
        if self._progress.checkpoint is None and self._database.fault is None:
            return  # recovery comes first
        self._limit = 1 if self._text.fault else _LINES_AT_ONCE  # to see whether the fault is over
        try:
            if self._pending.count and self._progress.checkpoint is not None:
                self._write_pending()
            self._write_fresh()
        except TextError as error:
            self._sinks.failed(error)
        else:
            if self._text.fault is not None and self._progress.checkpoint is not None:
                self._text.works()

    def _write_fresh(self) -> None:
        """Append the lines of what came last; TextError if the disk does not take them."""
        deferred: list[Item] = []
        try:
            while self._fresh:
                batch = self._batch(list(islice(self._fresh, self._limit)))
                if not batch:
                    continue  # all were set aside
                is_known = self._begin(batch[0].day)
                if is_known:
                    self._append(batch)
                for line in batch:
                    assert self._fresh[0] is line.item, "in order"
                    self._fresh.popleft()
                if not is_known:
                    deferred += [line.item for line in batch]
        finally:
            self._fresh.extendleft(reversed(deferred))

    def _batch(self, items: Sequence[Item]) -> list[Line]:
        """Return the lines of the first items, as far as they belong to the same daily file.

        Items of which no line can be made are set aside.
        """
        batch: list[Line] = []
        for item in items:
            line = self._maker.line(item)
            if line is None and item.id is None:
                self._fresh.remove(item)
            elif line is None:
                self._pending.settled(item.id or 0)
            elif batch and line.day != batch[0].day:
                break
            else:
                batch.append(line)
        return batch

    def _write_pending(self) -> None:
        """Append the lines of what is in `pending`, batch by batch; see the module, 4.

        If the database fails, they wait.

        Raises:
            TextError: the text does not take them; they stay prepared.
        """
        try:
            while self._pending.count:
                if not self._is_prepared():
                    self._prepare()
                if batch := self._prepared:
                    self._append(batch)
                    self._prepared = []
        except TextError:
            raise
        except StoreError as error:
            self._sinks.failed(error)

    def _is_prepared(self) -> bool:
        """Return whether there are prepared lines, and the clock has not been set since."""
        if not self._prepared or self._progress.end(self._prepared[0].day) is None:
            return False
        now = [self._maker.line(line.item) for line in self._prepared]
        return [line and line.text for line in now] == [line.text for line in self._prepared]

    def _prepare(self) -> None:
        batch = self._batch(self._pending.next_items(self._limit))
        if batch:
            day = batch[0].day
            self._progress.move(day, self._file.size(day))
            self._commit(prepare=batch)
            self._store.sync()
        self._prepared = batch

    def _append(self, batch: Sequence[Line]) -> None:
        """Append lines of the same daily file; TextError if the disk does not take them."""
        day = batch[0].day
        self._write_back.before_append()
        known = self._progress.end(day)
        begin, end = self._file.append(day, [line.text for line in batch])
        self._write_back.after_append()
        self._progress.move(day, end)
        self._unsaved += batch
        for line in batch:
            if line.item.id is not None:
                self._pending.settled(line.item.id)
        self._text.written += len(batch)
        self._limit = _LINES_AT_ONCE
        if begin != known and known is not None:  # another program has changed the file
            try:
                self._commit()
            except StoreError as error:
                self._sinks.failed(error)

    def _begin(self, day: date) -> bool:
        """Save where the next lines of a file begin, if nobody knows that yet.

        Returns:
            whether recovery will find them; newer files than all others it finds in any case.
        """
        if self._progress.end(day) is not None:
            return True
        self._progress.move(day, self._file.size(day))
        try:
            self._commit()
        except TextError:
            raise
        except StoreError as error:
            self._sinks.failed(error)
            self._progress.move(day, None)
            return self._progress.is_newest(day)
        return True

    def _commit_all(self) -> None:
        """Commit, and save what could not get a line in `pending`."""
        try:
            self._commit()
        except StoreError as error:
            self._sinks.failed(error)
            if not isinstance(error, TextError):
                return
        fresh = [item for item in map(self._maker.storable, self._fresh) if item is not None]
        if not (fresh or self._database.fault):
            self._fresh.clear()
            return
        try:
            self._pending.add(fresh)
        except StoreError as error:
            self._sinks.failed(error)
            return
        self._fresh.clear()
        self._write_back.touched()
        if self._progress.checkpoint is not None:
            self._database.works()

    def _commit(self, prepare: Sequence[Line] = ()) -> None:
        """Make the lines behind the checkpoint rows, in one transaction.

        Args:
            prepare: lines from `pending` that are about to be appended.

        Raises:
            TextError: the lines cannot be synced.
            StoreError: the database does not take the rows.
        """
        checkpoint = self._progress.next()
        if checkpoint is None or not (self._moves or prepare):
            return
        self._sync_text()
        lines = [(line.item.id or 0, line.reading.time_ms) for line in prepare]
        with self._store.transaction() as connection:
            self._add_rows(connection, self._unsaved)
            self._pending.commit(connection, lines)
            checkpoints.save(connection, checkpoint)
        self._progress.saved(checkpoint)
        self._pending.committed(lines)
        self._database.written += len(self._unsaved)
        self._unsaved = []
        self._write_back.touched()
        self._database.works()

    @property
    def _moves(self) -> bool:
        """Whether the checkpoint can and has to be moved."""
        changed = self._unsaved or self._progress.is_changed or self._pending.is_changed
        return self._progress.checkpoint is not None and bool(changed)

    def _add_rows(self, connection: sqlite3.Connection, lines: Sequence[Line]) -> None:
        if not lines:
            return
        readings = [line.reading for line in lines]
        first_id = self._table.add(connection, readings)
        offsets = [self._maker.unsure_offset_ms(line) for line in lines]
        unsynchronised_spans.add(connection, first_id, offsets, self._boot)
        mark_dirty(connection, [reading.time_ms for reading in readings])

    def _fill_files(self) -> None:
        """Give text files that were removed or replaced the lines that only the database has.

        And the database those that only they have. Only today's file is filled: older ones may have
        been put away, and have got another line since.
        """
        if self._progress.checkpoint is None:
            return
        today = self._file.day_of(self._clock.now_ms())
        try:
            for day in self._progress.others:
                self._progress.move(day, self._progress.end(day) or 0)
            self._commit()
            for day in self._progress.others:
                if day == today:
                    fill(self._store, self._file, day)
        except StoreError as error:
            self._sinks.failed(error)
            return
        self._progress.others.clear()
        self._progress.saved(None)
        self._recover_at = self._clock.monotonic()
        self._recover()

    def _shorten(self) -> None:
        """Keep no more in memory than the bound allows."""
        if len(self._unsaved) > self._bound:
            self._forgotten += len(self._unsaved)  # recovery reads their lines
            self._unsaved = []
            self._progress.saved(None)
        lost = len(self._fresh) - self._bound
        if lost > 0:
            for _ in range(lost):
                self._fresh.popleft()
            if self._sinks.drop(lost):
                log.warning("recording_spool_full", bound=self._bound)

    def _sync_text(self) -> None:
        """Bring every line to the disk; TextError if that fails."""
        self._text.is_sync_failing = True
        self._file.sync()
        self._text.is_sync_failing = False
        self._write_back.after_sync()

    def sync(self) -> None:
        """Bring everything that was written to the disk."""
        self._write_back.after_sync()
        for sink, sync in ((self._text, self._file.sync), (self._database, self._store.sync)):
            try:
                sync()
            except StoreError as error:
                sink.is_sync_failing = True
                self._sinks.failed(error)
                self._write_back.touched()  # tried again
            else:
                sink.is_sync_failing = False

    def _is_stored(self, reading: Reading) -> bool:
        try:
            return self._pending.has(reading) or self._table.has(
                reading.unit, reading.sensor, reading.time_ms
            )
        except StoreError as error:
            self._sinks.failed(error)
            return False


def _identity(reading: Reading) -> tuple[str, str, int]:
    return reading.unit, reading.sensor, reading.time_ms
