"""Read-only access to the database, for other processes than the one that writes to it.

Nothing is written, not even a lock that a writer would have to wait for.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.reading import Reading
from kei.settings.upload import What
from kei.store.database_file import describe_read_error, primary_code
from kei.store.queue import Waiting, waiting
from kei.store.recovery import only_in_text
from kei.store.rows import READING_COLUMNS, ReadingRow, reading_of
from kei.store.schema import VERSION
from kei.store.text import DailyFile

BUSY_TIMEOUT_S = 1.0  # only while a writer repairs its log after a crash
LIMIT_S = 10.0  # for a whole overview
_NO_ROOM = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL})
_STEPS = 10_000  # of SQLite's virtual machine between checks of the limit: below a millisecond
_LAST = (
    f"SELECT {READING_COLUMNS}"
    " FROM series s CROSS JOIN readings r ON r.id = s.last_id ORDER BY r.id"
)


@dataclass(frozen=True, slots=True)
class Overview:
    """The newest readings, and what waits for upload.

    Attributes:
        last: the newest reading of each series, in the order of recording.
        waiting: for each target that was asked for, in that order.
        pending: how many readings have no line in the text yet.
    """

    last: tuple[Reading, ...]
    waiting: tuple[Waiting, ...]
    pending: int = 0


def read_overview(
    path: Path, text: DailyFile, targets: Sequence[tuple[str, What]], clock: Clock
) -> Overview:
    """Return the newest readings and what waits for upload.

    Args:
        path: the database; it need not exist yet.
        text: the daily files, which have the readings of the last minutes.
        targets: names of targets and what each is sent.
        clock: for the time limit.

    Raises:
        StoreError: the database cannot be read, is damaged, or reading takes too long.
    """
    nothing = Overview((), tuple(Waiting(0, None, 0) for _ in targets))
    with read_only(path) as connection:
        if connection is None:
            return nothing
        end = clock.monotonic() + LIMIT_S
        connection.set_progress_handler(lambda: clock.monotonic() > end, _STEPS)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < VERSION:  # made a moment ago and still empty, or of an older kei
            return nothing
        return Overview(
            last=newest_readings(connection, text),
            waiting=tuple(waiting(connection, name, what) for name, what in targets),
            pending=connection.execute("SELECT count(*) FROM pending").fetchone()[0],
        )


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Lend a read-only connection to a database; None if there is none yet.

    Raises:
        StoreError: it cannot be read, or is damaged.
    """
    try:
        if not path.exists():
            yield None
            return
        with closing(connect_read_only(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {describe_read_error(error, path)}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a database so that nothing is written; sqlite3.Error if that fails."""
    # Without a write-ahead log there is no writer. SQLite would make a log then, and leave it.
    if path.with_name(f"{path.name}-wal").exists():
        connection = _connected(path, "mode=ro")
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.OperationalError as error:
            connection.close()
            if primary_code(error) not in _NO_ROOM:
                raise
        else:
            return connection
        # A full or read-only disk has no room for the index of the log. What the log has is
        # missing then; of the readings, the text has it.
    return _connected(path, "mode=ro&immutable=1")


def _connected(path: Path, options: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{options}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


def newest_readings(connection: sqlite3.Connection, text: DailyFile) -> tuple[Reading, ...]:
    """Return the newest reading of each series, in the order of recording."""
    rows: list[ReadingRow] = connection.execute(_LAST).fetchall()
    newest: dict[tuple[str, str], Reading] = {}
    _, recent = only_in_text(connection, text)
    for reading in (*map(reading_of, rows), *recent):
        # A series that has changed its number of decimals has several rows: the last one counts.
        newest[reading.unit, reading.sensor] = reading
    return tuple(newest.values())
