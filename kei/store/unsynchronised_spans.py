"""The rows that were timed by an unset wall clock, and the correction of their times."""

import sqlite3
from collections.abc import Iterable

from kei.store.database import Database
from kei.store.dirty_windows import mark_dirty
from kei.store.reading_table import mark_times
from kei.timekeeping.gate import TimeGate, Trust

SAME_SETTING_MS = 1000  # slewing moves a clock by less between two readings; a step is 2 s or more


def add(
    connection: sqlite3.Connection, first_id: int, offsets: Iterable[int | None], boot: str
) -> None:
    """Save which rows were timed by an unset clock, in the transaction that adds them.

    A span has consecutive IDs, and times by the same setting of the clock.

    Args:
        connection: of that transaction.
        first_id: of the first row; the others have the IDs behind it.
        offsets: wall clock minus monotonic clock of each row; None if its time is sure.
        boot: name of the present boot, to which the monotonic clock of the offsets belongs.
    """
    spans: list[tuple[int, int, int]] = []  # first and last ID, offset
    for id_, offset in enumerate(offsets, start=first_id):
        if offset is None:
            continue
        if spans and spans[-1][1] == id_ - 1 and _is_same(offset, spans[-1][2]):
            spans[-1] = (spans[-1][0], id_, spans[-1][2])
        else:
            spans.append((id_, id_, offset))
    for first, last, offset in spans:
        extended = connection.execute(
            "UPDATE unsure SET last_id = ? WHERE last_id = ? AND boot = ?"
            " AND abs(offset_ms - ?) < ?",
            (last, first - 1, boot, offset, SAME_SETTING_MS),
        )
        if not extended.rowcount:
            connection.execute(
                "INSERT INTO unsure (first_id, last_id, offset_ms, boot) VALUES (?, ?, ?, ?)",
                (first, last, offset, boot),
            )


def correct(database: Database, gate: TimeGate, boot: str) -> int:
    """Give the rows of all spans the time that is right by what is known of the clock now.

    Spans whose time is sure, or can never be corrected, are removed.

    Args:
        database: that has them.
        gate: knows what is right.
        boot: name of the present boot; spans of other boots cannot be corrected.

    Returns:
        how many readings changed their time.

    Raises:
        StoreError: the database fails.
    """
    with database.access() as connection:
        if connection.execute("SELECT 1 FROM unsure LIMIT 1").fetchone() is None:
            return 0
    with database.transaction() as connection:
        return _correct(connection, gate, boot)


def _correct(connection: sqlite3.Connection, gate: TimeGate, boot: str) -> int:
    connection.execute("DELETE FROM unsure WHERE boot != ?", (boot,))
    spans: list[tuple[int, int, int]] = connection.execute(
        "SELECT first_id, last_id, offset_ms FROM unsure"
    ).fetchall()
    moved, view = 0, gate.view()
    for first_id, last_id, old_ms in spans:
        offset_ms = view.best_offset_ms(old_ms)
        if not _is_same(offset_ms, old_ms):
            moved += _move(connection, first_id, last_id, offset_ms - old_ms)
        if view.trust_of(offset_ms) is Trust.SURE:
            connection.execute("DELETE FROM unsure WHERE first_id = ?", (first_id,))
        else:
            connection.execute(
                "UPDATE unsure SET offset_ms = ? WHERE first_id = ?", (offset_ms, first_id)
            )
    return moved


def _is_same(offset_ms: int, other_ms: int) -> bool:
    return abs(offset_ms - other_ms) < SAME_SETTING_MS


def _move(connection: sqlite3.Connection, first_id: int, last_id: int, by_ms: int) -> int:
    ids = (first_id, last_id)
    rows: list[tuple[int, int]] = connection.execute(
        "SELECT id, time_ms FROM readings WHERE id BETWEEN ? AND ?", ids
    ).fetchall()
    moved = [(id_, time_ms + by_ms) for id_, time_ms in rows]
    mark_dirty(connection, [time_ms for _, time_ms in rows])
    connection.execute(
        "UPDATE readings SET time_ms = time_ms + ? WHERE id BETWEEN ? AND ?", (by_ms, *ids)
    )
    connection.execute("DELETE FROM spans WHERE first_id >= ? AND last_id <= ?", ids)
    mark_times(connection, moved)
    return len(moved)
