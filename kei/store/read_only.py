"""What other processes read of the database, without holding up the one that writes to it.

Nothing is written, not even a lock that a writer would have to wait for. Everything recorded within
a range of time comes in the order of time: only a few hundred rows are in memory at once, and no
statement is open for longer than it takes to read those.

The functions are given the path of the database, and the daily files, which have the readings of
the last minutes; they raise `StoreError` when something cannot be read.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from pathlib import Path

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.reading import Reading, Summary
from kei.settings.upload import What
from kei.store import pending
from kei.store.database_file import CACHE_KIB, describe_read_error, primary_code
from kei.store.queue import Waiting, waiting
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

BUSY_TIMEOUT_S = 1.0  # only while a writer repairs its log after a crash
LIMIT_S = 10.0  # for a whole overview
_NO_ROOM = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL})
_STEPS = 10_000  # of SQLite's virtual machine between checks of the limit: below a millisecond
_LAST = (
    f"SELECT {READING_COLUMNS}"
    " FROM series s CROSS JOIN readings r ON r.id = s.last_id ORDER BY r.id"
)
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
class Overview:
    """The newest readings, and what waits for upload.

    Attributes:
        last: the newest reading of each series, in the order of recording.
        waiting: for each target that was asked for, in that order.
        pending: how many readings have no line in the text yet.
    """

    last: tuple[Reading, ...]
    waiting: tuple[Waiting, ...]
    pending: int = 0


def read_overview(
    path: Path, text: DailyFile, targets: Sequence[tuple[str, What]], clock: Clock
) -> Overview:
    """Return the newest readings and what waits for upload; nothing if there is no database yet.

    Args:
        path: the database.
        text: the daily files.
        targets: names of targets and what each is sent.
        clock: for the time limit, beyond which this raises `StoreError`, too.
    """
    nothing = Overview((), tuple(Waiting(0, None, 0) for _ in targets))
    with read_only(path) as connection:
        if connection is None:
            return nothing
        end = clock.monotonic() + LIMIT_S
        connection.set_progress_handler(lambda: clock.monotonic() > end, _STEPS)
        return Overview(
            last=newest_readings(connection, text),
            waiting=tuple(waiting(connection, name, what) for name, what in targets),
            pending=connection.execute("SELECT count(*) FROM pending").fetchone()[0],
        )


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Lend a read-only connection to a database; None if there is none yet."""
    try:
        if not path.exists():
            yield None
            return
        with closing(connect_read_only(path)) as connection:
            yield connection if check_version(connection, path) else None
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {describe_read_error(error, path)}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a database so that nothing is written; sqlite3.Error if that fails."""
    # Without a write-ahead log there is no writer. SQLite would make a log then, and leave it.
    if path.with_name(f"{path.name}-wal").exists():
        connection = _connected(path, "mode=ro")
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            if primary_code(error) not in _NO_ROOM:
                raise
        else:
            return connection
        # A full or read-only disk has no room for the index of the log. What the log has is
        # missing then; of the readings, the text has it.
    return _connected(path, "mode=ro&immutable=1")


def _connected(path: Path, options: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


def newest_readings(connection: sqlite3.Connection, text: DailyFile) -> tuple[Reading, ...]:
    """Return the newest reading of each series, in the order of recording."""
    rows: list[ReadingRow] = connection.execute(_LAST).fetchall()
    newest: dict[tuple[str, str], Reading] = {}
    _, recent = only_in_text(connection, text)
    for reading in (*map(reading_of, rows), *recent):
        # A series that has changed its number of decimals has several rows: the last one counts.
        newest[reading.unit, reading.sensor] = reading
    return tuple(newest.values())


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
    """Yield the readings, the oldest first."""
    with recorded(path) as connection:
        newest_id, recent = only_in_text(connection, text)
        recent = [reading for reading in recent if _matches(reading, query)]
        recent.sort(key=_TIME)  # stable: those of the same time stay in their order
        yield from merge(_stored(connection, query, newest_id), recent, key=_TIME)


def series(path: Path, text: DailyFile) -> set[tuple[str, str]]:
    """Return UnitID and SensorID of all that was recorded, be it in the text alone, or pending."""
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
    """
    with recorded(path) as connection:
        for reading in pending.readings(connection):
            if unit in {None, reading.unit} and sensor in {None, reading.sensor}:
                yield reading


def summaries(path: Path, query: Query) -> Iterator[Summary]:
    """Yield the summaries of windows that began in the range, the oldest first."""
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
