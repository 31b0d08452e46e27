"""The tables of the database, and the migration of older files."""

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from kei.core.errors import StoreError
from kei.core.reading import plain
from kei.store.rows import unpack

# ID of the last row that has its line, as version 3 kept it; beyond any ID if that is damaged.
_WITH_LINE = """
    coalesce((SELECT json_extract(value, '$.until') FROM state
        WHERE key = 'text' AND json_valid(value)
            AND json_type(value, '$.until') = 'integer'), 9223372036854775807)
"""

# Each entry migrates a file by one version (`user_version`). Entries are only ever added.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # A sensor that changes its number of decimals gets another row here, so that every
        # reading can be returned exactly as it was recorded.
        """
        CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            unit TEXT NOT NULL,
            sensor TEXT NOT NULL,
            places INTEGER NOT NULL,
            UNIQUE (unit, sensor, places)
        )
        """,
        # `value` has no type: ten-thousandths, or decimal text if they do not fit 64 bits.
        """
        CREATE TABLE readings (
            id INTEGER PRIMARY KEY,
            series_id INTEGER NOT NULL REFERENCES series (id),
            time_ms INTEGER NOT NULL,
            value NOT NULL,
            data_id TEXT NOT NULL
        )
        """,
        # The only index of the large table; dropped in version 2.
        "CREATE INDEX readings_series_time ON readings (series_id, time_ms)",
        # `series_id` says with how many decimals minimum and maximum are written.
        """
        CREATE TABLE summaries (
            id INTEGER PRIMARY KEY,
            series_id INTEGER NOT NULL REFERENCES series (id),
            start_ms INTEGER NOT NULL,
            average NOT NULL,
            minimum NOT NULL,
            maximum NOT NULL,
            count INTEGER NOT NULL,
            written INTEGER NOT NULL DEFAULT 0
        )
        """,
        "CREATE UNIQUE INDEX summaries_start_series ON summaries (start_ms, series_id)",
        "CREATE INDEX summaries_unwritten ON summaries (id) WHERE written = 0",
        "CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE upload_cursors (
            target TEXT NOT NULL,
            kind TEXT NOT NULL,
            last_id INTEGER NOT NULL,
            PRIMARY KEY (target, kind)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE dead_letters (
            id INTEGER PRIMARY KEY,
            target TEXT NOT NULL,
            kind TEXT NOT NULL,
            row_id INTEGER NOT NULL,
            reason TEXT NOT NULL,
            time_ms INTEGER NOT NULL
        )
        """,
    ),
    (
        # An index of the large table costs more writing than the table itself. In its place: a
        # range of ids for each span of time (`kei.store.reading_table.SPAN_MS`), some rows for
        # each commit. A range may include ids of other times; the reader compares the times.
        """
        CREATE TABLE spans (
            span INTEGER NOT NULL,
            first_id INTEGER NOT NULL,
            last_id INTEGER NOT NULL,
            PRIMARY KEY (span, first_id)
        ) WITHOUT ROWID
        """,
        "INSERT INTO spans SELECT time_ms / 600000, min(id), max(id) FROM readings GROUP BY 1",
        # The newest reading of the series.
        "ALTER TABLE series ADD COLUMN last_id INTEGER",
        "UPDATE series SET last_id = (SELECT max(id) FROM readings WHERE series_id = series.id)",
        "DROP INDEX readings_series_time",
        # Lines are appended in the order of ids: one number says which are in the text file.
        """
        INSERT INTO state (key, value) SELECT 'summary_lines_until', coalesce(
            (SELECT min(id) - 1 FROM summaries WHERE written = 0),
            (SELECT max(id) FROM summaries), 0)
        """,
        "DROP INDEX summaries_unwritten",
        "ALTER TABLE summaries DROP COLUMN written",
        # `kei.core.reading.Completeness`.
        "ALTER TABLE summaries ADD COLUMN state TEXT NOT NULL DEFAULT 'complete'",
        # Unsynchronised spans, see `kei.store.unsynchronised_spans`. `boot` is the boot to whose
        # monotonic clock the offset belongs.
        """
        CREATE TABLE unsure (
            first_id INTEGER PRIMARY KEY,
            last_id INTEGER NOT NULL,
            offset_ms INTEGER NOT NULL,
            boot TEXT NOT NULL
        )
        """,
        # Dirty ranges, see `kei.store.dirty_windows`.
        """
        CREATE TABLE reopened (
            from_ms INTEGER NOT NULL,
            to_ms INTEGER NOT NULL,
            PRIMARY KEY (from_ms, to_ms)
        ) WITHOUT ROWID
        """,
    ),
    (
        # The last row of a batch without an answer: a restart has to send the same one again.
        "ALTER TABLE upload_cursors ADD COLUMN in_flight INTEGER",
        # How many rows were given up before they could be sent.
        "ALTER TABLE upload_cursors ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0",
        # Whether it is to be sent once more.
        "ALTER TABLE dead_letters ADD COLUMN retry INTEGER NOT NULL DEFAULT 0",
    ),
    (
        # See `kei.store.pending`. `time_ms` and `monotonic_ms` are of one moment, the latter by the
        # clock of `boot`, or NULL; `trust` is a `kei.timekeeping.gate.Trust`; `line_ms` is the time
        # of its line while that is being appended.
        """
        CREATE TABLE pending (
            id INTEGER PRIMARY KEY,
            time_ms INTEGER NOT NULL,
            monotonic_ms INTEGER,
            boot TEXT NOT NULL,
            trust INTEGER NOT NULL,
            unit TEXT NOT NULL,
            sensor TEXT NOT NULL,
            value TEXT NOT NULL,
            data_id TEXT NOT NULL,
            line_ms INTEGER
        )
        """,
        # Rows came before their lines in version 3. Those behind the checkpoint, whose lines may
        # be there or not, wait for them, and are sent again: a clock may have been wrong.
        f"""
        INSERT INTO pending (id, time_ms, monotonic_ms, boot, trust,
            unit, sensor, value, data_id, line_ms)
        SELECT r.id, r.time_ms, r.time_ms - u.offset_ms, coalesce(u.boot, ''), 1,
            s.unit, s.sensor, kei_decimal(r.value, s.places), r.data_id, r.time_ms
        FROM readings r JOIN series s ON s.id = r.series_id
            LEFT JOIN unsure u ON r.id BETWEEN u.first_id AND u.last_id
        WHERE r.id > {_WITH_LINE} ORDER BY r.id
        """,
        f"DELETE FROM readings WHERE id > {_WITH_LINE}",
        f"DELETE FROM unsure WHERE first_id > {_WITH_LINE}",
        f"DELETE FROM dead_letters WHERE kind = 'readings' AND row_id > {_WITH_LINE}",
        f"""
        UPDATE upload_cursors SET last_id = min(last_id, {_WITH_LINE}), in_flight = NULL
            WHERE kind = 'readings' AND last_id > {_WITH_LINE}
        """,
        f"""
        UPDATE series SET last_id = (SELECT max(id) FROM readings WHERE series_id = series.id)
            WHERE last_id > {_WITH_LINE}
        """,
    ),
    (
        # Whether a reading was made good later from what the meter remembers, and whether a
        # summary has such readings.
        "ALTER TABLE readings ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE pending ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE summaries ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0",
        # `PRUNED_UNTIL_KEY` of `kei.store.reading_table`: some may have been, before the first.
        """
        INSERT OR IGNORE INTO state (key, value)
            SELECT 'readings_pruned_until', min(span) * 600000 FROM spans
            WHERE EXISTS (SELECT 1 FROM spans)
        """,
        # See `kei.store.segments`.
        """
        CREATE TABLE segments (
            id INTEGER PRIMARY KEY,
            unit TEXT NOT NULL,
            from_ms INTEGER NOT NULL,
            reason TEXT NOT NULL,
            maker TEXT,
            serial TEXT,
            coefficient INTEGER,
            energy_unit TEXT,
            digits INTEGER
        )
        """,
    ),
    (
        # See `kei.store.blocks`. `total` is the sum of the readings.
        """
        CREATE TABLE blocks (
            start_ms INTEGER NOT NULL,
            series_id INTEGER NOT NULL,
            minimum INTEGER NOT NULL,
            total REAL NOT NULL,
            count INTEGER NOT NULL,
            maximum INTEGER NOT NULL,
            PRIMARY KEY (start_ms, series_id)
        ) WITHOUT ROWID
        """,
    ),
)

VERSION = len(_MIGRATIONS)


def check_version(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether a database has its tables; it has none yet while kei makes it.

    Raises:
        StoreError: they are those of another version of kei.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, VERSION}:
        raise StoreError(f"{path}: of another version of kei; start kei once, which mends that")
    return bool(version)


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Migrate a database to the present schema, so that others see the old one or this one.

    Args:
        connection: in autocommit mode.
        name: of the file, for errors.

    Raises:
        StoreError: a newer kei made this database.
        sqlite3.Error: it cannot be read or written.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StoreError(
            f"{name}: schema version {version} is newer than this kei knows ({VERSION});"
            " update kei, or name another file"
        )
    connection.create_function("kei_decimal", 2, lambda value, places: plain(unpack(value, places)))
    if version == VERSION:
        return
    with transaction(connection):
        for statement in chain.from_iterable(_MIGRATIONS[version:]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all that is done meanwhile; or nothing, if there is an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        # SQLite has rolled back by itself after some errors.
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
