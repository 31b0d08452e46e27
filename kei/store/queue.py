"""What waits for an upload: the rows behind a cursor that each target has in the database."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kei.settings.upload import What
from kei.store.database import Database
from kei.store.rows import (
    READING_COLUMNS,
    SUMMARY_COLUMNS,
    ReadingRow,
    Row,
    SummaryRow,
    reading_of,
    summary_of,
)

# What may wait for a target that does not take anything: 100 MB of lines of about 40 bytes.
ROWS_MAX = 2_500_000


@dataclass(frozen=True, slots=True)
class _Statements:
    oldest: str
    newest: str
    first_since: str
    pending: str
    backlog: str


_SQL = {
    What.READINGS: _Statements(
        oldest="SELECT min(id) FROM readings",
        newest="SELECT max(id) FROM readings",
        first_since="SELECT id FROM readings WHERE time_ms >= ? ORDER BY id LIMIT 1",
        pending=(
            f"SELECT {READING_COLUMNS}"
            " FROM readings r CROSS JOIN series s ON s.id = r.series_id"
            " WHERE r.id > ? ORDER BY r.id LIMIT ?"
        ),
        backlog="SELECT count(*) FROM readings WHERE id > ?",
    ),
    What.SUMMARY: _Statements(
        oldest="SELECT min(id) FROM summaries",
        newest="SELECT max(id) FROM summaries",
        first_since="SELECT id FROM summaries WHERE start_ms >= ? ORDER BY id LIMIT 1",
        pending=(
            f"SELECT {SUMMARY_COLUMNS} FROM summaries m CROSS JOIN series s ON s.id = m.series_id"
            " WHERE m.id > ? ORDER BY m.id LIMIT ?"
        ),
        backlog="SELECT count(*) FROM summaries WHERE id > ?",
    ),
}


def _nothing() -> None:
    """Commit nothing, because nothing waits."""


class UploadQueue:
    """The uploads' side of a database. Thread-safe.

    A target that was never registered, or whose database has been begun anew, has its cursor
    before the first row. Every method raises `StoreError` when the database fails, and has done
    nothing then.
    """

    def __init__(self, database: Database, commit: Callable[[], None] = _nothing) -> None:
        """Prepare for a database.

        Args:
            database: where the rows and the cursors are.
            commit: called before readings are looked for; brings those into the database that
                the recorder still has in memory.
        """
        self._database = database
        self._commit = commit

    def register(self, target: str, kind: What, since_ms: int | None) -> None:
        """Give a target its cursor the first time; later calls change nothing.

        Args:
            target: its name.
            kind: what it is sent.
            since_ms: None for what is recorded from now on, else also what was recorded since
                the first row that is as old as this or younger.
        """
        with self._database.transaction() as connection:
            last_id = _newest(connection, kind)
            if since_ms is not None:
                row: tuple[int] | None = connection.execute(
                    _SQL[kind].first_since, (since_ms,)
                ).fetchone()
                last_id = last_id if row is None else row[0] - 1
            connection.execute(
                "INSERT INTO upload_cursors (target, kind, last_id) VALUES (?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (target, kind.value, last_id),
            )

    def pending(self, target: str, kind: What, limit: int) -> list[Row]:
        """Return the next rows that a target has not got, in the order of their ids.

        Args:
            target: its name.
            kind: what it is sent.
            limit: how many at most.
        """
        if kind is What.READINGS:
            self._commit()
        with self._database.access() as connection:
            after = (_cursor(connection, target, kind), limit)
            cursor = connection.execute(_SQL[kind].pending, after)
            if kind is What.READINGS:
                readings: list[ReadingRow] = cursor.fetchall()
                return [Row(row[0], reading_of(row)) for row in readings]
            summaries: list[SummaryRow] = cursor.fetchall()
            return [Row(row[0], summary_of(row)) for row in summaries]

    def backlog(self, target: str, kind: What) -> int:
        """Return how many rows wait for a target."""
        with self._database.access() as connection:
            row: tuple[int] = connection.execute(
                _SQL[kind].backlog, (_cursor(connection, target, kind),)
            ).fetchone()
        return row[0]

    def in_flight(self, target: str, kind: What) -> int | None:
        """Return the last row of a batch that was sent, and of which no answer is known."""
        with self._database.access() as connection:
            row: tuple[int | None] | None = connection.execute(
                "SELECT in_flight FROM upload_cursors WHERE target = ? AND kind = ?",
                (target, kind.value),
            ).fetchone()
        return None if row is None else row[0]

    def sending(self, target: str, kind: What, last_id: int) -> None:
        """Remember, for good, that a batch from the cursor to a row is about to be sent.

        The rows are on the disk then, too: after a power cut it is the same batch.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE upload_cursors SET in_flight = ? WHERE target = ? AND kind = ?",
                (last_id, target, kind.value),
            )
        self._database.sync()

    def shorten(self, target: str, kind: What, most: int = ROWS_MAX) -> int:
        """Give up the oldest rows that wait, if there are too many, or if they are gone already.

        Args:
            target: its name.
            kind: what it is sent.
            most: how many may wait.

        Returns:
            how many rows the target will never get because of that.
        """
        with self._database.access() as connection:
            cursor, until = _cursor(connection, target, kind), _floor(connection, kind, most)
        if until <= cursor:
            return 0
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE upload_cursors SET last_id = ?, in_flight = NULL, dropped = dropped + ?"
                " WHERE target = ? AND kind = ?",
                (until, until - cursor, target, kind.value),
            ).rowcount
        return until - cursor if changed else 0  # one that is not registered has no place yet

    def advance(self, target: str, kind: What, last_id: int) -> None:
        """Remember that a target has everything up to a row; a cursor never goes back."""
        with self._database.transaction() as connection:
            _advance(connection, target, kind, last_id)

    def set_aside(self, target: str, kind: What, rows: Sequence[Row], reason: str) -> None:
        """Note rows that a target will never take as dead letters, and go past them, in one step.

        Args:
            target: its name.
            kind: what it is sent.
            rows: in the order of their ids.
            reason: why, one line for a person.
        """
        if not rows:
            return
        now_ms = self._database.clock.now_ms()
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT INTO dead_letters (target, kind, row_id, reason, time_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                [(target, kind.value, row.id, reason, now_ms) for row in rows],
            )
            _advance(connection, target, kind, rows[-1].id)


def _newest(connection: sqlite3.Connection, kind: What) -> int:
    row: tuple[int | None] = connection.execute(_SQL[kind].newest).fetchone()
    return row[0] or 0


def _floor(connection: sqlite3.Connection, kind: What, most: int) -> int:
    """Return the id up to which rows are gone, or are not to be sent any more."""
    oldest: int | None = connection.execute(_SQL[kind].oldest).fetchone()[0]
    if oldest is None:
        return 0
    return max(oldest - 1, _newest(connection, kind) - most)


def _cursor(connection: sqlite3.Connection, target: str, kind: What) -> int:
    row: tuple[int] | None = connection.execute(
        "SELECT last_id FROM upload_cursors WHERE target = ? AND kind = ?", (target, kind.value)
    ).fetchone()
    return 0 if row is None else row[0]


def _advance(connection: sqlite3.Connection, target: str, kind: What, last_id: int) -> None:
    # A database begun anew counts from 1 again: an id of the old one must not run ahead of it.
    last_id = min(last_id, _newest(connection, kind))
    connection.execute(
        "INSERT INTO upload_cursors (target, kind, last_id) VALUES (?, ?, ?)"
        " ON CONFLICT (target, kind)"
        " DO UPDATE SET last_id = max(last_id, excluded.last_id), in_flight = NULL",
        (target, kind.value, last_id),
    )
