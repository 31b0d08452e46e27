"""What the meter has stamped with a full or half hour, read by another process than the recorder.

Only the spans that begin at :00 and :30 are looked into, so that a year takes no more than seconds.
As in `kei.store.extract`, no statement is open for longer than it takes to read some of them.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from kei.core.reading import Reading
from kei.energy.registers import HALF_HOUR_MS
from kei.store.extract import recorded
from kei.store.numbers import unpack
from kei.store.read_only import newest_readings
from kei.store.reading_table import SPAN_MS
from kei.store.recovery import only_in_text
from kei.store.rows import Stored
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
