"""Rows that a target refused for good: noted, listed, sent once more, or forgotten."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kei.core.errors import StoreError
from kei.core.reading import Reading, Summary
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.reading_back import connect_to_look
from kei.store.rows import (
    READING_COLUMNS,
    SUMMARY_COLUMNS,
    ReadingRow,
    Row,
    SummaryRow,
    reading_of,
    summary_of,
)
from kei.store.schema import VERSION

WRITE_LIMIT_S = 10.0  # for a running kei to let somebody else write

_ROWS = {
    What.READINGS: (
        f"SELECT {READING_COLUMNS} FROM dead_letters d JOIN readings r ON r.id = d.row_id"
        " CROSS JOIN series s ON s.id = r.series_id"
    ),
    What.SUMMARY: (
        f"SELECT {SUMMARY_COLUMNS} FROM dead_letters d JOIN summaries m ON m.id = d.row_id"
        " CROSS JOIN series s ON s.id = m.series_id"
    ),
}
_GONE = {
    What.READINGS: "row_id NOT IN (SELECT id FROM readings WHERE id = row_id)",
    What.SUMMARY: "row_id NOT IN (SELECT id FROM summaries WHERE id = row_id)",
}


@dataclass(frozen=True, slots=True)
class Letter:
    """A row that a target refused.

    Attributes:
        id: of the note.
        target: its name.
        kind: what it is.
        row_id: of the reading or summary.
        item: it itself; None if it has left the database.
        reason: why, one line.
        time_ms: when, milliseconds since 1970 in UTC.
        is_due: whether it is to be sent once more.
    """

    id: int
    target: str
    kind: What
    row_id: int
    item: Reading | Summary | None
    reason: str
    time_ms: int
    is_due: bool


@dataclass(frozen=True, slots=True)
class Which:
    """Which letters are meant.

    Attributes:
        target: those of this target; None for all.
        ids: these; empty for all.
    """

    target: str | None
    ids: tuple[int, ...]

    def condition(self) -> tuple[str, list[object]]:
        """Return it as SQL, and its parameters."""
        parts, parameters = ["1"], list[object]()
        if self.target is not None:
            parts.append("target = ?")
            parameters.append(self.target)
        if self.ids:
            parts.append(f"id IN ({','.join('?' * len(self.ids))})")
            parameters += self.ids
        return " AND ".join(parts), parameters


def letters(path: Path, which: Which) -> Iterator[Letter]:
    """Yield letters, the oldest first. Writes nothing.

    Args:
        path: the database; there need not be one yet.
        which: those that are wanted.

    Raises:
        StoreError: it cannot be read.
    """
    condition, parameters = which.condition()
    try:
        if not path.exists():
            return
        with closing(connect_to_look(path)) as connection:
            _check_version(connection, path)
            found = connection.execute(
                "SELECT id, target, kind, row_id, reason, time_ms, retry FROM dead_letters"
                f" WHERE {condition} ORDER BY id",
                parameters,
            ).fetchall()
            for id_, target, kind, row_id, reason, time_ms, retry in found:
                item = _item(connection, What(kind), id_)
                yield Letter(id_, target, What(kind), row_id, item, reason, time_ms, bool(retry))
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


def retry(path: Path, which: Which) -> int:
    """Have letters sent once more, by the kei that runs or the next one; return how many."""
    return _change(path, which, "UPDATE dead_letters SET retry = 1 WHERE")


def drop(path: Path, which: Which) -> int:
    """Forget letters; return how many. The readings themselves stay."""
    return _change(path, which, "DELETE FROM dead_letters WHERE")


def _change(path: Path, which: Which, statement: str) -> int:
    condition, parameters = which.condition()
    try:
        if not path.exists():
            return 0
        connection = sqlite3.connect(path, timeout=WRITE_LIMIT_S, isolation_level=None)
        with closing(connection):
            _check_version(connection, path)
            return connection.execute(f"{statement} {condition}", parameters).rowcount
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise StoreError(f"{path}: of another version of kei; start kei once, which mends that")


def _item(connection: sqlite3.Connection, kind: What, letter_id: int) -> Reading | Summary | None:
    row = connection.execute(f"{_ROWS[kind]} WHERE d.id = ?", (letter_id,)).fetchone()
    if row is None:
        return None
    return reading_of(row) if kind is What.READINGS else summary_of(row)


class RetryQueue:
    """The letters that are to be sent once more, as a queue of an upload. Thread-safe.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._given: dict[tuple[str, What], list[int]] = {}  # ids of rows, as looked up last

    def pending(self, target: str, kind: What, limit: int) -> list[Row]:
        """Return the next rows, in the order of their ids."""
        key = (target, kind.value)
        with self._database.access() as connection:
            cursor = connection.execute(
                f"{_ROWS[kind]} WHERE d.target = ? AND d.kind = ? AND d.retry = 1"
                " GROUP BY d.row_id ORDER BY d.row_id LIMIT ?",
                (*key, limit),
            )
            if kind is What.READINGS:
                readings: list[ReadingRow] = cursor.fetchall()
                rows = [Row(row[0], reading_of(row)) for row in readings]
            else:
                summaries: list[SummaryRow] = cursor.fetchall()
                rows = [Row(row[0], summary_of(row)) for row in summaries]
        self._given[target, kind] = [row.id for row in rows]
        return rows

    def backlog(self, target: str, kind: What) -> int:
        """Return how many rows are to be sent once more."""
        with self._database.access() as connection:
            row: tuple[int] = connection.execute(
                "SELECT count(*) FROM dead_letters WHERE target = ? AND kind = ? AND retry = 1",
                (target, kind.value),
            ).fetchone()
        return row[0]

    def in_flight(self, target: str, kind: What) -> int | None:  # noqa: ARG002 - a protocol
        """Return None: after a crash the letters are there as they were."""
        return None

    def sending(self, target: str, kind: What, last_id: int) -> None:
        """Remember nothing, for the same reason."""

    def shorten(self, target: str, kind: What) -> int:
        """Forget letters whose row has left the database; none of them counts as lost again."""
        if not self.backlog(target, kind):
            return 0
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM dead_letters"
                f" WHERE target = ? AND kind = ? AND retry = 1 AND {_GONE[kind]}",
                (target, kind.value),
            )
        return 0

    def advance(self, target: str, kind: What, last_id: int) -> None:
        """Forget the letters up to a row, of those that were looked up last: they are delivered."""
        ids = [row_id for row_id in self._given.get((target, kind), ()) if row_id <= last_id]
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM dead_letters"
                " WHERE target = ? AND kind = ? AND retry = 1 AND row_id = ?",
                [(target, kind.value, row_id) for row_id in ids],
            )

    def set_aside(self, target: str, kind: What, rows: Sequence[Row], reason: str) -> None:
        """Note that rows were refused again."""
        now_ms = self._database.clock.now_ms()
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE dead_letters SET retry = 0, reason = ?, time_ms = ?"
                " WHERE target = ? AND kind = ? AND retry = 1 AND row_id = ?",
                [(reason, now_ms, target, kind.value, row.id) for row in rows],
            )


class DeadLetters:
    """All the notes, for the nightly job.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def prune(self, before_ms: int, limit: int) -> int:
        """Delete notes made before an instant, so many at most; return how many went."""
        with self._database.transaction() as connection:
            return connection.execute(
                "DELETE FROM dead_letters WHERE id IN"
                " (SELECT id FROM dead_letters WHERE time_ms < ? LIMIT ?)",
                (before_ms, limit),
            ).rowcount
