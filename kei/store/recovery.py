"""Text and database serve as each other's log: what only one of them has is given to the other.

Both are written by one process, each in the order of recording. So what the text alone has are
lines behind the marks of the agreement, and what the database alone has are rows behind its id.
After a crash there may be both: lines that were appended, but whose rows were not committed yet;
or rows whose lines could not be appended, and some of whose lines were, after all.
"""

import sqlite3
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import structlog

from kei.core.clock import Clock, epoch_ms, local
from kei.core.errors import Malformed
from kei.core.reading import Reading
from kei.store import checkpoints
from kei.store.checkpoints import Agreement
from kei.store.database import Database
from kei.store.dirty_windows import reopen
from kei.store.lines import reading_line, reading_of_line
from kei.store.reading_table import ReadingTable, newest_id, rows_after, span_of
from kei.store.text import DailyFile

log = structlog.stdlib.get_logger("kei.store")

ROWS_AT_ONCE = 5000
CHUNK_BYTES = 256 * 1024  # of a file, some 8,000 lines
NEW_DATABASE_DAYS = 2  # of an old text file that a new database takes over: for the open windows


def reconcile(database: Database, text: DailyFile) -> Agreement:
    """Bring text and database to the same state. May be repeated after an error.

    Returns:
        how far they agree now: as far as both go.

    Raises:
        TextError: a daily file cannot be read or written.
        StoreError: the database cannot be.
    """
    with database.access() as connection:
        agreed, newest = checkpoints.load(connection), newest_id(connection)
    if agreed is None:
        agreed = first_agreement(database.clock, text, newest)
    others = _others(text, agreed)
    begins = _begins(text, agreed, others)
    if newest > agreed.until:
        rows, lines, now = _exchange(database, text, begins, agreed)
    else:
        rows, now = _take_over(database, text, begins, agreed)
        lines = 0
    if others:
        more, now = _compare(database, text, others, now)
        rows += more
    if rows or lines:
        log.info("text_and_database_agree", rows_restored=rows, lines_restored=lines)
    return now


@dataclass(frozen=True, slots=True)
class Tail:
    """What has to be added to the database to have everything that was recorded.

    Attributes:
        newest_id: of the database; what it gets behind that is among the readings, too.
        readings: those that only the text has, in the order of its lines.
    """

    newest_id: int
    readings: tuple[Reading, ...]


def only_in_text(connection: sqlite3.Connection, text: DailyFile) -> Tail:
    """Return what the text has and the database does not have yet. Changes nothing.

    Args:
        connection: of whoever looks into the database.
        text: likewise; nothing is written to it.

    Raises:
        TextError: a daily file cannot be read.
    """
    connection.execute("BEGIN")  # one moment for all that is asked
    try:
        agreed, newest = checkpoints.load(connection), newest_id(connection)
        if agreed is None:
            return Tail(newest, ())
        due = rows_after(connection, agreed.until, ROWS_AT_ONCE)
    finally:
        connection.execute("COMMIT")
    with_row = Counter(reading_line(reading, text.zone) for _, reading in due)
    extra: list[tuple[date, str]] = []
    others = _others(text, agreed)  # what they have is known at the next start only
    for day, mark in _marked(text.days(), agreed):
        for line in text.peek(day, mark) if day not in others else ():
            if with_row[line] > 0:
                with_row[line] -= 1
            else:
                extra.append((day, line))
    return Tail(newest, tuple(_parsed(text, extra)))


def first_agreement(clock: Clock, text: DailyFile, newest: int) -> Agreement:
    """Return where to begin with a database that does not know of the text.

    Args:
        clock: says which files are recent.
        text: the files.
        newest: id of the newest reading in the database.

    Raises:
        TextError: a daily file cannot be read.
    """
    today = local(clock.now_ms(), text.zone).date()
    first = today - timedelta(days=NEW_DATABASE_DAYS - 1)
    # A database that has rows is of a kei that wrote the line of a row before the row.
    taken = [day for day in text.days() if not newest and first <= day <= today]
    ends = {day: 0 if day in taken else text.size(day) for day in text.days()}
    return Agreement(newest, ends, text.numbers(ends))


def _others(text: DailyFile, agreed: Agreement) -> set[date]:
    """Return the days whose file is another one than when both agreed: moved, or put back."""
    present = text.numbers(agreed.marks)
    return {day for day, number in present.items() if agreed.files.get(day, number) != number}


def _begins(text: DailyFile, agreed: Agreement, others: Container[date]) -> dict[date, int]:
    """Return the files that may have lines which the database lacks, and from where on."""
    begins: dict[date, int] = {}
    for day, mark in _marked(text.days(), agreed):
        size = text.size(day)
        if day in others:
            begins[day] = size  # looked at line by line later
            continue
        if size < mark:
            log.warning("text_file_shortened", file=str(text.path(day)), by_bytes=mark - size)
        begins[day] = min(mark, size)
    return begins


def _marked(days: Iterable[date], agreed: Agreement) -> Iterator[tuple[date, int]]:
    """Yield the days whose file is known, or begun later than all that are; and their marks."""
    newest_day = max(agreed.marks, default=date.min)
    for day in days:
        mark = agreed.marks.get(day, 0 if day > newest_day else None)
        if mark is not None:
            yield day, mark


def _exchange(
    database: Database, text: DailyFile, begins: Mapping[date, int], agreed: Agreement
) -> tuple[int, int, Agreement]:
    """Reconcile where rows may lack their lines: line by line, as both may have some of them."""
    counted = [(day, line) for day, begin in begins.items() for line in _lines(text, day, begin)]
    ends = {**agreed.marks, **{day: text.size(day) for day in begins}}
    without_row = Counter(line for _, line in counted)
    appended = 0
    for day, lines in _lines_due(database, text, agreed.until, without_row):
        ends = checkpoints.moved(ends, day, text.append(day, lines)[1])
        appended += len(lines)
    extra: list[tuple[date, str]] = []
    for day, line in counted:
        if without_row[line] > 0:
            without_row[line] -= 1
            extra.append((day, line))
    readings = _parsed(text, extra)
    return len(readings), appended, _insert(database, text, readings, ends)


def _lines_due(
    database: Database, text: DailyFile, until: int, without_row: Counter[str]
) -> Iterator[tuple[date, list[str]]]:
    """Yield the lines of rows behind an id, some at once; but those that are there are counted."""
    while True:
        with database.access() as connection:
            rows = rows_after(connection, until, ROWS_AT_ONCE)
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
        until = rows[-1][0]


def _take_over(
    database: Database, text: DailyFile, begins: Mapping[date, int], agreed: Agreement
) -> tuple[int, Agreement]:
    """Reconcile where every row has its line: insert what follows, chunk by chunk."""
    now = agreed
    taken = 0
    for day, begin in begins.items():
        while True:
            lines, begin = text.lines_from(day, begin, CHUNK_BYTES)  # noqa: PLW2901 - goes on
            if not lines and now.marks.get(day) == begin:
                break
            readings = _parsed(text, [(day, line) for line in lines])
            now = _insert(database, text, readings, checkpoints.moved(now.marks, day, begin))
            taken += len(readings)
    if now is agreed:
        now = _insert(database, text, [], agreed.marks)
    return taken, now


def _compare(
    database: Database, text: DailyFile, days: Iterable[date], agreed: Agreement
) -> tuple[int, Agreement]:
    """Insert those lines of files that no row of their day says, however often."""
    extra: list[tuple[date, str]] = []
    ends = dict(agreed.marks)
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
    """Return the lines of all rows of a day, with how often there are such."""
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
    """Return the readings of lines; what is none was written by somebody else, and is told of."""
    readings: list[Reading] = []
    strange: Counter[date] = Counter()
    before_ms: dict[date, int] = {}
    for day, line in lines:
        try:
            reading = reading_of_line(line, text.zone, before_ms.get(day, 0))
        except Malformed:
            strange[day] += 1
            continue
        before_ms[day] = reading.time_ms
        readings.append(reading)
    for day, count in strange.items():
        log.warning("lines_not_understood", file=str(text.path(day)), count=count)
    return readings


def _insert(
    database: Database, text: DailyFile, readings: Sequence[Reading], ends: Mapping[date, int]
) -> Agreement:
    """Insert readings, and agree that both places have everything up to these ends."""
    with database.transaction() as connection:
        if readings:
            ReadingTable(database).add(connection, readings)
            reopen(connection, [reading.time_ms for reading in readings])
        latest = checkpoints.latest(ends)
        now = Agreement(newest_id(connection), latest, text.numbers(latest))
        checkpoints.save(connection, now)
    return now
