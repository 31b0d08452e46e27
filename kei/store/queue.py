"""The upload queues: the rows behind a cursor that each upload target has in the database."""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from typing import NamedTuple

import structlog

from kei.core.errors import StoreError
from kei.settings.upload import UploadTarget, What
from kei.store.database import Database
from kei.store.reading_table import IN_SPANS, span_of
from kei.store.recovery import is_new
from kei.store.rows import TABLES, Row, newest_id, rows_of

ROWS_MAX = 2_500_000  # of one target: 100 MB of lines of about 40 bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for an upload target.

    Attributes:
        rows: how many.
        oldest_ms: the time of the first of them (of a summary: the start of its window).
        set_aside: dead letters of the target.
        dropped: how many rows were given up before they could be sent.
    """

    rows: int
    oldest_ms: int | None
    set_aside: int
    dropped: int = 0


class UploadQueue:
    """The upload queues of a database. Thread-safe.

    The cursor of a target that was never registered is before the first row. Every method raises
    `StoreError` when the database fails, and has done nothing then.

    Args:
        database: where the rows and the cursors are.
        commit: called before readings are looked for; writes to the database what the recorder
            still has in memory.
        recovered: whether targets get what was made good later from what the meter remembers.
    """

    def __init__(
        self,
        database: Database,
        commit: Callable[[], object] = lambda: None,
        *,
        recovered: bool = True,
    ) -> None:
        self._database = database
        self._commit = commit
        self._generations: dict[tuple[str, What], int] = {}  # of the rows returned last
        self._wanted = "" if recovered else " AND r.recovered = 0"

    def register(self, target: str, what: What, since_ms: int | None) -> None:
        """Give a target its cursor the first time; later calls change nothing.

        It gets one, too, in each database that is begun in place of the present one, before that
        takes over readings from the text: the target gets these, perhaps for the second time.

        Args:
            target: its name.
            what: what it is sent.
            since_ms: None to send what is recorded from now on; else also everything from the
                first row on that is not older than this.
        """
        begin = partial(_register, target=target, what=what, since_ms=since_ms)
        self._database.begin_next_with((target, what), begin)
        with self._database.transaction() as connection:
            begin(connection)

    def is_registered(self, target: str, what: What) -> bool:
        """Return whether a target has its cursor: it gets whatever is added from now on."""
        with self._database.access() as connection:
            return _cursor(connection, target, what) is not None

    def pending(self, target: str, what: What, limit: int) -> list[Row]:
        """Return the next rows to be sent to a target, at most so many, in the order of IDs."""
        if what is What.READINGS:
            self._commit()
        table = TABLES[what]
        with self._database.access() as connection:
            self._generations[target, what] = self._database.generation
            found = connection.execute(
                f"SELECT {table.columns} FROM {table.name} r"
                " CROSS JOIN series s ON s.id = r.series_id"
                f" WHERE r.id > ?{self._wanted} ORDER BY r.id LIMIT ?",
                (_last_id(connection, target, what), limit),
            )
            rows = rows_of(what, found)
            newest = newest_id(connection, what)
        if not rows and self._wanted and self.in_flight(target, what) is None:
            self.advance(target, what, newest)  # nothing waits behind what it does not get
        return rows

    def waiting(self, target: str, what: What) -> Waiting:
        """Return what waits for a target."""
        with self._database.access() as connection:
            return waiting(connection, target, what)

    def in_flight(self, target: str, what: What) -> int | None:
        """Return the ID of the last row of a batch that was sent and has no answer yet."""
        with self._database.access() as connection:
            cursor = _cursor(connection, target, what)
        return cursor.in_flight if cursor else None

    def sending(self, target: str, what: What, last_id: int) -> None:
        """Save durably that a batch from the cursor to a row is about to be sent.

        The rows are synced, too: after a power cut the batch is the same.
        """
        with self._same_file(target, what) as connection:
            connection.execute(
                "UPDATE upload_cursors SET in_flight = ? WHERE target = ? AND kind = ?",
                (last_id, target, what.value),
            )
        self._database.sync()

    def shorten(self, target: str, what: What, most: int = ROWS_MAX) -> int:
        """Move the cursor past the oldest rows if more than `most` wait, and past removed rows.

        Returns:
            how many rows the target will never get because of that.
        """
        with self._database.access() as connection:
            last_id, until = _last_id(connection, target, what), _floor(connection, what, most)
        if until <= last_id:
            return 0
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE upload_cursors SET last_id = ?, in_flight = NULL, dropped = dropped + ?"
                " WHERE target = ? AND kind = ?",
                (until, until - last_id, target, what.value),
            ).rowcount
        return until - last_id if changed else 0  # one that is not registered has no cursor

    def advance(self, target: str, what: What, last_id: int) -> None:
        """Save that a target has everything up to a row; a cursor never goes back."""
        with self._same_file(target, what) as connection:
            _advance(connection, target, what, last_id)

    def set_aside(self, target: str, what: What, rows: Sequence[Row], reason: str) -> None:
        """Save rows that a target refuses as dead letters and advance past them, in one step.

        Args:
            target: its name.
            what: what it is sent.
            rows: in the order of their IDs.
            reason: why, one line for a person.
        """
        if not rows:
            return
        now_ms = self._database.clock.now_ms()
        with self._same_file(target, what) as connection:
            connection.executemany(
                "INSERT INTO dead_letters (target, kind, row_id, reason, time_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                [(target, what.value, row.id, reason, now_ms) for row in rows],
            )
            _advance(connection, target, what, rows[-1].id)

    def _same_file(
        self, target: str, what: What
    ) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """Lend the connection, within a transaction, if the rows returned last are of this file.

        In a database that took its place their IDs would be those of rows that nobody has sent.
        """
        return self._database.transaction(self._generations.get((target, what)))


def register_before_recovery(
    targets: Sequence[UploadTarget], database: Database, zone: tzinfo
) -> None:
    """Let targets get what a new database, in place of one that was lost, takes over from the text.

    Without effect on a database that is not new. Whoever registers targets afterwards lets them
    begin behind that. If the database fails, its targets get everything in any case.
    """
    with contextlib.suppress(StoreError):
        if not is_new(database):
            return
        again = ", and sends that again" if targets else ""
        structlog.stdlib.get_logger("kei.upload").warning(
            "database_lost",
            hint=f"a new one takes over today and yesterday from the text{again}",
        )
        for target in targets:
            UploadQueue(database).register(target.name, target.what, target.since_ms(zone))


def waiting(connection: sqlite3.Connection, target: str, what: What) -> Waiting:
    """Return what waits for a target."""
    cursor, table = _cursor(connection, target, what), TABLES[what]
    if cursor is None:  # no kei has run with this target yet
        return Waiting(0, None, 0)
    oldest: tuple[int, int] | None = connection.execute(
        f"SELECT id, {table.time} FROM {table.name} WHERE id > ? ORDER BY id LIMIT 1",
        (cursor.last_id,),
    ).fetchone()
    (set_aside,) = connection.execute(
        "SELECT count(*) FROM dead_letters WHERE target = ? AND kind = ?", (target, what.value)
    ).fetchone()
    if oldest is None:
        return Waiting(0, None, set_aside, cursor.dropped)
    first_id, oldest_ms = oldest
    # IDs are consecutive, and rows are removed from the front: nothing has to be counted.
    rows = newest_id(connection, what) - first_id + 1
    return Waiting(rows, oldest_ms, set_aside, cursor.dropped)


def _register(
    connection: sqlite3.Connection, *, target: str, what: What, since_ms: int | None
) -> None:
    last_id = newest_id(connection, what)
    if since_ms is not None:
        first_id = _first_since(connection, what, since_ms)
        last_id = last_id if first_id is None else first_id - 1
    connection.execute(
        "INSERT INTO upload_cursors (target, kind, last_id) VALUES (?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (target, what.value, last_id),
    )


def _first_since(connection: sqlite3.Connection, what: What, since_ms: int) -> int | None:
    """Return the ID of the first row that is not older; looks at few rows, however many there are.

    That of a reading may be a little lower where rows have been removed.
    """
    if what is What.SUMMARY:
        parameters: tuple[int, ...] = (since_ms,)
        statement = "SELECT min(id) FROM summaries WHERE start_ms >= ?"
    else:
        span = span_of(since_ms)
        statement = (
            f"SELECT min(id) FROM (SELECT min(r.id) AS id{IN_SPANS} AND r.time_ms >= ?"
            " WHERE p.span = ? UNION ALL SELECT min(first_id) FROM spans WHERE span > ?)"
        )
        parameters = (since_ms, span, span)
    row: tuple[int | None] = connection.execute(statement, parameters).fetchone()
    return row[0]


def _floor(connection: sqlite3.Connection, what: What, most: int) -> int:
    """Return the ID up to which rows are removed, or are not to be sent any more."""
    oldest: tuple[int | None] = connection.execute(
        f"SELECT min(id) FROM {TABLES[what].name}"
    ).fetchone()
    return 0 if oldest[0] is None else max(oldest[0] - 1, newest_id(connection, what) - most)


class _Cursor(NamedTuple):
    """How far a target has come; the columns of its row."""

    last_id: int
    in_flight: int | None
    dropped: int


def _cursor(connection: sqlite3.Connection, target: str, what: What) -> _Cursor | None:
    row: tuple[int, int | None, int] | None = connection.execute(
        "SELECT last_id, in_flight, dropped FROM upload_cursors WHERE target = ? AND kind = ?",
        (target, what.value),
    ).fetchone()
    return None if row is None else _Cursor(*row)


def _last_id(connection: sqlite3.Connection, target: str, what: What) -> int:
    cursor = _cursor(connection, target, what)
    return 0 if cursor is None else cursor.last_id


def _advance(connection: sqlite3.Connection, target: str, what: What, last_id: int) -> None:
    # A new database counts from 1 again: an ID of the old one must not run ahead of it.
    last_id = min(last_id, newest_id(connection, what))
    connection.execute(
        "INSERT INTO upload_cursors (target, kind, last_id) VALUES (?, ?, ?)"
        " ON CONFLICT (target, kind)"
        " DO UPDATE SET last_id = max(last_id, excluded.last_id), in_flight = NULL",
        (target, what.value, last_id),
    )
