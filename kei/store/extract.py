"""Everything recorded in a span of time, read from outside in the order of time.

However much there is, only a few hundred rows are in memory, and no look at the database lasts
longer than it takes to read those: a kei that is recording is never held up.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from heapq import merge
from pathlib import Path

from kei.core.errors import StoreError
from kei.core.reading import Reading, Summary
from kei.store.opening import why_unreadable
from kei.store.reading_back import connect_to_look
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
from kei.store.text import DailyFile

ROWS_AT_ONCE = 256
AT_ONCE = 10_000  # of a span that has no more, all are read before the first is handed out
_BEFORE_ALL = (-(2**63), -1)  # start and id; of no summary

_NEXT_SPAN = "SELECT min(span) FROM spans WHERE span >= ? AND span <= ?"
_READINGS = (
    f"SELECT {READING_COLUMNS}{IN_SPANS} AND r.time_ms >= ? AND r.time_ms < ? AND r.id <= ?"
    " CROSS JOIN series s ON s.id = r.series_id"
    " AND s.unit = coalesce(?, s.unit) AND s.sensor = coalesce(?, s.sensor)"
    " WHERE p.span = ? ORDER BY r.time_ms, r.id"
)
_SUMMARIES = (
    f"SELECT {SUMMARY_COLUMNS} FROM summaries m CROSS JOIN series s ON s.id = m.series_id"
    " AND s.unit = coalesce(?, s.unit) AND s.sensor = coalesce(?, s.sensor)"
    " WHERE (m.start_ms, m.id) > (?, ?) AND m.start_ms >= ? AND m.start_ms < ?"
    " ORDER BY m.start_ms, m.id LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for.

    Attributes:
        from_ms: the first instant, milliseconds since 1970 in UTC.
        to_ms: the first instant that is too late.
        unit: UnitID; None for all.
        sensor: SensorID; None for all.
    """

    from_ms: int
    to_ms: int
    unit: str | None = None
    sensor: str | None = None


def readings(path: Path, text: DailyFile, wanted: Wanted) -> Iterator[Reading]:
    """Yield what was recorded, the oldest first.

    Args:
        path: the database.
        text: the daily files beside it, which have the last minutes.
        wanted: what to look for.

    Raises:
        StoreError: there is no database, or something cannot be read.
    """
    with _looking_into(path) as connection:
        tail = only_in_text(connection, text)
        recent = [reading for reading in tail.readings if _is_wanted(reading, wanted)]
        recent.sort(key=_time)  # stable: those of the same time stay in their order
        yield from merge(_stored(connection, wanted, tail.newest_id), recent, key=_time)


def summaries(path: Path, wanted: Wanted) -> Iterator[Summary]:
    """Yield the windows that were computed, the oldest first.

    Raises:
        StoreError: there is no database, or it cannot be read.
    """
    series = (wanted.unit, wanted.sensor)
    after = _BEFORE_ALL
    with _looking_into(path) as connection:
        while True:
            rows: list[SummaryRow] = connection.execute(
                _SUMMARIES, (*series, *after, wanted.from_ms, wanted.to_ms, ROWS_AT_ONCE)
            ).fetchall()
            if not rows:
                return
            for row in rows:
                yield summary_of(row)
            after = (rows[-1][1], rows[-1][0])


@contextmanager
def _looking_into(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise StoreError(
            f"{path}: there is no database; has kei run with this jobs.toml?"
            " If it was removed, start kei: it makes a new one of the last text files"
        )
    try:
        with closing(connect_to_look(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {why_unreadable(error, path)}") from error


def _stored(connection: sqlite3.Connection, wanted: Wanted, newest_id: int) -> Iterator[Reading]:
    series = (wanted.unit, wanted.sensor)
    span, last = span_of(wanted.from_ms), span_of(wanted.to_ms - 1)
    while True:
        (found,) = connection.execute(_NEXT_SPAN, (span, last)).fetchone()
        if found is None:
            return
        within = (wanted.from_ms, wanted.to_ms, newest_id)
        cursor = connection.execute(_READINGS, (*within, *series, found))
        while rows := cursor.fetchmany(AT_ONCE):
            page: list[ReadingRow] = rows
            if len(page) < AT_ONCE:
                cursor.close()  # nobody is to wait for whoever reads our lines
            for row in page:
                yield reading_of(row)
            if len(page) < AT_ONCE:
                break
        span = found + 1


def _is_wanted(reading: Reading, wanted: Wanted) -> bool:
    return (
        wanted.from_ms <= reading.time_ms < wanted.to_ms
        and wanted.unit in (None, reading.unit)
        and wanted.sensor in (None, reading.sensor)
    )


def _time(reading: Reading) -> int:
    return reading.time_ms
