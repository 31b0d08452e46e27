"""The database: readings, summaries and state in one SQLite file."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import structlog

from kei.clock import Clock, local
from kei.errors import StoreError
from kei.reading import MAX_PLACES, Reading, Summary, trimmed
from kei.store.numbers import pack, packed_as_scaled, places_of, unscaled
from kei.store.opening import connect, is_damage, set_aside
from kei.store.rows import Stored, SummaryRow, summary_of

log = structlog.stdlib.get_logger("kei.store")


@dataclass(slots=True)
class _Window:
    """What is summed up of one series; numbers in ten-thousandths."""

    total: int
    minimum: int
    maximum: int
    places: int
    count: int = 1

    def add(self, number: int, places: int) -> None:
        self.total += number
        self.minimum = min(self.minimum, number)
        self.maximum = max(self.maximum, number)
        self.places = max(self.places, places)
        self.count += 1


class Database:
    """The one writer of a database file. Thread-safe; other processes may read the file.

    A damaged file is set aside under a name with the time and a new one begun: at once when the
    damage shows at opening, and before the next call when it shows later.

    Every method raises `StoreError`, with one line that names the file, when the disk or SQLite
    fails; nothing of the call has happened then, and it may be repeated.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Prepare for a file; `open` is the way in."""
        self._path = path
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._series: dict[tuple[str, str, int], int] = {}

    @classmethod
    def open(cls, path: Path, clock: Clock) -> Self:
        """Open a database, making the file and its folder if need be.

        Args:
            path: the file.
            clock: for the name of a damaged file, and the time of what is put aside.

        Raises:
            StoreError: it cannot be opened, or a newer kei made it.
        """
        database = cls(path, clock)
        with database.access():
            return database

    @property
    def clock(self) -> Clock:
        """The clock it was opened with."""
        return self._clock

    @contextlib.contextmanager
    def access(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to a module of this room, with errors turned into `StoreError`."""
        with self._lock:
            try:
                yield self._connected()
            except sqlite3.Error as error:
                if is_damage(error) and self._connection is not None:
                    with self._os_errors():
                        self._set_aside(error)
                raise StoreError(f"{self._path}: {error}") from error
            except OSError as error:
                raise self._store_error(error) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for changes that happen together or not at all."""
        with self.access() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._series.clear()  # a roll-back takes new ones away
                # SQLite has already rolled back after some errors; the first error is the one told.
                with contextlib.suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise

    def add_readings(self, readings: Sequence[Reading]) -> None:
        """Add readings in their order, all or none."""
        if not readings:
            return
        with self.transaction() as connection:
            connection.executemany(
                "INSERT INTO readings (series_id, time_ms, value, data_id) VALUES (?, ?, ?, ?)",
                [
                    (
                        self._series_id(connection, r.unit, r.sensor, places_of(r.value)),
                        r.time_ms,
                        pack(r.value),
                        r.data_id,
                    )
                    for r in readings
                ],
            )

    def has(self, unit: str, sensor: str, time_ms: int) -> bool:
        """Tell whether a reading of this series and time is there."""
        with self.access() as connection:
            row = connection.execute(
                "SELECT 1 FROM series s CROSS JOIN readings r ON r.series_id = s.id"
                " WHERE s.unit = ? AND s.sensor = ? AND r.time_ms = ? LIMIT 1",
                (unit, sensor, time_ms),
            ).fetchone()
        return row is not None

    def next_reading_ms(self, from_ms: int) -> int | None:
        """Return the time of the earliest reading at or after an instant, None if there is none."""
        with self.access() as connection:
            row: tuple[int | None] = connection.execute(
                "SELECT min(first_ms) FROM (SELECT (SELECT min(time_ms) FROM readings"
                " WHERE series_id = s.id AND time_ms >= ?) AS first_ms FROM series s)",
                (from_ms,),
            ).fetchone()
        return row[0]

    def get_state(self, key: str) -> str | None:
        """Return a value kept over restarts, None if there is none."""
        with self.access() as connection:
            row: tuple[str] | None = connection.execute(
                "SELECT value FROM state WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else row[0]

    def set_state(self, key: str, value: str) -> None:
        """Keep a value over restarts."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO state (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

    def summarise(self, start_ms: int, end_ms: int) -> list[Summary]:
        """Compute, exactly, what each series did in [start, end); nothing is stored.

        Returns:
            one for each series that has readings there, in the order in which the series began.
            Averages are rounded half to even at 4 decimals, without zeros at the end; minimum and
            maximum have the decimals of the series.
        """
        windows: dict[tuple[str, str], _Window] = {}
        with self.access() as connection:
            rows: Iterator[tuple[str, str, int, Stored]] = connection.execute(
                "SELECT s.unit, s.sensor, s.places, r.value"
                " FROM series s CROSS JOIN readings r ON r.series_id = s.id"
                " WHERE r.time_ms >= ? AND r.time_ms < ? ORDER BY s.id",
                (start_ms, end_ms),
            )
            for unit, sensor, places, stored in rows:
                number = packed_as_scaled(stored)
                window = windows.get((unit, sensor))
                if window is None:
                    windows[unit, sensor] = _Window(number, number, number, places)
                else:
                    window.add(number, places)
        return [
            Summary(
                start_ms,
                unit,
                sensor,
                # round() of a Fraction is exact and half to even.
                average=trimmed(unscaled(round(Fraction(window.total, window.count)), MAX_PLACES)),
                minimum=unscaled(window.minimum, window.places),
                maximum=unscaled(window.maximum, window.places),
                count=window.count,
            )
            for (unit, sensor), window in windows.items()
        ]

    def has_summaries(self, start_ms: int) -> bool:
        """Tell whether the window that begins at an instant has been computed and was not empty."""
        with self.access() as connection:
            row = connection.execute(
                "SELECT 1 FROM summaries WHERE start_ms = ? LIMIT 1", (start_ms,)
            ).fetchone()
        return row is not None

    def add_summaries(self, summaries: Sequence[Summary]) -> None:
        """Add summaries in their order, all or none, as not yet written to the text file."""
        if not summaries:
            return
        with self.transaction() as connection:
            connection.executemany(
                "INSERT INTO summaries (series_id, start_ms, average, minimum, maximum, count)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        self._series_id(connection, s.unit, s.sensor, places_of(s.minimum)),
                        s.start_ms,
                        pack(s.average),
                        pack(s.minimum),
                        pack(s.maximum),
                        s.count,
                    )
                    for s in summaries
                ],
            )

    def unwritten(self, limit: int) -> list[tuple[int, Summary]]:
        """Return the oldest summaries that are not in the text file, with their ids, in order."""
        with self.access() as connection:
            rows: list[SummaryRow] = connection.execute(
                "SELECT m.id, m.start_ms, s.unit, s.sensor, m.average, m.minimum, m.maximum,"
                " s.places, m.count"
                " FROM summaries m CROSS JOIN series s ON s.id = m.series_id"
                " WHERE m.written = 0 ORDER BY m.id LIMIT ?",
                (limit,),
            ).fetchall()
        return [(row[0], summary_of(row)) for row in rows]

    def mark_written(self, ids: Sequence[int]) -> None:
        """Remember that these summaries are in the text file."""
        with self.transaction() as connection:
            connection.executemany(
                "UPDATE summaries SET written = 1 WHERE id = ?", [(id_,) for id_ in ids]
            )

    def prune(self, before_ms: int, limit: int) -> int:
        """Delete readings (and notes of rows put aside) that are older than an instant.

        The newest row always stays, so that ids never come again.

        Args:
            before_ms: what is older goes.
            limit: how many readings at most; a small step keeps nobody waiting.

        Returns:
            how many readings went; fewer than `limit` means that no more are left to go.
        """
        removed = 0
        with self.transaction() as connection:
            for (series_id,) in connection.execute("SELECT id FROM series").fetchall():
                removed += connection.execute(
                    "DELETE FROM readings WHERE id IN (SELECT id FROM readings"
                    " WHERE series_id = ? AND time_ms < ?"
                    " AND id < (SELECT max(id) FROM readings) LIMIT ?)",
                    (series_id, before_ms, limit - removed),
                ).rowcount
            connection.execute(
                "DELETE FROM dead_letters WHERE id IN"
                " (SELECT id FROM dead_letters WHERE time_ms < ? LIMIT ?)",
                (before_ms, limit),
            )
        return removed

    def sync(self) -> None:
        """Return when everything added so far is on the disk."""
        with self.access() as connection:
            in_log: int
            moved: int
            _, in_log, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if moved < in_log:  # a reader held some of it back: then the log has to last
                fd = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(fd)
                finally:
                    os.close(fd)

    def close(self) -> None:
        """Bring everything to the disk and close the file; every later call but this one fails."""
        with self._lock:
            if self._closed or self._connection is None:
                self._closed = True
                return
            try:
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
        return self._connection

    def _set_aside(self, error: sqlite3.Error) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._series.clear()
        stamp = local(self._clock.now_ms(), self._clock.zone).strftime("%Y%m%dT%H%M%S")
        kept = set_aside(self._path, stamp)
        log.error(
            "database_damaged", file=str(self._path), set_aside_as=str(kept), reason=str(error)
        )

    @contextlib.contextmanager
    def _os_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._store_error(error) from error

    def _store_error(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path}: {error.strerror or error}")

    def _series_id(
        self, connection: sqlite3.Connection, unit: str, sensor: str, places: int
    ) -> int:
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
