"""The recorder: writes each reading to text and database, and keeps it while one of them fails."""

import sqlite3
import threading
from collections.abc import Sequence
from datetime import date
from itertools import takewhile

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError, TextError
from kei.core.heartbeat import HEARTBEAT_S, Heartbeat
from kei.core.reading import Reading
from kei.store import checkpoints
from kei.store.checkpoints import Checkpoint
from kei.store.database import Database
from kei.store.dirty_windows import mark_dirty
from kei.store.lines import reading_line
from kei.store.reading_table import ReadingTable, newest_id
from kei.store.recovery import initial_checkpoint, recover
from kei.store.text import DailyFile
from kei.store.timing import Timing
from kei.store.write_queue import NO_OVERFLOW, Item, RecorderStatus, Sink, WriteQueue
from kei.store.writeback import WriteBack

log = structlog.stdlib.get_logger("kei.store")

DEFAULT_BOUND = 10_000  # readings, a day of the default requests; some 4 MB
COMMIT_EVERY_S = 600.0  # of rows that have their line; the end of a window commits, too
COMMIT_SOON_S = 0.5  # of rows that have no line: a crash may cost a second
COMMIT_ROWS = 5000  # so many are committed at once, however soon they come
RETRY_S = 5.0  # between tries of a sink that fails, besides those with each reading
SYNC_SHARE = 0.95  # of the permitted time; the rest is for the disk
_LINES_AT_ONCE = 1000


class Recorder:
    """Writes readings to text and database, in the order they came. Thread-safe.

    The line of a reading is appended at once; rows are committed together every ten minutes, as
    each commit wears the card. After a crash in between, the next start adds to one sink what only
    the other has. While the text fails, or lines wait for the clock, rows are committed soon. What
    neither sink takes is kept in memory and written in order, each reading once, when one works
    again; the fault is logged once.

    `run` is for a thread of its own, which does what is due without a new reading.

    Args:
        database: stays open when the recorder is closed; it has other users.
        text: the daily files of readings; written by this recorder only.
        timing: corrects times; used by this recorder only.
        clock: monotonic time.
        sync_s: seconds of readings that a power cut may cost.
        bound: how many readings are kept in memory; beyond it the oldest is given up.

    Attributes:
        heartbeat: of the thread that runs `run`.
    """

    def __init__(
        self,
        database: Database,
        text: DailyFile,
        timing: Timing,
        *,
        clock: Clock,
        sync_s: float = 60.0,
        bound: int = DEFAULT_BOUND,
    ) -> None:
        self._store = database
        self._table = ReadingTable(database)
        self._file = text
        self._timing = timing
        self._clock = clock
        self._write_back = WriteBack(clock, sync_s * SYNC_SHARE)
        self._bound = bound
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stopping = False
        self._text, self._database = Sink("text"), Sink("database")
        self._queue = WriteQueue()
        self._overflow = NO_OVERFLOW  # removed from the queue since the last recovery
        self._generation = database.generation
        self._checkpoint: Checkpoint | None = None  # None until recovery
        self._ends: dict[date, int] = {}  # of the files, with all lines appended so far
        self._commit_at: float | None = None
        self._retry_at = self._recover_at = clock.monotonic()
        self.heartbeat = Heartbeat(clock)

    def start(self) -> None:
        """Recover what an earlier end of the process left in one sink only."""
        with self._lock:
            self._settle(commit=True)

    def record(self, readings: Sequence[Reading]) -> None:
        """Record readings timed by the wall clock. A failing disk is logged, not raised."""
        with self._lock:
            self._take(self._timing.items(readings))

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Record those readings whose series has none of that time yet.

        For values with the meter's own time, which may arrive more than once. When the database
        cannot be asked, they are recorded: a line twice is better than none.
        """
        with self._lock:
            waiting = {_identity(item.reading) for item in self._queue.rows()}
            fresh: list[Item] = []
            for reading in readings:
                identity = _identity(reading)
                if identity in waiting or self._is_stored(reading):
                    continue
                waiting.add(identity)
                fresh.append(Item(reading))
            self._take(fresh)

    def commit(self) -> None:
        """Write everything recorded so far to the database.

        Raises:
            StoreError: that fails at present.
        """
        with self._lock:
            self._settle(commit=True)
            if self._queue.without_row:
                raise StoreError(self._database.fault or "the database does not take readings")

    def sync(self) -> None:
        """Write what waits, and sync everything to the disk."""
        with self._lock:
            self._settle(commit=True)
            self._sync()

    def stepped(self, by_ms: int) -> None:  # noqa: ARG002 - the timing finds out by itself
        """Correct times, as the wall clock was set; called by the clock monitor."""
        with self._lock:
            self._timing.stepped(self._queue)
            self._settle(commit=False)

    def synchronised(self) -> None:
        """Correct times, as the wall clock is synchronised from now on; called by the monitor."""
        with self._lock:
            self._timing.synchronised(self._queue)
            self._settle(commit=False)

    def status(self) -> RecorderStatus:
        """Return the state of both sinks."""
        with self._lock:
            return RecorderStatus(
                self._text.status(self._queue.without_line + self._overflow.in_database),
                self._database.status(self._queue.without_row + self._overflow.in_text),
            )

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the sinks that fail at present; returns at once, even if the disk stalls."""
        return tuple(sink.name for sink in (self._text, self._database) if sink.fault)

    def close(self) -> None:
        """Try a last time to write what waits, and close the text files."""
        with self._lock:
            self._timing.hold_until = None
            self._settle(commit=True)
            self._sync()
            if lost := self._queue.in_neither:
                reason = self._text.fault or self._database.fault
                log.error("readings_lost", count=lost, reason=reason)
            try:
                self._file.close()
            except TextError as error:
                self._failed(error)

    def run(self) -> None:
        """Do what is due without a new reading, until `stop`."""
        while not self._stopping:
            with self._lock:
                due = self._next_due()
                left_s = HEARTBEAT_S if due is None else due - self._clock.monotonic()
            self.heartbeat.beat()  # no write hangs: the lock was free
            self._wake.wait(self._clock.wait_s(min(left_s, HEARTBEAT_S)))
            self._wake.clear()
            if not self._stopping:
                self.tick()

    def stop(self) -> None:
        """Make `run` return soon; any thread."""
        self._stopping = True
        self._wake.set()

    def tick(self) -> None:
        """Do what is due now."""
        with self._lock:
            now = self._clock.monotonic()
            if self._is_due(self._commit_at, now):
                self._settle(commit=True)
            elif self._is_due(self._timing.hold_until, now) or (
                self._has_to_retry and self._retry_at <= now
            ):
                self._settle(commit=self._database.fault is not None)
            if self._is_due(self._write_back.due, now):
                self._sync()

    @staticmethod
    def _is_due(at: float | None, now: float) -> bool:
        return at is not None and at <= now

    @property
    def _has_to_retry(self) -> bool:
        return bool(self._text.fault or self._database.fault or self._timing.corrections)

    def _next_due(self) -> float | None:
        dues = [self._commit_at, self._write_back.due, self._timing.hold_until]
        if self._has_to_retry:
            dues.append(self._retry_at)
        return min((due for due in dues if due is not None), default=None)

    def _take(self, items: Sequence[Item]) -> None:
        """Queue items and write them; wake the thread if something is due earlier than before."""
        before = self._next_due()
        self._queue.add(items)
        is_due = self._is_due(self._commit_at, self._clock.monotonic())
        self._settle(commit=is_due or self._queue.without_row >= COMMIT_ROWS)
        after = self._next_due()
        if after is not None and (before is None or after < before):
            self._wake.set()

    def _settle(self, *, commit: bool) -> None:
        """Write what can be written now: lines, and rows if `commit` is set."""
        now = self._clock.monotonic()
        self._retry_at = now + RETRY_S
        if self._timing.hold_until is not None:
            self._timing.end_overdue_hold()
        if self._timing.corrections:
            self._correct_times()
        if self._store.generation != self._generation:
            self._generation = self._store.generation
            self._checkpoint = None  # a new database has nothing of the text
        if self._checkpoint is None and self._timing.hold_until is None:
            self._recover(now)
        self._write_lines()
        if commit:
            self._commit_at = None
            self._write_rows()
        if len(self._queue) > self._bound:
            self._shorten()
        self._plan_commit(now)

    def _correct_times(self) -> None:
        try:
            self._timing.correct(self._store)
        except StoreError as error:
            self._failed(error)

    def _recover(self, now: float) -> None:
        if now < self._recover_at:
            return
        self._recover_at = now + RETRY_S  # it may have to read a lot
        try:
            checkpoint = recover(self._store, self._file)
        except StoreError as error:
            self._failed(error)
        else:
            self._generation = self._store.generation
            self._checkpoint, self._ends = checkpoint, dict(checkpoint.ends)
            self._recover_at = now
            self._queue.recovered()
            self._overflow = NO_OVERFLOW
            self._write_back.touched()

    def _write_lines(self) -> None:
        if self._timing.hold_until is not None:
            return
        if self._checkpoint is None and self._database.fault is None:
            return  # lines of rows that are in the database already come first
        limit = 1 if self._text.fault else _LINES_AT_ONCE  # to see whether the fault is over
        try:
            while items := self._queue.next_lines(limit):
                self._append(items)
                limit = _LINES_AT_ONCE
        except TextError as error:
            self._failed(error)
        else:
            if self._text.fault is not None and self._checkpoint is not None:
                self._text.works()

    def _append(self, items: Sequence[Item]) -> None:
        """Append the lines of the first items, as far as they belong to the same daily file."""
        file = self._file
        day = file.day_of(items[0].reading.time_ms)
        same_file = takewhile(lambda item: file.day_of(item.reading.time_ms) == day, items)
        lines = [reading_line(item.reading, file.zone) for item in same_file]
        if day not in self._ends:
            # The checkpoint has to say where the lines begin before there are any.
            self._ends = checkpoints.moved(self._ends, day, file.size(day))
            if self._checkpoint is not None:
                self._write_rows(even_none=True)
        self._write_back.before_append()
        begin, end = file.append(day, lines)
        self._write_back.after_append()
        self._text.written += len(lines)
        self._queue.written(lines=len(lines))
        was_changed = begin != self._ends[day]  # by another program: removed, say
        self._ends = checkpoints.moved(self._ends, day, end)
        if was_changed:
            self._write_rows(even_none=True)

    def _write_rows(self, *, even_none: bool = False) -> None:
        has_text = self._text.fault is None and self._timing.hold_until is None
        if self._checkpoint is None and has_text:
            return  # rows of lines that are in the text already come first
        items = self._queue.rows()
        if not (items or even_none or self._is_unsaved or self._database.fault):
            return
        try:
            with self._store.transaction() as connection:
                self._ensure_checkpoint(connection)
                if items:
                    readings = [item.reading for item in items]
                    first_id = self._table.add(connection, readings)
                    self._timing.note(connection, first_id, items)
                    mark_dirty(connection, [reading.time_ms for reading in readings])
                checkpoint = self._save_checkpoint(connection)
        except StoreError as error:
            self._failed(error)
            return
        self._checkpoint = checkpoint
        self._database.written += len(items)
        self._queue.written(rows=len(items))
        self._write_back.touched()
        self._database.works()

    def _ensure_checkpoint(self, connection: sqlite3.Connection) -> None:
        """Save a first checkpoint in a new database, before rows come that have no line yet."""
        if self._checkpoint is None and checkpoints.load(connection) is None:
            newest = newest_id(connection)
            checkpoints.save(connection, initial_checkpoint(self._clock, self._file, newest))

    def _save_checkpoint(self, connection: sqlite3.Connection) -> Checkpoint | None:
        """Save up to where text and database are equal, unless recovery is still to come."""
        if self._checkpoint is None:
            return None
        last_id = newest_id(connection) - self._queue.without_line
        ends = checkpoints.latest(self._ends)
        checkpoint = Checkpoint(last_id, ends, self._file.fingerprints(ends))
        checkpoints.save(connection, checkpoint)
        return checkpoint

    @property
    def _is_unsaved(self) -> bool:
        """Whether lines have been appended since the checkpoint was saved."""
        saved = self._checkpoint
        return saved is not None and saved.ends != checkpoints.latest(self._ends)

    def _shorten(self) -> None:
        removed = self._queue.shorten(self._bound)
        if removed.in_text or removed.in_database:
            self._checkpoint = None  # recovery gives one sink what only the other has
            self._overflow += removed
        if removed.lost and self._text.drop(removed.lost) | self._database.drop(removed.lost):
            log.warning("recording_spool_full", bound=self._bound)

    def _plan_commit(self, now: float) -> None:
        if not self._queue.without_row:
            self._commit_at = None
            return
        has_lines = self._checkpoint is not None and not self._queue.without_line
        if self._database.fault is not None:
            due = now + RETRY_S
        else:
            due = now + (COMMIT_EVERY_S if has_lines else COMMIT_SOON_S)
        self._commit_at = due if self._commit_at is None else min(due, self._commit_at)

    def _sync(self) -> None:
        self._write_back.after_sync()
        for sink, sync in ((self._text, self._file.sync), (self._database, self._store.sync)):
            try:
                sync()
            except StoreError as error:
                sink.is_sync_failing = True
                self._failed(error)
                self._write_back.touched()  # tried again
            else:
                sink.is_sync_failing = False

    def _failed(self, error: StoreError) -> None:
        if isinstance(error, TextError):
            self._text.failed(str(error), alone=self._database.fault is None)
        else:
            self._database.failed(str(error), alone=self._text.fault is None)

    def _is_stored(self, reading: Reading) -> bool:
        try:
            return self._table.has(reading.unit, reading.sensor, reading.time_ms)
        except StoreError as error:
            self._failed(error)
            return False


def _identity(reading: Reading) -> tuple[str, str, int]:
    return reading.unit, reading.sensor, reading.time_ms
