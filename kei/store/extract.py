"""Everything recorded in a span of time, read from outside in the order of time.

However much there is, only a few hundred rows are in memory, and no look at the database lasts
longer than it takes to read those: a kei that is recording is never held up.
"""

import heapq
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kei.errors import StoreError
from kei.reading import Reading, Summary
from kei.store.reading_back import connect_to_look
from kei.store.rows import ReadingRow, SummaryRow, reading_of, summary_of

ROWS_AT_ONCE = 256
_BEFORE_ALL = -1  # of the ids that break ties between rows of the same time

_READINGS = (
    "SELECT r.id, r.time_ms, s.unit, s.sensor, r.value, s.places, r.data_id"
    " FROM series s CROSS JOIN readings r ON r.series_id = s.id"
    " WHERE s.id = ? AND (r.time_ms, r.id) > (?, ?) AND r.time_ms < ?"
    " ORDER BY r.time_ms, r.id LIMIT ?"
)
_SUMMARIES = (
    "SELECT m.id, m.start_ms, s.unit, s.sensor, m.average, m.minimum, m.maximum, s.places, m.count"
    " FROM summaries m CROSS JOIN series s ON s.id = m.series_id"
    " WHERE s.id = ? AND (m.start_ms, m.id) > (?, ?) AND m.start_ms < ?"
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


def readings(path: Path, wanted: Wanted) -> Iterator[Reading]:
    """Yield what was recorded, the oldest first.

    Raises:
        StoreError: there is no database, or it cannot be read.
    """
    with _looking_into(path) as connection:
        runs = [_readings(connection, id_, wanted) for id_ in _series(connection, wanted)]
        for row in heapq.merge(*runs, key=lambda row: (row[1], row[0])):
            yield reading_of(row)


def summaries(path: Path, wanted: Wanted) -> Iterator[Summary]:
    """Yield the windows that were computed, the oldest first.

    Raises:
        StoreError: there is no database, or it cannot be read.
    """
    with _looking_into(path) as connection:
        runs = [_summaries(connection, id_, wanted) for id_ in _series(connection, wanted)]
        for row in heapq.merge(*runs, key=lambda row: (row[1], row[0])):
            yield summary_of(row)


@contextmanager
def _looking_into(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise StoreError(f"{path}: there is no database; has kei run with this jobs.toml?")
    try:
        with closing(connect_to_look(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


def _series(connection: sqlite3.Connection, wanted: Wanted) -> list[int]:
    rows: list[tuple[int]] = connection.execute(
        "SELECT id FROM series WHERE unit = coalesce(?, unit) AND sensor = coalesce(?, sensor)",
        (wanted.unit, wanted.sensor),
    ).fetchall()
    return [id_ for (id_,) in rows]


def _readings(
    connection: sqlite3.Connection, series_id: int, wanted: Wanted
) -> Iterator[ReadingRow]:
    after = (wanted.from_ms, _BEFORE_ALL)
    while rows := _page(connection, _READINGS, series_id, after, wanted):
        page: list[ReadingRow] = rows
        yield from page
        after = (page[-1][1], page[-1][0])


def _summaries(
    connection: sqlite3.Connection, series_id: int, wanted: Wanted
) -> Iterator[SummaryRow]:
    after = (wanted.from_ms, _BEFORE_ALL)
    while rows := _page(connection, _SUMMARIES, series_id, after, wanted):
        page: list[SummaryRow] = rows
        yield from page
        after = (page[-1][1], page[-1][0])


def _page(
    connection: sqlite3.Connection,
    statement: str,
    series_id: int,
    after: tuple[int, int],
    wanted: Wanted,
) -> list:  # type: ignore[type-arg]  # of rows; the callers say of which
    return connection.execute(statement, (series_id, *after, wanted.to_ms, ROWS_AT_ONCE)).fetchall()
