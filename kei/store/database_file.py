"""The file of the database: opening, damage, removal by somebody else; what its errors mean."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from kei.core.clock import Clock, local
from kei.core.errors import StoreError
from kei.store.schema import migrate
from kei.store.text import sync_folder

log = structlog.stdlib.get_logger("kei.store")

# How long a write waits for another process that holds the file; more would hold up readings.
_BUSY_TIMEOUT_S = 5.0
# Of a new database. A commit writes whole pages, most of them with a few new rows only.
_PAGE_BYTES = 1024
# The write-ahead log is moved into the file when it has so many pages, about twice a day. Up to
# 990, the head of its index is a single page, which is one less to be written at each commit.
_LOG_PAGES = 900
# Of a connection; SQLite would keep 2 MB. Readers see each page once, but for the upper ones of the
# trees, and a commit touches a few dozen.
CACHE_KIB = 256
_MODE = 0o644
_MAY_NOT_WRITE = "let kei's user write to that folder, or name another one in [recorder]"
# A file up to this size is checked whole when it is opened, about a second on a Raspberry Pi
# Zero. In a larger one damage is noticed when the damaged page is first used.
_CHECKED_MAX_BYTES = 32 * 1024 * 1024
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TEMPORARY_CODES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
_TEMPORARY_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_FULL_BYTES = 64 * 1024  # SQLite needs half of this for the index of its log
_PRIMARY_CODE = 0xFF  # the rest of an error code is detail, https://www.sqlite.org/rescode.html
_LOGS = ("-wal", "-shm")  # https://www.sqlite.org/wal.html
PendingRow = tuple[object, ...]
_File = tuple[int, int]  # device and inode


class DamagedDatabase(sqlite3.DatabaseError):
    """The check of the whole file found faults."""


def primary_code(error: BaseException | None) -> int:
    """Return SQLite's code of an error without its detail; 0 if it has none."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE


def is_damage(error: BaseException) -> bool:
    """Return whether an error means that the file is damaged or not a database."""
    return isinstance(error, DamagedDatabase) or primary_code(error) in _DAMAGE


def is_temporary(error: StoreError, path: Path) -> bool:
    """Return whether an error of a database is that of the disk, be it full: it may work again."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return cause.errno in _TEMPORARY_ERRNOS
    if primary_code(cause) in _TEMPORARY_CODES:
        return True
    with contextlib.suppress(OSError):
        disk = os.statvfs(path.parent)
        return bool(disk.f_flag & os.ST_RDONLY) or _has_no_inode(disk)
    return False


def _has_no_inode(disk: os.statvfs_result) -> bool:
    """Return whether no file can be made; some file systems do not count, and say 0 of 0."""
    return disk.f_files > 0 and disk.f_favail == 0


def describe(error: sqlite3.Error | OSError, path: Path) -> str:
    """Return what an error of a database means, for a person; SQLite's texts say too little."""
    code = primary_code(error)
    with contextlib.suppress(OSError):
        may_lack_inode = code == sqlite3.SQLITE_CANTOPEN or (
            isinstance(error, OSError) and error.errno == errno.ENOSPC
        )
        if may_lack_inode and _has_no_inode(os.statvfs(path.parent)):
            return f"no room for another file on the disk, no free inodes ({error})"
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        is_denied = isinstance(error, PermissionError)
        return f"{text}; {_MAY_NOT_WRITE}" if is_denied else text
    if code == sqlite3.SQLITE_CANTOPEN and not os.access(path, os.R_OK):
        return f"permission denied ({error}); use it as the user that kei runs as"
    if code == sqlite3.SQLITE_IOERR:
        with contextlib.suppress(OSError):
            disk = os.statvfs(path.parent)
            if disk.f_flag & os.ST_RDONLY:
                return f"the file system is read-only ({error})"
            if disk.f_bavail * disk.f_frsize < _FULL_BYTES:
                return f"the disk is full ({error})"
    return str(error)


def describe_read_error(error: sqlite3.Error | OSError, path: Path) -> str:
    """Return the same for a process that only reads the database."""
    if is_damage(error):
        return f"{error}; start kei, which sets it aside and begins a new one"
    return describe(error, path)


def connect(path: Path) -> sqlite3.Connection:
    """Open a database for writing, in autocommit mode; make it and its folder if there are none.

    Raises:
        StoreError: a newer kei made it.
        sqlite3.Error: it cannot be opened, or is damaged (see `is_damage`).
        OSError: the folder or the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        # Never opened when it exists: closing any descriptor of it would drop SQLite's locks.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))
        sync_folder(path.parent)
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if path.stat().st_size <= _CHECKED_MAX_BYTES:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise DamagedDatabase(verdict)
        migrate(connection, str(path))
        # Not before: a new file has its tables in itself, not in a log beside it.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA user_version").fetchone()  # makes the log
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: Path, clock: Clock) -> Path:
    """Rename a damaged database, which is not open, and its log; return the new path of it."""
    target = free_name(path, "damaged", clock)
    path.rename(target)
    for suffix in _LOGS:
        with contextlib.suppress(FileNotFoundError):
            _log(path, suffix).rename(_log(target, suffix))
    return target


def free_name(path: Path, what: str, clock: Clock) -> Path:
    """Return a name that no file has: that of one, with a word, the time, and perhaps a number."""
    stamp = local(clock.now_ms(), clock.zone).strftime("%Y%m%dT%H%M%S")
    target = path.with_name(f"{path.name}.{what}-{stamp}")
    number = 1
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{path.name}.{what}-{stamp}-{number}")
    return target


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
