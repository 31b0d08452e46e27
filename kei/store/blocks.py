"""Blocks: what the averages of six hours have in common, so that a chart of years is quick.

A year has 52,560 windows of ten minutes for each series, and 1,460 blocks. They are derived from
the summaries, and cost the card some 60 kB a year and series: four times a day a few rows.
"""

import sqlite3

from kei.store.database import Database, load_number, save_state
from kei.store.dirty_windows import done_until_ms

BLOCK_MS = 6 * 3_600_000  # never to be changed: databases have their blocks saved
DONE_KEY = "blocks_done_until"  # ms since 1970: every block before it is there
_BLOCKS_AT_ONCE = 8  # of two days: some milliseconds in which a new reading has to wait
_BLOCKS_A_RUN = 1600  # of a year, when an older kei has made the database

# What does not fit 64 bits is text (`kei.store.rows`): no chart can show it.
_MADE = (
    "INSERT INTO blocks (start_ms, series_id, minimum, total, count, maximum)"
    f" SELECT start_ms - start_ms % {BLOCK_MS}, series_id,"
    " min(minimum), total(average * count), sum(count), max(maximum)"
    " FROM summaries WHERE start_ms >= ? AND start_ms < ?"
    " AND typeof(minimum) = 'integer' AND typeof(maximum) = 'integer'"
    " GROUP BY 1, 2 ON CONFLICT DO UPDATE SET minimum = excluded.minimum,"
    " total = excluded.total, count = excluded.count, maximum = excluded.maximum"
)


class BlockTable:
    """Blocks of a database. Raises `StoreError`, and has changed nothing then.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def catch_up(self) -> None:
        """Add the blocks that are over; of many the rest is left to the next call."""
        for _ in range(_BLOCKS_A_RUN // _BLOCKS_AT_ONCE):
            with self._database.transaction() as connection:
                done_ms, until_ms = blocks_until_ms(connection), done_until_ms(connection)
                until_ms -= until_ms % BLOCK_MS
                first: tuple[int | None] = connection.execute(
                    "SELECT min(start_ms) FROM summaries WHERE start_ms >= ?", (done_ms,)
                ).fetchone()
                if done_ms >= until_ms:
                    return
                begin_ms = until_ms if first[0] is None else min(first[0], until_ms)
                begin_ms -= begin_ms % BLOCK_MS
                end_ms = min(begin_ms + _BLOCKS_AT_ONCE * BLOCK_MS, until_ms)
                connection.execute(_MADE, (begin_ms, end_ms))
                save_state(connection, DONE_KEY, str(end_ms))

    def redo(self, connection: sqlite3.Connection, time_ms: int) -> None:
        """Make the block of an instant anew, in a transaction that has changed its summaries."""
        start_ms = time_ms - time_ms % BLOCK_MS
        if start_ms < blocks_until_ms(connection):
            connection.execute("DELETE FROM blocks WHERE start_ms = ?", (start_ms,))
            connection.execute(_MADE, (start_ms, start_ms + BLOCK_MS))

    def prune(self, before_ms: int, limit: int) -> int:
        """Delete blocks that began before an instant, `limit` at most; returns how many."""
        with self._database.transaction() as connection:
            return connection.execute(
                "DELETE FROM blocks WHERE (start_ms, series_id) IN"
                " (SELECT start_ms, series_id FROM blocks WHERE start_ms < ? LIMIT ?)",
                (before_ms, limit),
            ).rowcount


def blocks_until_ms(connection: sqlite3.Connection) -> int:
    """Return until when every block is there."""
    return load_number(connection, DONE_KEY)
