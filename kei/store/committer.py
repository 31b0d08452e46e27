"""The committer: appends lines, makes them rows, and keeps text and database in step.

It knows the lines behind the checkpoint; what has no line yet is the writer's.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import date

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError, TextError
from kei.core.reading import Reading
from kei.store import checkpoints, unsynchronised_spans
from kei.store.checkpoints import Progress
from kei.store.database import CHECK_EVERY_S, Database
from kei.store.line_maker import Line, LineMaker
from kei.store.pending import PendingQueue
from kei.store.reading_table import ReadingTable
from kei.store.recovery import fill, lines_of_rows, recover
from kei.store.sinks import Sinks
from kei.store.text import DailyFile
from kei.store.writeback import WriteBack
from kei.timekeeping.gate import TimeGate

log = structlog.stdlib.get_logger("kei.store")

RETRY_S = 5.0  # between tries of a sink that fails, besides those with each reading
SYNC_SHARE = 0.95  # of the permitted time; the rest is for the disk


class Committer:
    """Writes to text and database; used by the writer, under the lock of the recorder.

    Args:
        database: takes the rows.
        text: the daily files of readings.
        gate: says which time is right.
        clock: wall and monotonic time.
        boot: name of the present boot of the machine, to which its monotonic time belongs.
        sync_s: seconds of readings that a power cut may cost.

    Attributes:
        sinks: the state of both.
        maker: gives readings their lines.
        pending: the table of what has no line yet.
        prepared: of it, the lines that are about to be appended.
        unsaved: lines behind the checkpoint, as far as they are in memory.
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
    ) -> None:
        self._store = database
        self._table = ReadingTable(database)
        self._file = text
        self._gate = gate
        self._clock = clock
        self._boot = boot
        self._write_back = WriteBack(clock, sync_s * SYNC_SHARE)
        self.sinks = Sinks()
        self.maker = LineMaker(gate, text.zone, clock)
        self.pending = PendingQueue(database, boot)
        self._progress = Progress(text)
        self.prepared: Sequence[Line] = ()
        self.unsaved: list[Line] = []
        self._told_put_away: set[date] = set()
        self._forgotten = 0  # lines behind the checkpoint that only the text has
        self._unsynced_days = set[date]()  # files that a power cut may take from the checkpoint
        self._generation = database.generation
        self._spans_due = True  # whether times in the database may have to be corrected
        self._recover_at = self._look_at = clock.monotonic()

    @property
    def is_recovered(self) -> bool:
        """Whether the checkpoint is known."""
        return self._progress.checkpoint is not None

    @property
    def behind(self) -> int:
        """How many lines are behind the checkpoint."""
        return len(self.unsaved) + self._forgotten

    @property
    def has_to_retry(self) -> bool:
        """Whether something is to be tried again."""
        unsettled = not self.is_recovered or bool(self._progress.others)
        return bool(self.sinks.fault) or unsettled or self._spans_due

    @property
    def has_to_commit(self) -> bool:
        """Whether the checkpoint can and has to be moved."""
        changed = self.unsaved or self._progress.is_changed or self.pending.is_changed
        return self.is_recovered and bool(changed)

    @property
    def sync_due(self) -> float:
        """When to call `sync`, monotonic; infinite if everything is synced."""
        return self._write_back.due

    def clock_changed(self) -> None:
        """Have `keep_in_step` correct what the clock had wrong."""
        self._spans_due = True

    def look(self) -> bool:
        """Look now and then whether the files are still there; return whether they are not."""
        now = self._clock.monotonic()
        try:
            self._store.check()
        except StoreError as error:
            self.sinks.failed(error)
        if self._look_at <= now:
            self._look_at = now + CHECK_EVERY_S
            self._progress.others |= self._file.others()
        return self._store.generation != self._generation or bool(self._progress.others)

    def has(self, reading: Reading) -> bool:
        """Return whether there is such a reading of this series, time and value."""
        try:
            return self.pending.has(reading) or self._table.has(
                reading.unit, reading.sensor, reading.time_ms, reading.value
            )
        except StoreError as error:
            self.sinks.failed(error)
            return False

    def lines_without_row(self, day: date, lines: Collection[str]) -> Counter[str] | None:
        """Return which of some lines the file of a day has for no row, and how often.

        They are of a database that was lost. A line may be there for a row of another instant: that
        of the hour that a zone with daylight saving time has twice.

        Returns:
            the lines; None if the file takes no more, as it was put away, which is told.

        Raises:
            StoreError: the file or the database cannot be read.
        """
        put_away = self._file.put_away()
        if day in put_away:
            self._tell_put_away(put_away)
            return None
        found = self._file.found(day, lines)
        if found:
            found -= lines_of_rows(self._store, self._file, day)
            found -= Counter(line.text for line in self.unsaved)
        return found

    def _tell_put_away(self, days: set[date]) -> None:
        """Tell of all days that get no line, when the first of them would get one."""
        new = days - self._told_put_away
        if not new:
            return
        self._told_put_away |= new
        log.warning(
            "text_file_put_away",
            days=len(new),
            oldest=min(new).isoformat(),
            newest=max(new).isoformat(),
            hint="what is made good of these days is recorded in the database only",
        )

    def add_rows(self, readings: Sequence[Reading]) -> None:
        """Add rows that get no line; `StoreError` if the database does not take them."""
        with self._store.transaction() as connection:
            self._table.add(connection, readings)
        self.sinks.database.written += len(readings)
        self._write_back.touched()

    def keep_in_step(self) -> None:
        """Make good what others or the clock have changed."""
        if self._store.generation != self._generation:
            self._generation = self._store.generation
            self._progress.saved(None)
        if not self.is_recovered:
            self._recover()
        if self._spans_due:
            self._correct_times()
        if self._progress.others:
            self._fill_files()

    def recover_at_once(self) -> None:
        """Let a recovery that failed be tried again without waiting."""
        self._recover_at = self._clock.monotonic()

    def _recover(self) -> None:
        now = self._clock.monotonic()
        if now < self._recover_at:
            return
        self._recover_at = now + RETRY_S  # it may have to read a lot
        known = [(line.text, line.reading) for line in self.unsaved]
        try:
            with self._store.access():  # a damaged file is set aside now
                self._generation = self._store.generation
            checkpoint = recover(self._store, self._file, known)
            self.pending.reset()
        except StoreError as error:
            self.sinks.failed(error)
            return
        self._progress.saved(checkpoint)
        self.prepared, self.unsaved, self._forgotten = (), [], 0
        self._file.milliseconds.clear()
        self._recover_at = now
        self._write_back.touched()
        self.sinks.database.works()

    def _correct_times(self) -> None:
        """Correct the times of rows that were timed before the clock was set."""
        try:
            self.commit()  # with the marks of those that are to be corrected
            moved = unsynchronised_spans.correct(self._store, self._gate, self._boot)
        except StoreError as error:
            self.sinks.failed(error)
        else:
            self._spans_due = False
            if moved:
                log.info("times_put_right", readings=moved)

    def _fill_files(self) -> None:
        """Give text files that were removed or replaced the lines that only the database has.

        And the database those that only they have. Only today's file is filled: older ones may have
        been put away, and have got another line since.
        """
        if not self.is_recovered:
            return
        today = self._file.day_of(self._clock.now_ms())
        try:
            for day in self._progress.others:
                self._progress.move(day, self._progress.ends.get(day, 0))
            self.commit()
            for day in self._progress.others:
                if day == today:
                    fill(self._store, self._file, day)
        except StoreError as error:
            self.sinks.failed(error)
            return
        self._progress.others.clear()
        self._progress.saved(None)
        self.recover_at_once()
        self._recover()

    def begin(self, day: date) -> bool:
        """Save durably where the next lines of a file begin, if nobody knows that yet.

        Returns:
            whether recovery will find them; in the newest file it does in any case.

        Raises:
            TextError: the text cannot be read or synced.
        """
        is_named = day in self._progress.ends
        if is_named and day not in self._unsynced_days:
            return True
        if not self.is_recovered:  # the database has failed since the start
            return self._progress.is_newest(day) or day == self._file.day_of(self._clock.now_ms())
        try:
            if not is_named:
                self._commit_from_end(day)
            self._sync_database()
        except TextError:
            raise
        except StoreError as error:
            self.sinks.failed(error)
            return self._progress.is_newest(day)
        return True

    def _commit_from_end(self, day: date, prepare: Sequence[Line] = ()) -> None:
        """Commit, and with it that the next lines of a file begin at its end.

        If that fails, it is not known: nobody may go by what the database does not have.
        """
        known = self._progress.ends.get(day)
        self._progress.move(day, self._file.size(day))
        try:
            self.commit(prepare)
        except StoreError:
            self._progress.move(day, known)
            raise
        if known is None:
            self._unsynced_days.add(day)

    def _sync_database(self) -> None:
        self._store.sync()
        self._unsynced_days.clear()

    def append(self, batch: Sequence[Line]) -> None:
        """Append lines of the same daily file; TextError if the disk does not take them."""
        day = batch[0].day
        self._write_back.before_append()
        known = self._progress.ends.get(day)
        begin, end = self._file.append(day, [line.text for line in batch])
        self._file.milliseconds.add((line.text, line.reading.time_ms) for line in batch)
        self._write_back.after_append()
        self._progress.move(day, end)
        self.unsaved += batch
        for line in batch:
            if line.item.id is not None:
                self.pending.settled(line.item.id)
        self.sinks.text.written += len(batch)
        if begin != known and known is not None:  # another program has changed the file
            try:
                self.commit()
            except StoreError as error:
                self.sinks.failed(error)

    @property
    def is_prepared(self) -> bool:
        """Whether there are prepared lines, and the clock has not been set since."""
        if not self.prepared or self.prepared[0].day not in self._progress.ends:
            return False
        now = [self.maker.line(line.item) for line in self.prepared]
        return [line and line.text for line in now] == [line.text for line in self.prepared]

    def prepare(self, batch: Sequence[Line]) -> None:
        """Save durably which lines from `pending` are about to be appended, and from where on.

        Raises:
            TextError: the text cannot be read or synced.
            StoreError: the database fails.
        """
        if batch:
            self._commit_from_end(batch[0].day, batch)
            self._sync_database()
        self.prepared = batch

    def commit(self, prepare: Sequence[Line] = ()) -> None:
        """Make the lines behind the checkpoint rows, in one transaction.

        Args:
            prepare: lines from `pending` that are about to be appended.

        Raises:
            TextError: the lines cannot be synced.
            StoreError: the database does not take the rows.
        """
        checkpoint = self._progress.next()
        if checkpoint is None or not (self.has_to_commit or prepare):
            return
        self._sync_text()
        lines = [(line.item.id or 0, line.reading.time_ms) for line in prepare]
        with self._store.transaction(self._generation) as connection:
            if self.unsaved:
                readings = [line.reading for line in self.unsaved]
                first_id = self._table.add(connection, readings)
                offsets = self.maker.unsure_offsets_ms(self.unsaved)
                unsynchronised_spans.add(connection, first_id, offsets, self._boot)
            self.pending.commit(connection, lines)
            checkpoints.save(connection, checkpoint)
        self._progress.saved(checkpoint)
        self.pending.committed(lines)
        self.prepared = ()  # or those that `prepare` has still to sync
        self.sinks.database.written += len(self.unsaved)
        self.unsaved = []
        self._file.milliseconds.clear()
        self._write_back.touched()
        self.sinks.database.works()

    def forget(self) -> None:
        """Keep no line behind the checkpoint in memory: recovery reads them."""
        self._forgotten += len(self.unsaved)
        self.unsaved = []
        self._progress.saved(None)

    def _sync_text(self) -> None:
        """Bring every line to the disk; TextError if that fails."""
        text = self.sinks.text
        text.is_sync_failing = True
        self._file.sync()
        text.is_sync_failing = False
        self._write_back.after_sync()

    def touched(self) -> None:
        """Note that something else has been written that is to be synced."""
        self._write_back.touched()

    def sync(self) -> None:
        """Bring everything that was written to the disk."""
        sinks = self.sinks
        self._write_back.after_sync()
        for sink, sync in ((sinks.text, self._file.sync), (sinks.database, self._store.sync)):
            try:
                sync()
            except StoreError as error:
                sink.is_sync_failing = True
                sinks.failed(error)
                self._write_back.touched()  # tried again
            else:
                sink.is_sync_failing = False

    def close(self) -> None:
        """Sync everything, and close the text files."""
        self.sync()
        try:
            self._file.close()
        except TextError as error:
            self.sinks.failed(error)
