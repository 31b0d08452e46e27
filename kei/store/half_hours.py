"""Which half-hours of the meter's registers the database has."""

from kei.core.reading import Reading
from kei.store.database import Database
from kei.store.reading_table import IN_SPANS, span_of
from kei.store.rows import READING_COLUMNS, ReadingRow, reading_of

HALF_HOUR_MS = 1_800_000
# A full or half hour is the first instant of a span: two of three spans need not be looked at.
_SPANS_A_HALF_HOUR = span_of(HALF_HOUR_MS)


class HalfHours:
    """The readings of the database whose time is a full or half hour. Raises `StoreError`.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def between(
        self, unit: str, sensors: tuple[str, ...], from_ms: int, to_ms: int
    ) -> list[Reading]:
        """Return those of some series with from <= time < to, in the order of their times.

        Looks at the rows of these half-hours only: a day of the default requests has 3,000 of
        them, so a long time is to be asked for day by day, and others get their turn.
        """
        those = f"SELECT id FROM series WHERE unit = ? AND sensor IN ({_marks(sensors)})"
        with self._database.access() as connection:
            rows: list[ReadingRow] = connection.execute(
                f"SELECT {READING_COLUMNS}{IN_SPANS}"
                f" AND r.time_ms % {HALF_HOUR_MS} = 0 AND r.time_ms >= ? AND r.time_ms < ?"
                f" AND r.series_id IN ({those})"
                " CROSS JOIN series s ON s.id = r.series_id"
                f" WHERE p.span BETWEEN ? AND ? AND p.span % {_SPANS_A_HALF_HOUR} = 0"
                " ORDER BY r.time_ms, r.id",
                (from_ms, to_ms, unit, *sensors, span_of(from_ms), span_of(to_ms)),
            ).fetchall()
        return [reading_of(row) for row in rows]

    def newest_ms(self, unit: str, sensors: tuple[str, ...]) -> int | None:
        """Return the latest time of any reading of some series; None if there is none."""
        those = f"SELECT id FROM series WHERE unit = ? AND sensor IN ({_marks(sensors)})"
        with self._database.access() as connection:
            spans = connection.execute("SELECT DISTINCT span FROM spans ORDER BY span DESC")
            for (span,) in spans:  # nearly always the first or the second
                row: tuple[int | None] = connection.execute(
                    f"SELECT max(r.time_ms){IN_SPANS} AND r.series_id IN ({those})"
                    " WHERE p.span = ?",
                    (unit, *sensors, span),
                ).fetchone()
                if row[0] is not None:
                    return row[0]
        return None


def _marks(values: tuple[str, ...]) -> str:
    return ", ".join("?" * len(values))
