"""Recovery: what only the text or only the database has is added to the other.

Both are written by one process, each in the order of recording. So what the text alone has are
the lines behind the ends of the checkpoint, and what the database alone has are the rows behind
its last ID. After a crash there may be both: lines whose rows had not been committed yet, and rows
whose lines could not be appended, or not all of them.
"""

import sqlite3
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta

import structlog

from kei.core.clock import Clock, epoch_ms, local
from kei.core.errors import Malformed
from kei.core.reading import Reading
from kei.store import checkpoints
from kei.store.checkpoints import Checkpoint
from kei.store.database import Database
from kei.store.dirty_windows import mark_dirty
from kei.store.lines import reading_line, reading_of_line
from kei.store.reading_table import ReadingTable, newest_id, rows_after, span_of
from kei.store.text import DailyFile

log = structlog.stdlib.get_logger("kei.store")

ROWS_AT_ONCE = 5000
CHUNK_BYTES = 256 * 1024  # of a file, some 8,000 lines
NEW_DATABASE_DAYS = 2  # whose old lines a new database takes over: for the open windows


def recover(database: Database, text: DailyFile) -> Checkpoint:
    """Make text and database equal. May be repeated after an error.

    Returns:
        the new checkpoint, at the end of both.

    Raises:
        TextError: a daily file cannot be read or written.
        StoreError: the database cannot be.
    """
    with database.access() as connection:
        checkpoint, newest = checkpoints.load(connection), newest_id(connection)
    if checkpoint is None:
        checkpoint = initial_checkpoint(database.clock, text, newest)
    replaced = _replaced(text, checkpoint)
    begins = _begins(text, checkpoint, replaced)
    if newest > checkpoint.last_id:
        rows, lines, now = _recover_both(database, text, begins, checkpoint)
    else:
        rows, now = _insert_new_lines(database, text, begins, checkpoint)
        lines = 0
    if replaced:
        more, now = _insert_unknown_lines(database, text, replaced, now)
        rows += more
    if rows or lines:
        log.info("text_and_database_agree", rows_restored=rows, lines_restored=lines)
    return now


def only_in_text(connection: sqlite3.Connection, text: DailyFile) -> tuple[int, list[Reading]]:
    """Return what the text has and the database does not have yet. Changes neither.

    Returns:
        the newest ID of the database, as rows that are added later are among the readings, too;
        and the readings in the order of their lines.

    Raises:
        TextError: a daily file cannot be read.
    """
    connection.execute("BEGIN")  # for a consistent view
    try:
        checkpoint, newest = checkpoints.load(connection), newest_id(connection)
        if checkpoint is None:
            return newest, []
        rows = rows_after(connection, checkpoint.last_id, ROWS_AT_ONCE)
    finally:
        connection.execute("COMMIT")
    with_row = Counter(reading_line(reading, text.zone) for _, reading in rows)
    extra: list[tuple[date, str]] = []
    replaced = _replaced(text, checkpoint)  # only the next recovery knows what is new in them
    for day, end in _known_ends(text.days(), checkpoint):
        for line in text.peek(day, end) if day not in replaced else ():
            if with_row[line] > 0:
                with_row[line] -= 1
            else:
                extra.append((day, line))
    return newest, _parsed(text, extra)


def initial_checkpoint(clock: Clock, text: DailyFile, newest: int) -> Checkpoint:
    """Return the checkpoint of a database that has none, and whose newest reading has this ID.

    Raises:
        TextError: a daily file cannot be read.
    """
    today = local(clock.now_ms(), text.zone).date()
    first = today - timedelta(days=NEW_DATABASE_DAYS - 1)
    # A database with rows is of an older kei, which wrote the line of a row before the row.
    taken = [day for day in text.days() if not newest and first <= day <= today]
    ends = {day: 0 if day in taken else text.size(day) for day in text.days()}
    return Checkpoint(newest, ends, text.fingerprints(ends))


def _replaced(text: DailyFile, checkpoint: Checkpoint) -> set[date]:
    """Return the days whose file is another one than at the checkpoint: moved, or restored."""
    known = checkpoint.fingerprints
    present = text.fingerprints(checkpoint.ends)
    return {day for day, number in present.items() if known.get(day, number) != number}


def _begins(text: DailyFile, checkpoint: Checkpoint, replaced: Container[date]) -> dict[date, int]:
    """Return the files that may have lines without a row, and from where on."""
    begins: dict[date, int] = {}
    for day, end in _known_ends(text.days(), checkpoint):
        size = text.size(day)
        if day in replaced:
            begins[day] = size  # compared line by line later
            continue
        if size < end:
            log.warning("text_file_shortened", file=str(text.path(day)), by_bytes=end - size)
        begins[day] = min(end, size)
    return begins


def _known_ends(days: Iterable[date], checkpoint: Checkpoint) -> Iterator[tuple[date, int]]:
    """Yield the days of the checkpoint with their end, and newer days with 0."""
    newest_day = max(checkpoint.ends, default=date.min)
    for day in days:
        end = checkpoint.ends.get(day, 0 if day > newest_day else None)
        if end is not None:
            yield day, end


def _recover_both(
    database: Database, text: DailyFile, begins: Mapping[date, int], checkpoint: Checkpoint
) -> tuple[int, int, Checkpoint]:
    """Compare line by line where rows may lack their lines, as both sides may have some of them.

    Returns:
        how many rows and lines were added, and the new checkpoint.
    """
    counted = [(day, line) for day, begin in begins.items() for line in _lines(text, day, begin)]
    ends = {**checkpoint.ends, **{day: text.size(day) for day in begins}}
    without_row = Counter(line for _, line in counted)
    appended = 0
    for day, lines in _missing_lines(database, text, checkpoint.last_id, without_row):
        ends = checkpoints.moved(ends, day, text.append(day, lines)[1])
        appended += len(lines)
    extra: list[tuple[date, str]] = []
    for day, line in counted:
        if without_row[line] > 0:
            without_row[line] -= 1
            extra.append((day, line))
    readings = _parsed(text, extra)
    return len(readings), appended, _insert(database, text, readings, ends)


def _missing_lines(
    database: Database, text: DailyFile, last_id: int, without_row: Counter[str]
) -> Iterator[tuple[date, list[str]]]:
    """Yield the lines, by day, of rows behind an ID; those in `without_row` are taken from it."""
    while True:
        with database.access() as connection:
            rows = rows_after(connection, last_id, ROWS_AT_ONCE)
        if not rows:
            return
        missing: dict[date, list[str]] = {}
        for _, reading in rows:
            line = reading_line(reading, text.zone)
            if without_row[line] > 0:
                without_row[line] -= 1
            else:
                missing.setdefault(text.day_of(reading.time_ms), []).append(line)
        yield from missing.items()
        last_id = rows[-1][0]


def _insert_new_lines(
    database: Database, text: DailyFile, begins: Mapping[date, int], checkpoint: Checkpoint
) -> tuple[int, Checkpoint]:
    """Insert, chunk by chunk, the lines that follow; every row has its line already.

    Returns:
        how many rows were added, and the new checkpoint.
    """
    now = checkpoint
    added = 0
    for day, begin in begins.items():
        while True:
            lines, begin = text.lines_from(day, begin, CHUNK_BYTES)  # noqa: PLW2901 - goes on
            if not lines and now.ends.get(day) == begin:
                break
            readings = _parsed(text, [(day, line) for line in lines])
            now = _insert(database, text, readings, checkpoints.moved(now.ends, day, begin))
            added += len(readings)
    if now is checkpoint:
        now = _insert(database, text, [], checkpoint.ends)
    return added, now


def _insert_unknown_lines(
    database: Database, text: DailyFile, days: Iterable[date], checkpoint: Checkpoint
) -> tuple[int, Checkpoint]:
    """Insert those lines of whole files that no row of their day has, however often they come.

    Returns:
        how many rows were added, and the new checkpoint.
    """
    extra: list[tuple[date, str]] = []
    ends = dict(checkpoint.ends)
    for day in sorted(days):
        with_row = _lines_of_rows(database, text, day)
        for line in _lines(text, day, 0):
            if with_row[line] > 0:
                with_row[line] -= 1
            else:
                extra.append((day, line))
        ends[day] = text.size(day)
    readings = _parsed(text, extra)
    return len(readings), _insert(database, text, readings, ends)


def _lines_of_rows(database: Database, text: DailyFile, day: date) -> Counter[str]:
    """Return how often each line occurs among the rows of a day."""
    start, end = (
        epoch_ms(datetime.combine(each, time.min, text.zone))
        for each in (day, day + timedelta(days=1))
    )
    found: Counter[str] = Counter()
    with database.access() as connection:
        until: int | None
        after, until = connection.execute(
            "SELECT min(first_id) - 1, max(last_id) FROM spans WHERE span BETWEEN ? AND ?",
            (span_of(start), span_of(end)),
        ).fetchone()
    while until is not None and after < until:
        with database.access() as connection:
            rows = rows_after(connection, after, ROWS_AT_ONCE)
        if not rows:
            break
        found.update(reading_line(reading, text.zone) for _, reading in rows)
        after = rows[-1][0]
    return found


def _lines(text: DailyFile, day: date, begin: int) -> Iterator[str]:
    while True:
        lines, begin = text.lines_from(day, begin, CHUNK_BYTES)
        if not lines:
            return
        yield from lines


def _parsed(text: DailyFile, lines: Iterable[tuple[date, str]]) -> list[Reading]:
    """Return the readings of lines; log how many lines are none, as another program wrote them."""
    readings: list[Reading] = []
    malformed: Counter[date] = Counter()
    before_ms: dict[date, int] = {}
    for day, line in lines:
        try:
            reading = reading_of_line(line, text.zone, before_ms.get(day, 0))
        except Malformed:
            malformed[day] += 1
            continue
        before_ms[day] = reading.time_ms
        readings.append(reading)
    for day, count in malformed.items():
        log.warning("lines_not_understood", file=str(text.path(day)), count=count)
    return readings


def _insert(
    database: Database, text: DailyFile, readings: Sequence[Reading], ends: Mapping[date, int]
) -> Checkpoint:
    """Insert readings and save the checkpoint of these ends, in one transaction."""
    with database.transaction() as connection:
        if readings:
            ReadingTable(database).add(connection, readings)
            mark_dirty(connection, [reading.time_ms for reading in readings])
        latest = checkpoints.latest(ends)
        now = Checkpoint(newest_id(connection), latest, text.fingerprints(latest))
        checkpoints.save(connection, now)
    return now
