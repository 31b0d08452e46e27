"""Recording: each reading goes to the text file and to the database, and waits when one fails."""

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
from kei.store.checkpoints import Agreement
from kei.store.database import Database
from kei.store.dirty_windows import reopen
from kei.store.lines import reading_line
from kei.store.reading_table import ReadingTable, newest_id
from kei.store.recovery import first_agreement, reconcile
from kei.store.text import DailyFile
from kei.store.timing import Timing
from kei.store.write_queue import NOTHING_MORE, Item, Outlet, RecorderStatus, Spool
from kei.store.writeback import WriteBack

log = structlog.stdlib.get_logger("kei.store")

DEFAULT_BOUND = 10_000  # readings, a day of the default requests; some 4 MB
COMMIT_EVERY_S = 600.0  # the text has them meanwhile; the end of a window commits, too
COMMIT_SOON_S = 0.5  # when the text does not have them: a crash may cost a second
COMMIT_ROWS = 5000  # however soon they come
RETRY_S = 5.0  # how often a place that failed is tried, besides with each reading
SYNC_SHARE = 0.95  # of the time that is allowed; the rest is for the disk
_LINES_AT_ONCE = 1000


class Recorder:
    """Takes readings from any thread and keeps them in both places, in the order they came.

    The line of a reading is appended at once; rows are committed together every ten minutes, as
    each commit wears the card. Whatever happens in between, one of the two has it, and the next
    start gives it to the other. While the text does not take lines, or they wait for the clock,
    rows are committed soon. What neither takes waits in memory, one error is logged for the
    fault, and it is written in order when there is space again, nothing twice.

    It is also the body of a thread, which does what is due without a new reading.

    Args:
        database: stays open when the recorder is closed; others use it too.
        text: the daily files of readings; nobody else writes to them.
        timing: what the wall clock is worth; used by this recorder alone.
        clock: for what is due.
        sync_s: what a power cut may cost, seconds.
        bound: how many readings may wait in memory; beyond it the oldest is given up.

    Attributes:
        heartbeat: of its thread.
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
        self._text, self._database = Outlet("text"), Outlet("database")
        self._spool = Spool()
        self._only = NOTHING_MORE  # given up of the spool, as one of the places has it
        self._generation = database.generation
        self._agreed: Agreement | None = None  # None until text and database have been compared
        self._marks: dict[date, int] = {}  # of the files, with all lines appended so far
        self._commit_at: float | None = None
        self._retry_at = self._reconcile_at = clock.monotonic()
        self.heartbeat = Heartbeat(clock)

    # ------------------------------------------------------------------ what others call

    def start(self) -> None:
        """Bring text and database to the same state, after whatever ended the process before."""
        with self._lock:
            self._settle(commit=True)

    def record(self, readings: Sequence[Reading]) -> None:
        """Keep readings that were timed by the wall clock. A failing disk is logged, not raised."""
        with self._lock:
            self._take(self._timing.items(readings))

    def record_once(self, readings: Sequence[Reading]) -> None:
        """Keep those readings whose series has none of that time yet.

        For values that carry the meter's own time and so may be heard of more than once. When the
        database cannot be asked they are kept: a line twice is better than none.
        """
        with self._lock:
            waiting = {_identity(item.reading) for item in self._spool.rows()}
            fresh: list[Item] = []
            for reading in readings:
                identity = _identity(reading)
                if identity in waiting or self._is_stored(reading):
                    continue
                waiting.add(identity)
                fresh.append(Item(reading))
            self._take(fresh)

    def commit(self) -> None:
        """Bring everything recorded into the database.

        Raises:
            StoreError: it does not take it at present.
        """
        with self._lock:
            self._settle(commit=True)
            if self._spool.without_row:
                raise StoreError(self._database.fault or "the database does not take readings")

    def sync(self) -> None:
        """Write what waits, and bring everything to the disk."""
        with self._lock:
            self._settle(commit=True)
            self._sync()

    def clock_stepped(self) -> None:
        """Hear that the wall clock was set, but that nothing keeps it right yet."""
        with self._lock:
            self._timing.stepped(self._spool)
            self._settle(commit=False)

    def clock_synchronised(self) -> None:
        """Hear that something keeps the wall clock right from now on."""
        with self._lock:
            self._timing.synchronised(self._spool)
            self._settle(commit=False)

    def status(self) -> RecorderStatus:
        """Return the counters of both places."""
        with self._lock:
            return RecorderStatus(
                self._text.status(self._spool.without_line + self._only.in_database),
                self._database.status(self._spool.without_row + self._only.in_text),
            )

    @property
    def failing(self) -> tuple[str, ...]:
        """The places that take nothing at present; waits for nobody, not even a stalling disk."""
        return tuple(place.name for place in (self._text, self._database) if place.fault)

    def close(self) -> None:
        """Make a last attempt to write what waits, and close the text files."""
        with self._lock:
            self._timing.end_hold()
            self._settle(commit=True)
            self._sync()
            if lost := self._spool.in_neither:
                reason = self._text.fault or self._database.fault
                log.error("readings_lost", count=lost, reason=reason)
            try:
                self._file.close()
            except TextError as error:
                self._failed(self._text, error)

    # ------------------------------------------------------------------ the thread

    def run(self) -> None:
        """Do what is due without a new reading, until `stop`."""
        while not self._stopping:
            with self._lock:
                due = self._next_due()
                left_s = HEARTBEAT_S if due is None else due - self._clock.monotonic()
            self.heartbeat.beat()  # whoever writes has let go of the lock
            self._wake.wait(self._clock.wait_s(min(left_s, HEARTBEAT_S)))
            self._wake.clear()
            if not self._stopping:
                self.tick()

    def stop(self) -> None:
        """End `run`."""
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
        fails = self._text.fault is not None or self._database.fault is not None
        return fails or self._timing.has_work

    def _next_due(self) -> float | None:
        dues = [self._commit_at, self._write_back.due, self._timing.hold_until]
        if self._has_to_retry:
            dues.append(self._retry_at)
        return min((due for due in dues if due is not None), default=None)

    # ------------------------------------------------------------------ writing

    def _take(self, items: Sequence[Item]) -> None:
        before = self._next_due()
        self._spool.add(items)
        is_due = self._is_due(self._commit_at, self._clock.monotonic())
        self._settle(commit=is_due or self._spool.without_row >= COMMIT_ROWS)
        after = self._next_due()
        if after is not None and (before is None or after < before):
            self._wake.set()

    def _settle(self, *, commit: bool) -> None:
        """Write what can be written now; rows only if wanted, as they can wait."""
        now = self._clock.monotonic()
        self._retry_at = now + RETRY_S
        self._timing.end_hold_in_time()
        if self._timing.has_work:
            self._mend_times()
        if self._store.generation != self._generation:
            self._generation = self._store.generation
            self._agreed = None  # a new database knows nothing of the text
        if self._agreed is None and self._timing.hold_until is None:
            self._reconcile(now)
        self._write_lines()
        if commit:
            self._commit_at = None
            self._write_rows()
        self._shorten()
        self._plan_commit(now)

    def _mend_times(self) -> None:
        try:
            self._timing.mend(self._store)
        except StoreError as error:
            self._failed(self._database, error)

    def _reconcile(self, now: float) -> None:
        if now < self._reconcile_at:
            return
        self._reconcile_at = now + RETRY_S  # it may have much to look at
        try:
            agreed = reconcile(self._store, self._file)
        except TextError as error:
            self._failed(self._text, error)
        except StoreError as error:
            self._failed(self._database, error)
        else:
            self._generation = self._store.generation
            self._agreed, self._marks = agreed, dict(agreed.marks)
            self._reconcile_at = now
            self._spool.agreed()
            self._only = NOTHING_MORE
            self._write_back.touched()

    def _write_lines(self) -> None:
        if self._timing.hold_until is not None:
            return
        if self._agreed is None and self._database.fault is None:
            return  # the lines of what the database has come first
        limit = 1 if self._text.fault else _LINES_AT_ONCE  # first see whether the fault is over
        try:
            while items := self._spool.next_lines(limit):
                self._append(items)
                limit = _LINES_AT_ONCE
        except TextError as error:
            self._failed(self._text, error)
        else:
            if self._agreed is not None:
                self._text.works()

    def _append(self, items: Sequence[Item]) -> None:
        """Append the lines of the first item and of those behind it that go to the same file."""
        day = self._day(items[0])
        same_file = list(takewhile(lambda item: self._day(item) == day, items))
        lines = [reading_line(item.reading, self._file.zone) for item in same_file]
        if day not in self._marks:
            # First the database has to know where the lines begin that it does not have.
            self._marks = checkpoints.moved(self._marks, day, self._file.size(day))
            if self._agreed is not None:
                self._write_rows(even_none=True)
        self._write_back.before_append()
        begin, end = self._file.append(day, lines)
        self._write_back.after_append()
        self._text.written += len(lines)
        self._spool.lines_written(len(lines))
        was_changed = begin != self._marks[day]  # by somebody else: removed, say
        self._marks = checkpoints.moved(self._marks, day, end)
        if was_changed:
            self._write_rows(even_none=True)

    def _write_rows(self, *, even_none: bool = False) -> None:
        has_text = self._text.fault is None and self._timing.hold_until is None
        if self._agreed is None and has_text:
            return  # the rows of what the text has come first
        items = self._spool.rows()
        is_needed = items or even_none or self._is_unsaved or self._database.fault
        if not is_needed:
            return
        try:
            with self._store.transaction() as connection:
                self._begin_agreement(connection)
                if items:
                    readings = [item.reading for item in items]
                    added = self._table.add(connection, readings)
                    self._timing.remember(connection, added.first_id, items)
                    reopen(connection, [reading.time_ms for reading in readings])
                agreed = self._save(connection)
        except TextError as error:
            self._failed(self._text, error)
            return
        except StoreError as error:
            self._failed(self._database, error)
            return
        self._agreed = agreed
        self._database.written += len(items)
        self._spool.rows_written(len(items))
        self._write_back.touched()
        self._database.works()

    def _begin_agreement(self, connection: sqlite3.Connection) -> None:
        """Let a new database know that rows may come to it before their lines to the text."""
        if self._agreed is None and checkpoints.load(connection) is None:
            newest = newest_id(connection)
            checkpoints.save(connection, first_agreement(self._clock, self._file, newest))

    def _save(self, connection: sqlite3.Connection) -> Agreement | None:
        """Save how far text and database agree, unless they have not been compared yet."""
        if self._agreed is None:
            return None
        until = newest_id(connection) - self._spool.without_line
        latest = checkpoints.latest(self._marks)
        agreed = Agreement(until, latest, self._file.numbers(latest))
        checkpoints.save(connection, agreed)
        return agreed

    @property
    def _is_unsaved(self) -> bool:
        """Whether the text has lines of rows of which the database does not know that."""
        return self._agreed is not None and self._agreed.marks != checkpoints.latest(self._marks)

    def _shorten(self) -> None:
        excess = self._spool.shorten(self._bound)
        if excess.in_text or excess.in_database:
            self._agreed = None  # one of them has what the other lacks, and nobody else
            self._only = self._only.and_more(excess)
        if excess.lost and self._text.lost(excess.lost) | self._database.lost(excess.lost):
            log.warning("recording_spool_full", bound=self._bound)

    def _plan_commit(self, now: float) -> None:
        if not self._spool.without_row:
            self._commit_at = None
            return
        has_lines = self._agreed is not None and not self._spool.without_line
        if self._database.fault is not None:
            due = now + RETRY_S
        else:
            due = now + (COMMIT_EVERY_S if has_lines else COMMIT_SOON_S)
        self._commit_at = due if self._commit_at is None else min(due, self._commit_at)

    def _sync(self) -> None:
        self._write_back.after_sync()
        for outlet, sync in ((self._text, self._file.sync), (self._database, self._store.sync)):
            try:
                sync()
            except StoreError as error:
                outlet.is_sync_failing = True
                self._failed(outlet, error)
                self._write_back.touched()  # tried again
            else:
                outlet.is_sync_failing = False

    def _failed(self, outlet: Outlet, error: StoreError) -> None:
        other = self._database if outlet is self._text else self._text
        outlet.failed(str(error), alone=other.fault is None)

    def _day(self, item: Item) -> date:
        return self._file.day_of(item.reading.time_ms)

    def _is_stored(self, reading: Reading) -> bool:
        try:
            return self._table.has(reading.unit, reading.sensor, reading.time_ms)
        except StoreError as error:
            self._failed(self._database, error)
            return False


def _identity(reading: Reading) -> tuple[str, str, int]:
    return reading.unit, reading.sensor, reading.time_ms
