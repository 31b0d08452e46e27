"""The table of readings, and the ranges of IDs by which they are found by time (`spans`)."""

import sqlite3
from collections.abc import Sequence
from decimal import Decimal

from kei.core.reading import Reading
from kei.store.database import Database, load_number, save_state
from kei.store.dirty_windows import mark_dirty
from kei.store.rows import (
    READING_COLUMNS,
    ReadingRow,
    Stored,
    newest_id,
    pack,
    places_of,
    reading_of,
)

# Length of a span of the table `spans`. Never to be changed: databases have their spans saved.
SPAN_MS = 600_000

PRUNED_UNTIL_KEY = "readings_pruned_until"  # ms since 1970

# Within the limits of a span, as its range of ids may include rows of other spans.
IN_SPANS = (
    " FROM spans p CROSS JOIN readings r ON r.id BETWEEN p.first_id AND p.last_id"
    f" AND r.time_ms >= p.span * {SPAN_MS} AND r.time_ms < (p.span + 1) * {SPAN_MS}"
)


def span_of(time_ms: int) -> int:
    """Return the number of the span of an instant."""
    return time_ms // SPAN_MS


def readings_of_span(connection: sqlite3.Connection, span: int) -> list[Reading]:
    """Return the readings of a span, in the order of recording."""
    rows: list[ReadingRow] = connection.execute(
        f"SELECT {READING_COLUMNS}{IN_SPANS} CROSS JOIN series s ON s.id = r.series_id"
        " WHERE p.span = ? ORDER BY r.id",
        (span,),
    ).fetchall()
    return [reading_of(row) for row in rows]


def mark_times(connection: sqlite3.Connection, rows: Sequence[tuple[int, int]]) -> None:
    """Have rows found by their time, and the windows computed again that they are late for.

    Args:
        connection: of a transaction.
        rows: ID and time (ms) of each.
    """
    ranges: dict[int, tuple[int, int]] = {}
    for id_, time_ms in rows:
        span = span_of(time_ms)
        first, last = ranges.get(span, (id_, id_))
        ranges[span] = (min(first, id_), max(last, id_))
    connection.executemany(
        "INSERT INTO spans (span, first_id, last_id) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET last_id = max(last_id, excluded.last_id)",
        [(span, first, last) for span, (first, last) in ranges.items()],
    )
    mark_dirty(connection, [time_ms for _, time_ms in rows])


class ReadingTable:
    """Readings of a database. A method that raises `StoreError` has changed nothing.

    Args:
        database: where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, connection: sqlite3.Connection, readings: Sequence[Reading], *, are_late: bool = False
    ) -> int:
        """Add readings with consecutive IDs; windows that have been computed are so again.

        Args:
            connection: of a transaction that the caller has begun.
            readings: at least one, in order.
            are_late: whether a series may have newer ones, as it may where they are `recovered`.

        Returns:
            the ID of the first one.
        """
        first_id = newest_id(connection) + 1
        newest: dict[int, int] = {}
        late: dict[int, tuple[int, int]] = {}  # time and ID
        rows: list[tuple[int, int, int, Stored, str, bool]] = []
        for id_, reading in enumerate(readings, start=first_id):
            series_id = self._database.series_id(
                connection, reading.unit, reading.sensor, places_of(reading.value)
            )
            if reading.recovered or are_late:
                late[series_id] = max((reading.time_ms, id_), late.get(series_id, (0, 0)))
            else:
                newest[series_id] = id_
            value, data_id = pack(reading.value), reading.data_id
            rows.append((id_, series_id, reading.time_ms, value, data_id, reading.recovered))
        connection.executemany(
            "INSERT INTO readings (id, series_id, time_ms, value, data_id, recovered)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.executemany(
            "UPDATE series SET last_id = ? WHERE id = ?",
            [(id_, series_id) for series_id, id_ in newest.items()],
        )
        connection.executemany(
            # Also with another number of decimals.
            "UPDATE series SET last_id = ? WHERE id = ? AND NOT EXISTS"
            " (SELECT 1 FROM series o JOIN readings r ON r.id = o.last_id"
            " WHERE o.unit = series.unit AND o.sensor = series.sensor AND r.time_ms > ?)",
            [(id_, series_id, time_ms) for series_id, (time_ms, id_) in late.items()],
        )
        mark_times(connection, [(row[0], row[2]) for row in rows])
        return first_id

    def has(self, unit: str, sensor: str, time_ms: int, value: Decimal | None = None) -> bool:
        """Return whether there is a reading of this series and time, and value if one is given."""
        packed = None if value is None else pack(value)
        with self._database.access() as connection:
            row = connection.execute(
                f"SELECT 1{IN_SPANS} AND r.time_ms = ?"
                " AND r.series_id IN (SELECT id FROM series WHERE unit = ? AND sensor = ?)"
                " WHERE p.span = ? AND r.value = ifnull(?, r.value) LIMIT 1",
                (time_ms, unit, sensor, span_of(time_ms), packed),
            ).fetchone()
        return row is not None

    def next_ms(self, from_ms: int) -> int | None:
        """Return the time of the earliest reading at or after an instant, None if there is none."""
        with self._database.access() as connection:
            spans = connection.execute(
                "SELECT DISTINCT span FROM spans WHERE span >= ? ORDER BY span",
                (span_of(from_ms),),
            )
            for (span,) in spans:  # nearly always the first; those of moved readings are empty
                row: tuple[int | None] = connection.execute(
                    f"SELECT min(r.time_ms){IN_SPANS} AND r.time_ms >= ? WHERE p.span = ?",
                    (from_ms, span),
                ).fetchone()
                if row[0] is not None:
                    return row[0]
        return None

    def prune(self, before_ms: int, limit: int) -> int:
        """Delete readings of spans that end before an instant; never the newest reading.

        The newest one stays so that no ID is used twice. That readings are missing before that
        instant is saved: what was computed of them cannot be computed again.

        Args:
            before_ms: the instant.
            limit: how many readings at most; other users of the database wait meanwhile.

        Returns:
            how many readings were deleted; 0 if none are left to be.
        """
        with self._database.transaction() as connection:
            old: list[tuple[int, int, int]] = connection.execute(
                "SELECT span, first_id, last_id FROM spans WHERE span < ?"
                " AND first_id < (SELECT max(id) FROM readings) ORDER BY span, first_id LIMIT ?",
                (span_of(before_ms), limit),
            ).fetchall()
            removed = 0
            for span, first_id, last_id in old:
                removed += _prune_range(connection, span, first_id, last_id, limit - removed)
                if removed >= limit:
                    break
            if removed:
                until_ms = max(pruned_until_ms(connection), span_of(before_ms) * SPAN_MS)
                save_state(connection, PRUNED_UNTIL_KEY, str(until_ms))
        return removed


def pruned_until_ms(connection: sqlite3.Connection) -> int:
    """Return before which instant readings may have been deleted, milliseconds since 1970."""
    return load_number(connection, PRUNED_UNTIL_KEY)


def _prune_range(
    connection: sqlite3.Connection, span: int, first_id: int, last_id: int, limit: int
) -> int:
    removed = connection.execute(
        "DELETE FROM readings WHERE id IN (SELECT id FROM readings WHERE id BETWEEN ? AND ?"
        " AND id < (SELECT max(id) FROM readings) AND time_ms >= ? AND time_ms < ? LIMIT ?)",
        (first_id, last_id, span * SPAN_MS, (span + 1) * SPAN_MS, limit),
    ).rowcount
    if removed < limit and last_id < newest_id(connection):
        connection.execute("DELETE FROM spans WHERE span = ? AND first_id = ?", (span, first_id))
    return removed
