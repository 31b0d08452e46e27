"""Readings that were timed by a clock which nobody had set, and how their time is put right."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kei.store.dirty_windows import reopen
from kei.store.reading_table import mark_spans

SAME_SETTING_MS = 1000  # slewing moves a clock by less between two looks; a step is 2 s or more


@dataclass(frozen=True, slots=True)
class Stretch:
    """Readings recorded one after the other, by one setting of the wall clock.

    Attributes:
        first_id: of the first reading.
        last_id: of the last one.
        offset_ms: wall clock less monotonic clock.
    """

    first_id: int
    last_id: int
    offset_ms: int


def stretches(first_id: int, offsets: Iterable[int | None]) -> Iterator[Stretch]:
    """Yield the stretches among readings that were added one after the other.

    Args:
        first_id: of the first one.
        offsets: of each; None for one whose time needs no putting right.
    """
    open_: Stretch | None = None
    for id_, offset in enumerate(offsets, start=first_id):
        if open_ is not None:
            if offset is not None and abs(offset - open_.offset_ms) < SAME_SETTING_MS:
                open_ = Stretch(open_.first_id, id_, open_.offset_ms)
                continue
            yield open_
        open_ = None if offset is None else Stretch(id_, id_, offset)
    if open_ is not None:
        yield open_


def add(connection: sqlite3.Connection, found: Iterable[Stretch], boot: str) -> None:
    """Remember stretches, in the transaction that adds the readings.

    Args:
        connection: of that transaction.
        found: in order.
        boot: names the boot in which the monotonic clock of their offsets runs.
    """
    for each in found:
        joined = connection.execute(
            "UPDATE unsure SET last_id = ? WHERE last_id = ? AND boot = ?"
            " AND abs(offset_ms - ?) < ?",
            (each.last_id, each.first_id - 1, boot, each.offset_ms, SAME_SETTING_MS),
        )
        if not joined.rowcount:
            connection.execute(
                "INSERT INTO unsure (first_id, last_id, offset_ms, boot) VALUES (?, ?, ?, ?)",
                (each.first_id, each.last_id, each.offset_ms, boot),
            )


def put_right(connection: sqlite3.Connection, offset_ms: int, boot: str) -> int:
    """Give the readings the time that they have by the present setting of the clock.

    Args:
        connection: of a transaction.
        offset_ms: wall clock less monotonic clock, now.
        boot: of the present boot; nothing can be known of the clock of another one.

    Returns:
        how many readings changed their time.
    """
    found: list[tuple[int, int, int]] = connection.execute(
        "SELECT first_id, last_id, offset_ms FROM unsure WHERE boot = ?", (boot,)
    ).fetchall()
    moved = 0
    for first_id, last_id, old_offset_ms in found:
        by_ms = offset_ms - old_offset_ms
        if abs(by_ms) >= SAME_SETTING_MS:
            moved += _move(connection, first_id, last_id, by_ms)
            connection.execute(
                "UPDATE unsure SET offset_ms = ? WHERE first_id = ?", (offset_ms, first_id)
            )
    return moved


def forget(connection: sqlite3.Connection) -> None:
    """Take the times of all readings for right from now on."""
    connection.execute("DELETE FROM unsure")


def _move(connection: sqlite3.Connection, first_id: int, last_id: int, by_ms: int) -> int:
    ids = (first_id, last_id)
    rows: list[tuple[int, int]] = connection.execute(
        "SELECT id, time_ms FROM readings WHERE id BETWEEN ? AND ?", ids
    ).fetchall()
    moved = [(id_, time_ms + by_ms) for id_, time_ms in rows]
    reopen(connection, [time_ms for _, time_ms in rows])
    connection.execute(
        "UPDATE readings SET time_ms = time_ms + ? WHERE id BETWEEN ? AND ?", (by_ms, *ids)
    )
    connection.execute("DELETE FROM spans WHERE first_id >= ? AND last_id <= ?", ids)
    mark_spans(connection, moved)
    reopen(connection, [time_ms for _, time_ms in moved])
    return len(moved)
