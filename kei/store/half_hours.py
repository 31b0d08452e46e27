"""What the meter has stamped with a full or half hour.

Only the spans that begin at :00 and :30 are looked into, so that a year takes no more than seconds.
The recorder's own process looks with `HalfHours`; others look with the functions, which know the
lines of the last minutes as well and, as in `kei.store.read_only`, keep no statement open for long.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from kei.core.reading import Reading
from kei.energy.registers import HALF_HOUR_MS
from kei.store.database import Database
from kei.store.read_only import newest_readings, recorded
from kei.store.reading_table import IN_SPANS, SPAN_MS, span_of
from kei.store.recovery import only_in_text
from kei.store.rows import READING_COLUMNS, ReadingRow, Stored, reading_of, unpack
from kei.store.text import DailyFile

_SPANS = HALF_HOUR_MS // SPAN_MS
_AT_ONCE_MS = 7 * 86_400_000  # read by one statement

# Without the + SQLite would make an index of all readings for each statement.
_AT_HALF_HOURS = (
    "SELECT r.time_ms, s.sensor, r.value, s.places"
    " FROM spans p CROSS JOIN readings r ON r.id BETWEEN p.first_id AND p.last_id"
    f" AND +r.time_ms = p.span * {SPAN_MS} AND r.series_id IN (SELECT value FROM json_each(?))"
    " AND +r.id <= ? CROSS JOIN series s ON s.id = r.series_id"
    f" WHERE p.span >= ? AND p.span <= ? AND p.span % {_SPANS} = 0 ORDER BY r.time_ms, r.id"
)


class HalfHours:
    """The readings of the database whose time is a full or half hour. Raises `StoreError`.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def between(
        self,
        unit: str,
        sensors: tuple[str, ...],
        from_ms: int,
        to_ms: int,
        step_ms: int = HALF_HOUR_MS,
    ) -> list[Reading]:
        """Return those of some series with from <= time < to, in the order of their times.

        With a step of a minute these are the readings at full minutes. Looks at the rows of these
        times only: a day of the default requests has 3,000 of them at half-hours, so a long time is
        to be asked for day by day, and others get their turn.
        """
        those = f"SELECT id FROM series WHERE unit = ? AND sensor IN ({_marks(sensors)})"
        with self._database.access() as connection:
            rows: list[ReadingRow] = connection.execute(
                f"SELECT {READING_COLUMNS}{IN_SPANS}"
                f" AND r.time_ms % {step_ms} = 0 AND r.time_ms >= ? AND r.time_ms < ?"
                f" AND r.series_id IN ({those})"
                " CROSS JOIN series s ON s.id = r.series_id"
                f" WHERE p.span BETWEEN ? AND ? AND p.span % {max(1, step_ms // SPAN_MS)} = 0"
                " ORDER BY r.time_ms, r.id",
                (from_ms, to_ms, unit, *sensors, span_of(from_ms), span_of(to_ms)),
            ).fetchall()
        return [reading_of(row) for row in rows]

    def newest_ms(self, unit: str, sensors: tuple[str, ...], before_ms: int) -> int | None:
        """Return the latest time of any reading of some series before an instant, or None."""
        those = f"SELECT id FROM series WHERE unit = ? AND sensor IN ({_marks(sensors)})"
        with self._database.access() as connection:
            spans = connection.execute(
                "SELECT DISTINCT span FROM spans WHERE span <= ? ORDER BY span DESC",
                (span_of(before_ms),),
            )
            for (span,) in spans:  # nearly always the first or the second
                row: tuple[int | None] = connection.execute(
                    f"SELECT max(r.time_ms){IN_SPANS} AND r.time_ms < ?"
                    f" AND r.series_id IN ({those}) WHERE p.span = ?",
                    (before_ms, unit, *sensors, span),
                ).fetchone()
                if row[0] is not None:
                    return row[0]
        return None


def newest(path: Path, text: DailyFile, unit: str) -> dict[str, Reading]:
    """Return the reading that was recorded last of each sensor of a unit.

    Args:
        path: the database.
        text: the daily files, which have the readings of the last minutes.
        unit: UnitID.

    Raises:
        StoreError: there is no database, or something cannot be read.
    """
    with recorded(path) as connection:
        found = newest_readings(connection, text)
    return {reading.sensor: reading for reading in found if reading.unit == unit}


def at_half_hours(
    path: Path, text: DailyFile, from_ms: int, to_ms: int, unit: str, sensors: Sequence[str]
) -> Iterator[tuple[int, dict[str, Decimal]]]:
    """Yield what was recorded of a unit for each full and half hour, the oldest first.

    Of several values of a sensor for the same instant the one that was recorded last counts: a kei
    that read stamps in another zone may have left a wrong one.

    Args:
        path: the database.
        text: the daily files, which have the readings of the last minutes.
        from_ms: the first instant, milliseconds since 1970 in UTC, a full or half hour.
        to_ms: the last instant.
        unit: UnitID.
        sensors: SensorIDs.

    Raises:
        StoreError: there is no database, or something cannot be read.
    """
    with recorded(path) as connection:
        newest_id, recent = only_in_text(connection, text)
        of_text = [each for each in recent if _fits(each, unit, sensors)]
        for start in range(from_ms, to_ms + 1, _AT_ONCE_MS):
            end = min(start + _AT_ONCE_MS - HALF_HOUR_MS, to_ms)
            found: dict[int, dict[str, Decimal]] = {}
            for time_ms, sensor, number, places in _rows(
                connection, newest_id, (start, end), _ids(connection, unit, sensors)
            ):
                found.setdefault(time_ms, {})[sensor] = unpack(number, places)
            for each in of_text:
                if start <= each.time_ms <= end:
                    found.setdefault(each.time_ms, {})[each.sensor] = each.value
            yield from sorted(found.items())


def _rows(
    connection: sqlite3.Connection, newest_id: int, within: tuple[int, int], ids: str
) -> list[tuple[int, str, Stored, int]]:
    first, last = (time_ms // SPAN_MS for time_ms in within)
    return connection.execute(_AT_HALF_HOURS, (ids, newest_id, first, last)).fetchall()


def _ids(connection: sqlite3.Connection, unit: str, sensors: Sequence[str]) -> str:
    rows = connection.execute("SELECT id, sensor FROM series WHERE unit = ?", (unit,)).fetchall()
    return str([id_ for id_, sensor in rows if sensor in sensors])


def _fits(reading: Reading, unit: str, sensors: Sequence[str]) -> bool:
    return (
        reading.unit == unit and reading.sensor in sensors and reading.time_ms % HALF_HOUR_MS == 0
    )


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
