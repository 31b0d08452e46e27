"""Dead letters: notes of rows that an upload target refused for good."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kei.core.errors import StoreError
from kei.core.reading import Reading, Summary
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.database_file import primary_code
from kei.store.read_only import read_only
from kei.store.rows import TABLES, Row, rows_of
from kei.store.schema import check_version

WRITE_LIMIT_S = 10.0  # to wait for a running kei that writes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that a target refused.

    Attributes:
        id: of the dead letter.
        target: its name.
        what: reading or summary.
        row_id: of the reading or summary.
        item: the reading or summary; None if it has been removed from the database.
        reason: why, one line.
        time_ms: when, milliseconds since 1970 in UTC.
        is_due: whether it is to be sent once more.
    """

    id: int
    target: str
    what: What
    row_id: int
    item: Reading | Summary | None
    reason: str
    time_ms: int
    is_due: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters a command is for.

    Attributes:
        target: those of this target; None for all.
        ids: these; empty for all.
    """

    target: str | None
    ids: tuple[int, ...]

    def condition(self) -> tuple[str, list[object]]:
        """Return the filter as an SQL condition and its parameters."""
        parts, parameters = ["1"], list[object]()
        if self.target is not None:
            parts.append("target = ?")
            parameters.append(self.target)
        if self.ids:
            parts.append(f"id IN ({','.join('?' * len(self.ids))})")
            parameters += self.ids
        return " AND ".join(parts), parameters


def find(path: Path, wanted: Filter) -> Iterator[DeadLetter]:
    """Yield the matching dead letters, the oldest first. Writes nothing.

    Args:
        path: the database; it need not exist yet.
        wanted: which ones.

    Raises:
        StoreError: the database cannot be read.
    """
    condition, parameters = wanted.condition()
    with read_only(path) as connection:
        if connection is None:
            return
        found = connection.execute(
            "SELECT id, target, kind, row_id, reason, time_ms, retry FROM dead_letters"
            f" WHERE {condition} ORDER BY id",
            parameters,
        ).fetchall()
        for id_, target, kind, row_id, reason, time_ms, retry in found:
            what = What(kind)
            rows = rows_of(what, connection.execute(f"{_select(what)} WHERE d.id = ?", (id_,)))
            item = rows[0].item if rows else None
            yield DeadLetter(id_, target, what, row_id, item, reason, time_ms, bool(retry))


def retry(path: Path, wanted: Filter) -> int:
    """Have dead letters sent once more by the running or next kei; return how many."""
    return _change(path, wanted, "UPDATE dead_letters SET retry = 1 WHERE")


def drop(path: Path, wanted: Filter) -> int:
    """Delete dead letters; return how many. The readings and summaries stay."""
    return _change(path, wanted, "DELETE FROM dead_letters WHERE")


def _change(path: Path, wanted: Filter, statement: str) -> int:
    condition, parameters = wanted.condition()
    try:
        if not path.exists():
            return 0
        connection = sqlite3.connect(path, timeout=WRITE_LIMIT_S, isolation_level=None)
        with closing(connection):
            if not check_version(connection, path):
                return 0
            return connection.execute(f"{statement} {condition}", parameters).rowcount
    except sqlite3.Error as error:
        is_forbidden = primary_code(error) == sqlite3.SQLITE_READONLY
        why = "may not be written by you; use sudo" if is_forbidden else error
        raise StoreError(f"{path}: {why}") from error


def _select(what: What) -> str:
    """Return the statement for the readings or summaries of dead letters, without condition."""
    table = TABLES[what]
    return (
        f"SELECT {table.columns} FROM dead_letters d JOIN {table.name} r ON r.id = d.row_id"
        " CROSS JOIN series s ON s.id = r.series_id"
    )


class DeadLetters:
    """The dead letters of a running kei; those to be sent once more are an upload queue.

    Thread-safe. Every method raises `StoreError` when the database fails.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[tuple[str, What], list[int]] = {}  # IDs of the rows returned last

    def pending(self, target: str, what: What, limit: int) -> list[Row]:
        """Return the next rows, in the order of their IDs."""
        with self._database.access() as connection:
            found = connection.execute(
                f"{_select(what)} WHERE d.target = ? AND d.kind = ? AND d.retry = 1"
                " GROUP BY d.row_id ORDER BY d.row_id LIMIT ?",
                (target, what.value, limit),
            )
            rows = rows_of(what, found)
        self._pending[target, what] = [row.id for row in rows]
        return rows

    def in_flight(self, target: str, what: What) -> int | None:  # noqa: ARG002 - a protocol
        """Return None: a crash does not change the dead letters."""
        return None

    def sending(self, target: str, what: What, last_id: int) -> None:
        """Save nothing, for the same reason."""

    def shorten(self, target: str, what: What) -> int:
        """Delete dead letters whose row has been removed; return 0: they are not lost again."""
        with self._database.access() as connection:
            any_due = connection.execute(
                "SELECT 1 FROM dead_letters WHERE target = ? AND kind = ? AND retry = 1 LIMIT 1",
                (target, what.value),
            ).fetchone()
        if not any_due:
            return 0
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM dead_letters WHERE target = ? AND kind = ? AND retry = 1"
                f" AND row_id NOT IN (SELECT id FROM {TABLES[what].name} WHERE id = row_id)",
                (target, what.value),
            )
        return 0

    def advance(self, target: str, what: What, last_id: int) -> None:
        """Delete the dead letters that `pending` returned last, up to a row: they are delivered."""
        ids = [row_id for row_id in self._pending.get((target, what), ()) if row_id <= last_id]
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM dead_letters"
                " WHERE target = ? AND kind = ? AND retry = 1 AND row_id = ?",
                [(target, what.value, row_id) for row_id in ids],
            )

    def set_aside(self, target: str, what: What, rows: Sequence[Row], reason: str) -> None:
        """Save that rows were refused again."""
        now_ms = self._database.clock.now_ms()
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE dead_letters SET retry = 0, reason = ?, time_ms = ?"
                " WHERE target = ? AND kind = ? AND retry = 1 AND row_id = ?",
                [(reason, now_ms, target, what.value, row.id) for row in rows],
            )

    def prune(self, before_ms: int, limit: int) -> int:
        """Delete at most so many dead letters made before an instant; return how many."""
        with self._database.transaction() as connection:
            return connection.execute(
                "DELETE FROM dead_letters WHERE id IN"
                " (SELECT id FROM dead_letters WHERE time_ms < ? LIMIT ?)",
                (before_ms, limit),
            ).rowcount
