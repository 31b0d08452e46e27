"""Dirty windows: those that were summed up before all of their readings were there."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from kei.store.database import Database, load_number

# What is further apart is marked apart: half-hours that are made good late are in few windows.
APART_MS = 1_200_000
DONE_UNTIL_KEY = "summary_done_until"  # ms since 1970: every window before it has been computed


@dataclass(frozen=True, slots=True)
class DirtyRange:
    """A range of time whose windows have to be computed again.

    Attributes:
        from_ms: the first instant, milliseconds since 1970 in UTC.
        to_ms: the first instant behind it.
    """

    from_ms: int
    to_ms: int


def mark_dirty(connection: sqlite3.Connection, times_ms: Iterable[int]) -> None:
    """Have the windows of some instants computed again, as far as they have been already.

    Args:
        connection: of the transaction that changes the readings.
        times_ms: the instants of readings that were added, moved or removed.
    """
    done_ms = done_until_ms(connection)
    ranges: list[tuple[int, int]] = []
    for time_ms in sorted(each for each in times_ms if each < done_ms):
        if ranges and time_ms - ranges[-1][1] < APART_MS:
            ranges[-1] = (ranges[-1][0], time_ms + 1)
        else:
            ranges.append((time_ms, time_ms + 1))
    connection.executemany(
        "INSERT INTO reopened (from_ms, to_ms) VALUES (?, ?) ON CONFLICT DO NOTHING", ranges
    )


def dirty_ranges(database: Database) -> list[DirtyRange]:
    """Return what has to be computed again; StoreError if the database fails."""
    with database.access() as connection:
        rows: list[tuple[int, int]] = connection.execute(
            "SELECT from_ms, to_ms FROM reopened ORDER BY from_ms"
        ).fetchall()
    return [DirtyRange(*row) for row in rows]


def done_until_ms(connection: sqlite3.Connection) -> int:
    """Return until when every window has been computed."""
    return load_number(connection, DONE_UNTIL_KEY)


def shorten(connection: sqlite3.Connection, dirty: DirtyRange, until_ms: int) -> DirtyRange | None:
    """Save that a range has been computed again up to an instant, in the transaction that does.

    Returns:
        what is left of it; None if nothing is.
    """
    connection.execute(
        "DELETE FROM reopened WHERE from_ms = ? AND to_ms = ?", (dirty.from_ms, dirty.to_ms)
    )
    if until_ms >= dirty.to_ms:
        return None
    connection.execute(
        "INSERT INTO reopened (from_ms, to_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (until_ms, dirty.to_ms),
    )
    return DirtyRange(until_ms, dirty.to_ms)
