"""Opening the database file: made if need be, checked, and brought to the present schema."""

import contextlib
import os
import sqlite3
from pathlib import Path

from kei.store.schema import migrate

# How long a write waits for another process that holds the file; more would hold up readings.
_BUSY_TIMEOUT_S = 5.0
_MODE = 0o644
# A file up to this size is checked whole when it is opened, about a second on a Raspberry Pi
# Zero. In a larger one damage is noticed when the damaged page is first used.
_CHECKED_MAX_BYTES = 32 * 1024 * 1024
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE = 0xFF  # the rest of an error code is detail, https://www.sqlite.org/rescode.html


class DamagedDatabase(sqlite3.DatabaseError):
    """The check of the whole file found faults."""


def is_damage(error: BaseException) -> bool:
    """Tell whether an error means that the file itself is broken or no database at all."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return isinstance(error, DamagedDatabase) or code & _PRIMARY_CODE in _DAMAGE


def connect(path: Path) -> sqlite3.Connection:
    """Open a database for writing, in autocommit mode; make it and its folder if need be.

    Raises:
        StoreError: a newer kei made it.
        sqlite3.Error: it cannot be opened, or is damaged (see `is_damage`).
        OSError: the folder or the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Never opened when it exists: closing any descriptor of it would drop SQLite's locks.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if path.stat().st_size <= _CHECKED_MAX_BYTES:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise DamagedDatabase(verdict)
        migrate(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: Path, stamp: str) -> Path:
    """Give a damaged database and its write-ahead log another name, never one in use.

    Args:
        path: the database; nobody in this process may have it open.
        stamp: the time, as part of the new name.

    Returns:
        the new name.

    Raises:
        OSError: they cannot be renamed.
    """
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    path.rename(target)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    return target
