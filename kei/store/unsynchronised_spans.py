"""The rows that were timed by an unset wall clock, and the correction of their times."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kei.store.database import Database
from kei.store.dirty_windows import mark_dirty
from kei.store.reading_table import mark_spans
from kei.timekeeping.gate import TimeGate, Trust

SAME_SETTING_MS = 1000  # slewing moves a clock by less between two readings; a step is 2 s or more


@dataclass(frozen=True, slots=True)
class UnsynchronisedSpan:
    """Rows with consecutive ids that were timed by the same setting of the wall clock.

    Attributes:
        first_id: of the first row.
        last_id: of the last one.
        offset_ms: wall clock minus monotonic clock.
    """

    first_id: int
    last_id: int
    offset_ms: int


def find(first_id: int, offsets: Iterable[int | None]) -> Iterator[UnsynchronisedSpan]:
    """Yield the spans among rows with consecutive ids.

    Args:
        first_id: of the first row.
        offsets: of each row; None if its time needs no correction.
    """
    open_: UnsynchronisedSpan | None = None
    for id_, offset in enumerate(offsets, start=first_id):
        if open_ is not None:
            if offset is not None and abs(offset - open_.offset_ms) < SAME_SETTING_MS:
                open_ = UnsynchronisedSpan(open_.first_id, id_, open_.offset_ms)
                continue
            yield open_
        open_ = None if offset is None else UnsynchronisedSpan(id_, id_, offset)
    if open_ is not None:
        yield open_


def add(connection: sqlite3.Connection, spans: Iterable[UnsynchronisedSpan], boot: str) -> None:
    """Save spans, in the transaction that adds their rows.

    Args:
        connection: of that transaction.
        spans: in the order of their ids.
        boot: name of the present boot, to which the monotonic clock of the offsets belongs.
    """
    for span in spans:
        extended = connection.execute(
            "UPDATE unsure SET last_id = ? WHERE last_id = ? AND boot = ?"
            " AND abs(offset_ms - ?) < ?",
            (span.last_id, span.first_id - 1, boot, span.offset_ms, SAME_SETTING_MS),
        )
        if not extended.rowcount:
            connection.execute(
                "INSERT INTO unsure (first_id, last_id, offset_ms, boot) VALUES (?, ?, ?, ?)",
                (span.first_id, span.last_id, span.offset_ms, boot),
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
    moved = 0
    for first_id, last_id, old_ms in spans:
        offset_ms = gate.best_offset_ms(old_ms)
        if abs(offset_ms - old_ms) >= SAME_SETTING_MS:
            moved += _move(connection, first_id, last_id, offset_ms - old_ms)
        if gate.trust_of(offset_ms) is Trust.SURE:
            connection.execute("DELETE FROM unsure WHERE first_id = ?", (first_id,))
        else:
            connection.execute(
                "UPDATE unsure SET offset_ms = ? WHERE first_id = ?", (offset_ms, first_id)
            )
    return moved


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
    mark_spans(connection, moved)
    mark_dirty(connection, [time_ms for _, time_ms in moved])
    return len(moved)
