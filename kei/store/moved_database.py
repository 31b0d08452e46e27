"""A database file that somebody removes or replaces while it is open."""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from kei.store.text import sync_folder

log = structlog.stdlib.get_logger("kei.store")

_LOGS = ("-wal", "-shm")  # https://www.sqlite.org/wal.html
PendingRow = tuple[object, ...]
_File = tuple[int, int]  # device and inode


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Which files a connection has open.

    Attributes:
        database: device and inode; None if the name had no file.
        logs: of the write-ahead log and its index.
    """

    database: _File | None
    logs: tuple[_File | None, ...]

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """Return the identity of the files that have the names now."""
        return cls(_file(path), tuple(_file(_log(path, suffix)) for suffix in _LOGS))

    def is_at(self, path: Path) -> bool:
        """Return whether the database is still the file of that name."""
        return _file(path) == self.database

    def has_log(self, path: Path) -> bool:
        """Return whether its write-ahead log is still the file of that name."""
        return _file(_log(path, _LOGS[0])) == self.logs[0]

    def remove_log(self, path: Path) -> None:
        """Remove the log that was left alone: it would be taken for that of another database."""
        for suffix, file in zip(_LOGS, self.logs, strict=True):
            if file is not None and _file(_log(path, suffix)) == file:
                with contextlib.suppress(FileNotFoundError):
                    _log(path, suffix).unlink()


def rescue(connection: sqlite3.Connection, path: Path) -> bool:
    """Write a database that was removed, but is still open, under its name again.

    Returns:
        whether that worked; else nothing is under the name, or what another process put there.
    """
    new = path.with_name(f"{path.name}.rescued")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(new)) as copy:
            connection.backup(copy)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.chmod(0o644)
        os.link(new, path)  # not renamed: that would replace a file that has come meanwhile
        new.unlink()
        sync_folder(path.parent)
    except (sqlite3.Error, OSError) as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        log.warning("database_not_rescued", reason=str(error), hint="the text has what is needed")
        return False
    return True


def pending_rows(connection: sqlite3.Connection) -> list[PendingRow] | None:
    """Return what only this database has of the readings; None if it cannot be read."""
    try:
        return connection.execute("SELECT * FROM pending ORDER BY id").fetchall()
    except sqlite3.Error as error:
        log.warning("pending_readings_lost", reason=str(error))
        return None


def replace_pending(connection: sqlite3.Connection, rows: Sequence[PendingRow]) -> None:
    """Give another database the readings that only the one before had, in a transaction.

    If it is an older copy, its own have got their lines since, or are among these.
    """
    connection.execute("DELETE FROM pending")
    for row in rows:
        connection.execute(f"INSERT INTO pending VALUES ({', '.join('?' * len(row))})", row)


def _log(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _file(path: Path) -> _File | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino
