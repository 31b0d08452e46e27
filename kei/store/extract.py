"""Everything recorded within a range of time, read by another process in the order of time.

Only a few hundred rows are in memory at once, and no statement on the database is open for longer
than it takes to read those: a kei that is recording is never held up.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from pathlib import Path

from kei.core.errors import StoreError
from kei.core.reading import Reading, Summary
from kei.store import pending
from kei.store.read_only import read_only
from kei.store.reading_table import IN_SPANS, span_of
from kei.store.recovery import only_in_text
from kei.store.rows import (
    READING_COLUMNS,
    SUMMARY_COLUMNS,
    ReadingRow,
    SummaryRow,
    reading_of,
    summary_of,
)
from kei.store.schema import check_version
from kei.store.text import DailyFile

ROWS_AT_ONCE = 256
AT_ONCE = 10_000  # of a span that has no more, all are read before the first is handed out
_BEFORE_ALL = (-(2**63), -1)  # start and id; of no summary
_TIME = attrgetter("time_ms")

_NEXT_SPAN = "SELECT min(span) FROM spans WHERE span >= ? AND span <= ?"
_READINGS = (
    f"SELECT {READING_COLUMNS}{IN_SPANS} AND r.time_ms >= ? AND r.time_ms < ? AND r.id <= ?"
    " CROSS JOIN series s ON s.id = r.series_id"
    " AND s.unit = coalesce(?, s.unit) AND s.sensor = coalesce(?, s.sensor)"
    " WHERE p.span = ? ORDER BY r.time_ms, r.id"
)
_SUMMARIES = (
    f"SELECT {SUMMARY_COLUMNS} FROM summaries r CROSS JOIN series s ON s.id = r.series_id"
    " AND s.unit = coalesce(?, s.unit) AND s.sensor = coalesce(?, s.sensor)"
    " WHERE (r.start_ms, r.id) > (?, ?) AND r.start_ms >= ? AND r.start_ms < ?"
    " ORDER BY r.start_ms, r.id LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Query:
    """A range of time, and optionally a unit or sensor.

    Attributes:
        from_ms: the first instant, milliseconds since 1970 in UTC.
        to_ms: the first instant behind the range.
        unit: UnitID; None for all.
        sensor: SensorID; None for all.
    """

    from_ms: int
    to_ms: int
    unit: str | None = None
    sensor: str | None = None


def readings(path: Path, text: DailyFile, query: Query) -> Iterator[Reading]:
    """Yield the readings, the oldest first.

    Args:
        path: the database.
        text: the daily files, which have the readings of the last minutes.
        query: which readings.

    Raises:
        StoreError: there is no database, or something cannot be read.
    """
    with recorded(path) as connection:
        newest_id, recent = only_in_text(connection, text)
        recent = [reading for reading in recent if _matches(reading, query)]
        recent.sort(key=_TIME)  # stable: those of the same time stay in their order
        yield from merge(_stored(connection, query, newest_id), recent, key=_TIME)


def series(path: Path, text: DailyFile) -> set[tuple[str, str]]:
    """Return UnitID and SensorID of all that was recorded, be it in the text alone, or pending.

    Args:
        path: the database.
        text: the daily files.

    Raises:
        StoreError: there is no database, or something cannot be read.
    """
    with recorded(path) as connection:
        known = set(connection.execute("SELECT unit, sensor FROM series").fetchall())
        _, recent = only_in_text(connection, text)
        return known | {(r.unit, r.sensor) for r in (*recent, *pending.readings(connection))}


def pending_readings(path: Path, unit: str | None, sensor: str | None) -> Iterator[Reading]:
    """Yield the readings that have no line yet, in the order in which they came.

    Their times are those that the clock showed: it may have been wrong.

    Args:
        path: the database.
        unit: UnitID; None for all.
        sensor: SensorID; None for all.

    Raises:
        StoreError: there is no database, or it cannot be read.
    """
    with recorded(path) as connection:
        for reading in pending.readings(connection):
            if unit in {None, reading.unit} and sensor in {None, reading.sensor}:
                yield reading


def summaries(path: Path, query: Query) -> Iterator[Summary]:
    """Yield the summaries of windows that began in the range, the oldest first.

    Raises:
        StoreError: there is no database, or it cannot be read.
    """
    series = (query.unit, query.sensor)
    after = _BEFORE_ALL
    with recorded(path) as connection:
        while True:
            rows: list[SummaryRow] = connection.execute(
                _SUMMARIES, (*series, *after, query.from_ms, query.to_ms, ROWS_AT_ONCE)
            ).fetchall()
            if not rows:
                return
            for row in rows:
                yield summary_of(row)
            after = (rows[-1][1], rows[-1][0])


@contextmanager
def recorded(path: Path) -> Iterator[sqlite3.Connection]:
    """Lend a read-only connection to the database of a kei that has run; StoreError if none has."""
    with read_only(path) as connection:
        if connection is None:
            raise StoreError(
                f"{path}: there is no database; has kei run with this jobs.toml?"
                " If it was removed, start kei: it makes a new one of the last text files"
            )
        check_version(connection, path)
        yield connection


def _stored(connection: sqlite3.Connection, query: Query, newest_id: int) -> Iterator[Reading]:
    series = (query.unit, query.sensor)
    span, last = span_of(query.from_ms), span_of(query.to_ms - 1)
    while True:
        (found,) = connection.execute(_NEXT_SPAN, (span, last)).fetchone()
        if found is None:
            return
        within = (query.from_ms, query.to_ms, newest_id)
        cursor = connection.execute(_READINGS, (*within, *series, found))
        while rows := cursor.fetchmany(AT_ONCE):
            page: list[ReadingRow] = rows
            if len(page) < AT_ONCE:
                cursor.close()  # the caller may take its time with these rows
            for row in page:
                yield reading_of(row)
            if len(page) < AT_ONCE:
                break
        span = found + 1


def _matches(reading: Reading, query: Query) -> bool:
    return (
        query.from_ms <= reading.time_ms < query.to_ms
        and query.unit in (None, reading.unit)
        and query.sensor in (None, reading.sensor)
    )
