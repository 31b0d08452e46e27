"""Dirty windows: those that were summed up before all of their readings were there."""

import sqlite3
from collections.abc import Iterable

from kei.store.database import Database
from kei.store.state import load_number

DONE_UNTIL_KEY = "summary_done_until"  # ms since 1970: every window before it has been computed


def mark_dirty(connection: sqlite3.Connection, times_ms: Iterable[int]) -> None:
    """Have the windows of some instants computed again, as far as they have been already.

    Args:
        connection: of the transaction that changes the readings.
        times_ms: the instants of readings that were added, moved or removed.
    """
    done_ms = load_number(connection, DONE_UNTIL_KEY)
    late = [time_ms for time_ms in times_ms if time_ms < done_ms]
    if late:
        connection.execute(
            "INSERT INTO reopened (from_ms, to_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (min(late), max(late) + 1),
        )


def dirty_ranges(database: Database) -> list[tuple[int, int]]:
    """Return the ranges of time, [from, to) in ms, whose windows have to be computed again.

    Raises:
        StoreError: the database fails; so with the functions below.
    """
    with database.access() as connection:
        return connection.execute("SELECT from_ms, to_ms FROM reopened ORDER BY from_ms").fetchall()


def done_until_ms(database: Database) -> int:
    """Return until when every window has been computed."""
    with database.access() as connection:
        return load_number(connection, DONE_UNTIL_KEY)


def clear(database: Database, from_ms: int, to_ms: int) -> None:
    """Remove a range that has been computed again."""
    with database.transaction() as connection:
        connection.execute("DELETE FROM reopened WHERE from_ms = ? AND to_ms = ?", (from_ms, to_ms))
