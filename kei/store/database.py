"""The database: readings, summaries and single values (`state`) in one SQLite file."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import structlog

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.store.database_file import (
    FileIdentity,
    PendingRow,
    connect,
    describe,
    is_damage,
    is_temporary,
    pending_rows,
    replace_pending,
    rescue,
    set_aside,
)
from kei.store.schema import transaction

log = structlog.stdlib.get_logger("kei.store")

YOUNG_BYTES = 65_536  # of a few hours
MOVE_LOG_AFTER_S = 3600.0  # for the first time, with some 40 kB
CHECK_EVERY_S = 5.0  # whether the file is still the one that has the name
Beginning = Callable[[sqlite3.Connection], None]


class Database:
    """The only writer of a database file. Thread-safe; other processes may read the file.

    A damaged file is renamed, with the time in its new name, and a new one begun: at once if the
    damage is found at opening, before the next call if it is found later.

    Every method raises `StoreError`, with one line that names the file, when the disk or SQLite
    fails; the call has changed nothing then, and may be repeated.

    Attributes:
        clock: the clock it was opened with.
        generation: how often another file has been begun since the start, because the one before
            was damaged or replaced.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Prepare for a file; use `open` instead."""
        self._path = path
        self.clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._series: dict[tuple[str, str, int], int] = {}
        self.generation = 0
        self._identity: FileIdentity | None = None
        self._carried: list[PendingRow] | None = None  # from a database that was replaced
        self._beginnings: dict[object, Beginning] = {}
        self._begun = 0  # the generation that has got these
        self._check_at = clock.monotonic()
        self._move_log_after_s = MOVE_LOG_AFTER_S
        self._move_log_at = self._check_at + MOVE_LOG_AFTER_S

    @classmethod
    def open(cls, path: Path, clock: Clock) -> Self:
        """Open a database; make the file and its folder if there are none.

        If the disk is full or read-only, that is logged, and later calls try again to open it.

        Args:
            path: the file.
            clock: for the new name of a damaged file, and the times of dead letters.

        Raises:
            StoreError: it cannot be opened, or a newer kei made it.
        """
        database = cls(path, clock)
        try:
            with database.access():
                return database
        except StoreError as error:
            if not is_temporary(error, path):
                raise
            log.warning("database_not_opened", reason=str(error), hint="tried again until it is")
            return database

    @contextlib.contextmanager
    def access(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to a module of this room; its errors become `StoreError`."""
        with self._lock:
            try:
                try:
                    yield self._connected()
                except sqlite3.Error as error:
                    if is_damage(error) and self._connection is not None:
                        self._set_aside(error)
                    raise
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"{self._path}: {describe(error, self._path)}") from error

    @contextlib.contextmanager
    def transaction(self, generation: int | None = None) -> Iterator[sqlite3.Connection]:
        """Lend the connection, within a transaction.

        Args:
            generation: of the file by whose IDs, or by whose state, the caller goes; `StoreError`
                if another one has been begun since.
        """
        with self.access() as connection:
            if generation not in (None, self.generation):
                raise StoreError(f"{self._path}: is another file than before")
            try:
                with transaction(connection):
                    yield connection
            except BaseException:
                self._series.clear()  # a roll-back removes new ones
                raise
            # It has been committed: whatever fails now must not have the caller repeat it.
            with contextlib.suppress(sqlite3.Error, OSError):
                self._move_log_of_young_file(connection)

    def _move_log_of_young_file(self, connection: sqlite3.Connection) -> None:
        """Move the log into a file that is still small, so that whoever copies it has something.

        SQLite does that by itself about twice a day. It costs writing: only at first, and each
        time after twice as long.
        """
        now = self.clock.monotonic()
        if now < self._move_log_at or self._path.stat().st_size >= YOUNG_BYTES:
            return
        self._move_log_after_s *= 2
        self._move_log_at = now + self._move_log_after_s
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def check(self) -> None:
        """Look whether the file has been removed or replaced, at most every few seconds.

        A removed one is written anew, of the one that is still open. Of a replaced one, what has no
        line in the text yet is carried over; the rest comes from the text, by recovery.

        Only the recorder calls this, between its steps: none of them begins in one file and ends
        in another.
        """
        with self.access():
            if self._check_at <= self.clock.monotonic():
                self._check()
                self._connected()

    def begin_next_with(self, key: object, beginning: Beginning) -> None:
        """Have each file that is begun in place of this one get something before all else.

        Args:
            key: what is given again for the same key replaces the former.
            beginning: called with the connection, in a transaction.
        """
        self._beginnings[key] = beginning

    def get_state(self, key: str) -> str | None:
        """Return a value that outlives restarts, None if there is none."""
        with self.access() as connection:
            return load_state(connection, key)

    def set_state(self, key: str, value: str) -> None:
        """Save a value that outlives restarts."""
        with self.transaction() as connection:
            save_state(connection, key, value)

    def series_id(self, connection: sqlite3.Connection, unit: str, sensor: str, places: int) -> int:
        """Return the ID of a series, for a module of this room; add the series if it is new.

        Args:
            connection: of a transaction that the caller has begun.
            unit: UnitID.
            sensor: SensorID.
            places: decimals of its numbers; each number of decimals has an ID of its own.
        """
        key = (unit, sensor, places)
        known = self._series.get(key)
        if known is not None:
            return known
        connection.execute(
            "INSERT INTO series (unit, sensor, places) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", key
        )
        row: tuple[int] = connection.execute(
            "SELECT id FROM series WHERE unit = ? AND sensor = ? AND places = ?", key
        ).fetchone()
        self._series[key] = row[0]
        return row[0]

    def sync(self) -> None:
        """Return when everything committed so far is on the disk."""
        with self.access():
            # The write-ahead log is enough: a checkpoint would write the same pages again.
            fd = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Sync and close the file; every later call but this one fails."""
        with self._lock:
            if self._closed or self._connection is None:
                self._closed = True
                return
            self._check_at = self.clock.monotonic()  # of a removed file this is the last chance
            try:
                self.check()
                self.sync()
            finally:
                self._closed = True
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"{self._path}: is closed")
        if self._connection is None:
            try:
                self._connection = connect(self._path)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._set_aside(error)
                self._connection = connect(self._path)
            self._identity = FileIdentity.of(self._path)
        if self._begun != self.generation:
            with transaction(self._connection):
                if self._carried is not None:
                    replace_pending(self._connection, self._carried)
                for beginning in self._beginnings.values():
                    beginning(self._connection)
            self._carried, self._begun = None, self.generation
        return self._connection

    def _check(self) -> None:
        self._check_at = self.clock.monotonic() + CHECK_EVERY_S
        connection, identity = self._connection, self._identity
        if connection is None or identity is None or connection.in_transaction:
            return
        if not identity.is_at(self._path):
            self._leave(connection, identity)
        elif not identity.has_log(self._path):
            log.error(
                "database_gone", file=f"{self._path}-wal", hint="it is moved into the database"
            )
            self.generation += 1  # the text gives what closing does not move
        else:
            return
        self._connection = None
        self._series.clear()
        connection.close()  # SQLite removes nothing of a file that has been moved

    def _leave(self, connection: sqlite3.Connection, identity: FileIdentity) -> None:
        """Have another file in place of one that was removed or replaced."""
        is_gone = not self._path.exists()
        log.error(
            "database_gone" if is_gone else "database_replaced",
            file=str(self._path),
            hint="it is written anew" if is_gone else "kei goes on in the file of that name",
        )
        identity.remove_log(self._path)
        if not (is_gone and rescue(connection, self._path)):
            self._carried = pending_rows(connection)
            self.generation += 1

    def _set_aside(self, error: sqlite3.Error) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._series.clear()
        kept = set_aside(self._path, self.clock)
        self.generation += 1
        log.error(
            "database_damaged",
            file=str(self._path),
            set_aside_as=str(kept),
            reason=str(error),
            hint="readings of today and yesterday come back from the text, averages and uploads "
            "begin anew; 'sqlite3 FILE .recover' may read the rest; is the card dying?",
        )


def load_state(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a value, None if there is none."""
    row: tuple[str] | None = connection.execute(
        "SELECT value FROM state WHERE key = ?", (key,)
    ).fetchone()
    return None if row is None else row[0]


def load_number(connection: sqlite3.Connection, key: str, *, if_damaged: int = 0) -> int:
    """Return a whole number: 0 if there is no value, `if_damaged` if it is no number."""
    text = load_state(connection, key)
    try:
        return int(text or 0)
    except (ValueError, TypeError):
        log_damaged(key)
        return if_damaged


def log_damaged(key: str) -> None:
    """Log that a value is not what was saved."""
    log.warning("state_damaged", key=key, hint="kei goes on without it; is the card dying?")


def save_state(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Save a value; within the transaction of the caller, if there is one."""
    connection.execute(
        "INSERT INTO state (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )
