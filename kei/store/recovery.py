"""Recovery: what the text has behind the checkpoint is read into the database. One way only.

Every row has its line, as lines come first, so that the text never lacks what the database has.
Lines behind the checkpoint have no row yet. Some of them may be those of readings in the table
`pending` that were about to be appended, or had been, when kei ended: these leave that table in the
transaction that makes them rows. The others there have no line, and wait on.

The functions raise `TextError` when a daily file cannot be read, written or synced, and
`StoreError` when the database fails.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from zlib import crc32

import structlog

from kei.core.clock import Clock, local
from kei.core.errors import Malformed
from kei.core.reading import Reading, plain
from kei.store import checkpoints, pending
from kei.store.checkpoints import Checkpoint
from kei.store.database import Database
from kei.store.lines import reading_line, reading_of_line, unknown
from kei.store.reading_table import ReadingTable, readings_of_span, span_of
from kei.store.rows import newest_id
from kei.store.text import DailyFile

log = structlog.stdlib.get_logger("kei.store")

ROWS_AT_ONCE = 5000
CHUNK_BYTES = 256 * 1024  # of a file, some 8,000 lines
NEW_DATABASE_DAYS = 2  # whose old lines a new database takes over: for the open windows


def recover(
    database: Database, text: DailyFile, known: Iterable[tuple[str, Reading]] = ()
) -> Checkpoint:
    """Give the database every line behind its checkpoint. May be repeated after an error.

    Args:
        database: takes the rows.
        text: the daily files.
        known: lines without a row that this process has appended, and the readings that they were
            made of, which have milliseconds; those that are not behind the checkpoint become rows,
            too: a new database does not know every file.

    Returns:
        the new checkpoint, at the end of the text.
    """
    return _Recovery(database, text, known).run()


def is_new(database: Database) -> bool:
    """Return whether a database has never taken over anything from the text, nor has readings."""
    with database.access() as connection:
        return checkpoints.load(connection) is None and not newest_id(connection)


def begin(database: Database, text: DailyFile) -> None:
    """Give a new database its checkpoint, and leave the lines behind it to the first recovery."""
    checkpoint = initial_checkpoint(database.clock, text, is_new=True)
    with database.transaction() as connection:
        checkpoints.save(connection, checkpoint)


def only_in_text(connection: sqlite3.Connection, text: DailyFile) -> tuple[int, list[Reading]]:
    """Return what the text has and the database does not have yet. Changes nothing.

    Args:
        connection: a read-only one.
        text: the daily files; nothing is written to them.

    Returns:
        the newest ID of the database, as rows that are added later are among the readings, too;
        and the readings in the order of their lines.
    """
    connection.execute("BEGIN")  # for a consistent view
    try:
        checkpoint, newest = checkpoints.load(connection), newest_id(connection)
    finally:
        connection.execute("COMMIT")
    if checkpoint is None:
        return newest, []
    replaced = _replaced(text, checkpoint)  # only the next recovery knows what is new in them
    extra = [
        (day, line)
        for day, end in _known_ends(text.days(), checkpoint)
        for line in (text.peek(day, end) if day not in replaced else ())
    ]
    return newest, [reading for _, reading in _parsed(text, extra)]


def expect_lines_since(connection: sqlite3.Connection, text: DailyFile) -> None:
    """Let recovery find the lines that readings in `pending` have got since a copy was made.

    They have got them with another time, as the clock had been set, and in the order in which they
    came; so of lines with the same series, value and DataID the first ones are theirs.

    Args:
        connection: of the copy; nobody else uses it.
        text: the daily files, which kei went on to write.
    """
    ids = [id_ for (id_,) in connection.execute("SELECT id FROM pending ORDER BY id").fetchall()]
    if not ids:
        return
    times: dict[tuple[str, ...], list[int]] = {}
    for reading in reversed(only_in_text(connection, text)[1]):
        times.setdefault(_content(reading), []).append(reading.time_ms)
    lines = [
        (id_, same.pop())
        for id_, reading in zip(ids, pending.readings(connection), strict=True)
        if (same := times.get(_content(reading)))
    ]
    connection.execute("BEGIN")
    pending.prepare(connection, (), lines)
    connection.execute("COMMIT")


def _content(reading: Reading) -> tuple[str, ...]:
    return reading.unit, reading.sensor, plain(reading.value), reading.data_id


def fill(database: Database, text: DailyFile, day: date) -> None:
    """Give the file of a day, which was removed or replaced, the lines of rows that it lacks."""
    with_row = lines_of_rows(database, text, day)
    if text.path(day).exists():
        with_row -= Counter(_lines(text, day))
    lines = list(with_row.elements())
    for first in range(0, len(lines), ROWS_AT_ONCE):
        text.append(day, lines[first : first + ROWS_AT_ONCE])
    if lines:
        log.info("text_file_filled", file=str(text.path(day)), lines=len(lines))


def lines_of_rows(database: Database, text: DailyFile, day: date) -> Counter[str]:
    """Return how often each line occurs among the rows of a day, the oldest first."""
    start, end = text.limits_of(day)
    found: Counter[str] = Counter()
    for span in range(span_of(start), span_of(end - 1) + 1):
        with database.access() as connection:  # others get their turn in between
            readings = readings_of_span(connection, span)
        found.update(reading_line(r, text.zone) for r in readings if start <= r.time_ms < end)
    return found


def initial_checkpoint(clock: Clock, text: DailyFile, *, is_new: bool) -> Checkpoint:
    """Return the checkpoint to begin with in a database that has none.

    Args:
        clock: says which files are recent.
        text: the files.
        is_new: whether the database has no readings.
    """
    recent_days = _recent_days(clock, text)
    days = text.days()
    # Those of the last days, by the clock and, as that may be wrong, by the files. A database with
    # rows is of an older kei, which wrote the line of a row before the row.
    newest = days[-NEW_DATABASE_DAYS:]
    taken = [day for day in days if is_new and (day in recent_days or day in newest)]
    recent = sorted({*days[-checkpoints.DAYS_MAX :], *taken})
    ends = {day: 0 if day in taken else text.size(day) for day in recent}
    return Checkpoint(ends, text.fingerprints(ends))


def _recent_days(clock: Clock, text: DailyFile) -> set[date]:
    """Return today, and the days before it of which a new database takes the lines."""
    today = local(clock.now_ms(), text.zone).date()
    return {today - timedelta(days=number) for number in range(NEW_DATABASE_DAYS)}


class _Recovery:
    """One run of recovery."""

    def __init__(
        self, database: Database, text: DailyFile, known: Iterable[tuple[str, Reading]]
    ) -> None:
        self._database = database
        self._text = text
        self._milliseconds = text.milliseconds.load()
        self._generation = database.generation
        self._added = 0
        # By their lines: readings, each with its ID in `pending`, if it is there.
        self._readings: dict[str, list[tuple[int | None, Reading]]] = {}
        for line, reading in known:
            self._readings.setdefault(line, []).append((None, reading))

    def run(self) -> Checkpoint:
        text = self._text
        with self._database.access() as connection:
            self._generation = self._database.generation
            checkpoint, newest = checkpoints.load(connection), newest_id(connection)
            for id_, reading in pending.prepared(connection):
                line = reading_line(reading, text.zone)
                self._readings.setdefault(line, []).append((id_, reading))
        now = checkpoint or initial_checkpoint(self._database.clock, text, is_new=not newest)
        doubtful = _replaced(text, now) | self._unnamed(now)
        now = self._read_new_lines(now, doubtful)
        for day in sorted(doubtful):
            now = self._read_unknown_lines(now, day)
        text.sync()
        rest = [each for same in self._readings.values() for id_, each in same if id_ is None]
        with self._database.transaction(self._generation) as connection:
            self._add(connection, rest)
            pending.forget_prepared(connection)
            checkpoints.save(connection, now)
        self._database.sync()  # it says which files lines may be appended to
        if self._added:
            log.info("lines_read_into_database", rows=self._added)
        return now

    def _unnamed(self, now: Checkpoint) -> set[date]:
        """Return those of today and yesterday whose file the checkpoint does not name.

        It may have got lines while the database failed from the start on.
        """
        return _recent_days(self._database.clock, self._text) & set(self._text.days()) - {*now.ends}

    def _read_new_lines(self, now: Checkpoint, besides: set[date]) -> Checkpoint:
        """Insert, chunk by chunk, the lines behind the checkpoint, but not those of some days."""
        text = self._text
        for day, end in list(_known_ends(text.days(), now)):
            if day in besides:
                continue
            size = text.size(day)
            if size < end:
                log.warning("text_file_shortened", file=str(text.path(day)), by_bytes=end - size)
            begin = min(end, size)
            while True:
                lines, begin = text.lines_from(day, begin, CHUNK_BYTES)
                if not lines and now.ends.get(day) == begin:
                    break
                now = self._insert(now, day, lines, begin)
        return now

    def _read_unknown_lines(self, now: Checkpoint, day: date) -> Checkpoint:
        """Insert those lines of a whole file that no row of its day has."""
        with_row = lines_of_rows(self._database, self._text, day)
        lines = unknown(_lines(self._text, day), with_row)
        return self._insert(now, day, lines, self._text.size(day))

    def _insert(self, now: Checkpoint, day: date, lines: Sequence[str], end: int) -> Checkpoint:
        """Make lines rows and save that they are, in one transaction, once they are on the disk."""
        text = self._text
        text.sync([day])
        found: list[tuple[int | None, Reading]] = []
        parsed = dict(_parsed(text, [(day, line) for line in lines]))
        taken: Counter[str] = Counter()
        for number, line in enumerate(lines):
            same = self._readings.get(line, ())
            if taken[line] < len(same):
                found.append(same[taken[line]])
                taken[line] += 1
            elif number in parsed:
                found.append((None, self._exact(line, parsed[number])))
        readings = [reading for _, reading in found]
        with self._database.transaction(self._generation) as connection:
            self._add(connection, readings)
            pending.remove(connection, [id_ for id_, _ in found if id_ is not None])
            now = now.moved(day, end, text)
            checkpoints.save(connection, now)
        for line, count in taken.items():
            del self._readings[line][:count]
        return now

    def _exact(self, line: str, reading: Reading) -> Reading:
        """Return the reading of a line with its milliseconds, if they are known."""
        of_line = self._milliseconds.get(crc32(line.encode()))
        if not of_line:
            return reading
        return replace(reading, time_ms=reading.time_ms + of_line.popleft())

    def _add(self, connection: sqlite3.Connection, readings: Sequence[Reading]) -> None:
        if readings:
            ReadingTable(self._database).add(connection, readings)
            self._added += len(readings)


def _replaced(text: DailyFile, checkpoint: Checkpoint) -> set[date]:
    """Return the days whose file is another one than at the checkpoint: moved, or restored."""
    known = checkpoint.fingerprints
    present = text.fingerprints(checkpoint.ends)
    return {day for day, number in present.items() if known.get(day, number) != number}


def _known_ends(days: Iterable[date], checkpoint: Checkpoint) -> Iterator[tuple[date, int]]:
    """Yield the days of the checkpoint with their end, and newer days with 0."""
    newest_day = max(checkpoint.ends, default=date.min)
    for day in days:
        end = checkpoint.ends.get(day, 0 if day > newest_day else None)
        if end is not None:
            yield day, end


def _lines(text: DailyFile, day: date) -> Iterator[str]:
    begin = 0
    while True:
        lines, begin = text.lines_from(day, begin, CHUNK_BYTES)
        if not lines:
            return
        yield from lines


def _parsed(text: DailyFile, lines: Iterable[tuple[date, str]]) -> Iterator[tuple[int, Reading]]:
    """Yield the readings of lines, each with its number among them.

    Lines that are none, as another program wrote them, are counted and logged.
    """
    malformed: Counter[date] = Counter()
    before_ms: dict[date, int] = {}
    for number, (day, line) in enumerate(lines):
        try:
            reading = reading_of_line(line, text.zone, before_ms.get(day, 0))
        except Malformed:
            malformed[day] += 1
            continue
        before_ms[day] = reading.time_ms
        yield number, reading
    for day, count in malformed.items():
        log.warning("lines_not_understood", file=str(text.path(day)), count=count)
