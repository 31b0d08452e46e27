"""The table of summaries: average, minimum and maximum of each series in each window."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from itertools import pairwise

from kei.core.reading import MAX_PLACES, Completeness, Summary, trimmed
from kei.settings.upload import What
from kei.store.database import Database, load_number, load_state, save_state
from kei.store.reading_table import IN_SPANS, pruned_until_ms, span_of
from kei.store.rows import (
    SUMMARY_COLUMNS,
    Stored,
    SummaryRow,
    newest_id,
    pack,
    packed_as_scaled,
    places_of,
    summary_of,
    unscaled,
)

# Returns the expected seconds between readings of a series; None if unknown.
Expected = Callable[[str, str], float | None]

ENOUGH = Fraction(9, 10)  # of the expected readings: fewer make a window partial
GAP_CYCLES = 3  # without a reading for longer makes a window partial
GAP_MIN_READINGS = 5  # so many are needed to derive an unknown cycle from them
LINES_UNTIL_KEY = "summary_lines_until"  # ID of the last summary that is in the text file
LINES_END_KEY = "summary_lines_end"  # day and end (bytes) of its line: `2026-11-23 1234`


@dataclass(slots=True)
class _Sum:
    """Sum and extremes of one series; numbers in ten-thousandths."""

    total: int
    minimum: int
    maximum: int
    places: int
    times: list[int] = field(default_factory=list)
    recovered: bool = False

    def add(self, number: int, places: int, time_ms: int) -> None:
        self.total += number
        self.minimum = min(self.minimum, number)
        self.maximum = max(self.maximum, number)
        self.places = max(self.places, places)
        self.times.append(time_ms)


class SummaryTable:
    """Summaries of a database. A method that raises `StoreError` has changed nothing.

    Args:
        database: where the table is.
        expected: returns the expected seconds between readings of a series.
    """

    def __init__(
        self, database: Database, expected: Expected = lambda _unit, _sensor: None
    ) -> None:
        self._database = database
        self._expected = expected

    def compute(self, connection: sqlite3.Connection, start_ms: int, end_ms: int) -> list[Summary]:
        """Compute the summaries of the window [start, end) exactly; nothing is stored.

        Returns:
            one for each series that has readings there, in the order in which the series began.
            Averages are rounded half to even at 4 decimals, without zeros at the end; minimum and
            maximum have the decimals of the series.
        """
        sums: dict[tuple[str, str], _Sum] = {}
        rows: Iterator[tuple[str, str, int, int, Stored, int]] = connection.execute(
            "SELECT s.unit, s.sensor, s.places, r.time_ms, r.value, r.recovered"
            f"{IN_SPANS} AND r.time_ms >= ? AND r.time_ms < ?"
            " CROSS JOIN series s ON s.id = r.series_id"
            " WHERE p.span BETWEEN ? AND ?",
            (start_ms, end_ms, span_of(start_ms), span_of(end_ms - 1)),
        )
        for unit, sensor, places, time_ms, stored, recovered in rows:
            number = packed_as_scaled(stored)
            known = sums.get((unit, sensor))
            if known is None:
                known = sums[unit, sensor] = _Sum(number, number, number, places, [time_ms])
            else:
                known.add(number, places, time_ms)
            known.recovered |= bool(recovered)
        names: list[tuple[str, str]] = connection.execute(
            "SELECT unit, sensor FROM series GROUP BY unit, sensor ORDER BY min(id)"
        ).fetchall()
        return [self._summary(start_ms, end_ms, name, sums[name]) for name in names if name in sums]

    def next_ms(self, from_ms: int) -> int | None:
        """Return the start of the first window at or after an instant that has summaries."""
        with self._database.access() as connection:
            row: tuple[int | None] = connection.execute(
                "SELECT min(start_ms) FROM summaries WHERE start_ms >= ?", (from_ms,)
            ).fetchone()
        return row[0]

    def add(self, connection: sqlite3.Connection, summaries: Sequence[Summary]) -> None:
        """Add summaries of windows that have none yet, in their order, within a transaction.

        They are not in the text file yet.
        """
        connection.executemany(
            "INSERT INTO summaries"
            " (series_id, average, minimum, maximum, count, state, recovered, start_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*self._columns(connection, each), each.start_ms) for each in summaries],
        )

    def replace(
        self, connection: sqlite3.Connection, start_ms: int, summaries: Sequence[Summary]
    ) -> None:
        """Replace the summaries of a window by those that were computed again; in a transaction.

        Those that have changed are `RECOVERED`; the others keep their state. Those of a series that
        had one keep its ID, so that they are not uploaded again. Where readings have been pruned, a
        summary of more of them than are left stays.
        """
        known: dict[tuple[str, str], tuple[int, Summary]] = {
            (summary.unit, summary.sensor): (id_, summary)
            for id_, summary in _of_window(connection, start_ms)
        }
        is_pruned = start_ms < pruned_until_ms(connection)
        fresh: list[Summary] = []
        for computed in summaries:
            summary = replace(computed, state=Completeness.RECOVERED)
            id_, old = known.pop((summary.unit, summary.sensor), (None, None))
            if id_ is None or old is None:
                fresh.append(summary)
            elif not (_same(computed, old) or (is_pruned and computed.count < old.count)):
                connection.execute(
                    "UPDATE summaries SET series_id = ?, average = ?, minimum = ?, maximum = ?,"
                    " count = ?, state = ?, recovered = ? WHERE id = ?",
                    (*self._columns(connection, summary), id_),
                )
        if not is_pruned:
            connection.executemany(
                "DELETE FROM summaries WHERE id = ?"
                " AND id < (SELECT max(id) FROM summaries)",  # so that no ID is used twice
                [(id_,) for id_, _ in known.values()],
            )
        self.add(connection, fresh)
        # New ones get no line: the lines of a window are written once.
        newest = newest_id(connection, What.SUMMARY)
        if fresh and _lines_until(connection) == newest - len(fresh):
            save_state(connection, LINES_UNTIL_KEY, str(newest))

    def without_line(self, limit: int) -> list[tuple[int, Summary]]:
        """Return the oldest summaries that are not in the text file, with their IDs, in order."""
        with self._database.access() as connection:
            until = _lines_until(connection)
            rows: list[SummaryRow] = connection.execute(
                f"SELECT {SUMMARY_COLUMNS} FROM summaries r"
                " CROSS JOIN series s ON s.id = r.series_id WHERE r.id > ? ORDER BY r.id LIMIT ?",
                (until, limit),
            ).fetchall()
        return [(row[0], summary_of(row)) for row in rows]

    def lines_written(self, until_id: int, day: date, end: int) -> None:
        """Save that the summaries up to an ID are in the text file.

        Args:
            until_id: of the last of them.
            day: of the file that has its line.
            end: of that line in the file, bytes.
        """
        with self._database.transaction() as connection:
            save_state(connection, LINES_UNTIL_KEY, str(until_id))
            save_state(connection, LINES_END_KEY, f"{day.isoformat()} {end}")

    def lines_end(self) -> tuple[date, int] | None:
        """Return day and end (bytes) of the last line that is known to be written."""
        with self._database.access() as connection:
            day, _, end = (load_state(connection, LINES_END_KEY) or "").partition(" ")
        try:
            return date.fromisoformat(day), int(end)
        except ValueError:
            return None

    def prune(self, before_ms: int, limit: int) -> int:
        """Delete summaries of windows that began before an instant, never the newest one.

        Returns:
            how many were deleted, at most `limit`.
        """
        with self._database.transaction() as connection:
            return connection.execute(
                "DELETE FROM summaries WHERE id IN (SELECT id FROM summaries WHERE start_ms < ?"
                " AND id < (SELECT max(id) FROM summaries) LIMIT ?)",
                (before_ms, limit),
            ).rowcount

    def _columns(
        self, connection: sqlite3.Connection, summary: Summary
    ) -> tuple[int, Stored, Stored, Stored, int, str, bool]:
        series_id = self._database.series_id(
            connection, summary.unit, summary.sensor, places_of(summary.minimum)
        )
        average, minimum, maximum = map(pack, (summary.average, summary.minimum, summary.maximum))
        state, recovered = summary.state.value, summary.recovered
        return series_id, average, minimum, maximum, summary.count, state, recovered

    def _summary(self, start_ms: int, end_ms: int, name: tuple[str, str], sum_: _Sum) -> Summary:
        count = len(sum_.times)
        state = completeness(start_ms, end_ms, sum_.times, self._expected(*name))
        return Summary(
            start_ms,
            *name,
            # round() of a Fraction is exact and half to even.
            average=trimmed(unscaled(round(Fraction(sum_.total, count)), MAX_PLACES)),
            minimum=unscaled(sum_.minimum, sum_.places),
            maximum=unscaled(sum_.maximum, sum_.places),
            count=count,
            state=Completeness.RECOVERED if sum_.recovered else state,
            recovered=sum_.recovered,
        )


def _of_window(connection: sqlite3.Connection, start_ms: int) -> list[tuple[int, Summary]]:
    rows: list[SummaryRow] = connection.execute(
        f"SELECT {SUMMARY_COLUMNS} FROM summaries r"
        " CROSS JOIN series s ON s.id = r.series_id WHERE r.start_ms = ?",
        (start_ms,),
    ).fetchall()
    return [(row[0], summary_of(row)) for row in rows]


def _same(one: Summary, other: Summary) -> bool:
    """Return whether two summaries are of the same values."""
    return replace(one, state=other.state) == other


def _lines_until(connection: sqlite3.Connection) -> int:
    """Return the ID of the last summary that is in the text file; the newest if that is damaged."""
    newest = newest_id(connection, What.SUMMARY)
    return load_number(connection, LINES_UNTIL_KEY, if_damaged=newest)


def completeness(
    start_ms: int, end_ms: int, times_ms: Sequence[int], cycle_s: float | None
) -> Completeness:
    """Return whether a window has all the readings that it should have.

    Args:
        start_ms: of the window.
        end_ms: of the window.
        times_ms: of its readings, in any order, at least one.
        cycle_s: expected seconds between readings; None to derive them from the readings.
    """
    times = sorted(times_ms)
    length_ms = end_ms - start_ms
    if cycle_s is None:
        if len(times) < GAP_MIN_READINGS:
            return Completeness.COMPLETE
        from statistics import median  # noqa: PLC0415 - the meter's cycles are known

        cycle_ms = Fraction(median(later - earlier for earlier, later in pairwise(times)))
    else:
        cycle_ms = Fraction(cycle_s) * 1000
        # If the cycle is longer than the window, one reading is enough.
        if cycle_ms <= length_ms and len(times) < ENOUGH * length_ms / cycle_ms:
            return Completeness.PARTIAL
    longest_ms = max(later - earlier for earlier, later in pairwise([start_ms, *times, end_ms]))
    has_gap = 0 < GAP_CYCLES * cycle_ms < longest_ms
    return Completeness.PARTIAL if has_gap else Completeness.COMPLETE
