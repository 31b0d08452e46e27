"""Copies of the whole database, made while kei runs, and the way back.

A copy is written under a temporary name, checked, synced, and renamed: under its own name there is
always a complete one, or none.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kei.core.clock import Clock
from kei.core.errors import StoreError
from kei.core.single_instance import running_pid
from kei.store import recovery
from kei.store.database_file import describe, free_name, is_damage, primary_code
from kei.store.read_only import connect_read_only
from kei.store.schema import VERSION
from kei.store.text import DailyFile, sync_folder

Progress = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""

_PAGES_AT_ONCE = 1000  # about a megabyte between two calls of `Progress`
_STEPS = 100_000  # of SQLite's virtual machine between two looks for Ctrl-C: some milliseconds
_MODE = 0o644
_HEADER = b"SQLite format 3\0"
_COMPANIONS = ("-wal", "-shm", "-journal", ".lock")
_TABLES = frozenset({"readings", "series", "state"})  # of every version of the schema
_TRIES = 3  # a kei that starts in the middle of a copy is rare, and two are not one after the other


@dataclass(frozen=True, slots=True)
class Content:
    """What a copy holds.

    Attributes:
        size_bytes: of the file.
        newest_ms: the latest time of a reading, milliseconds since 1970; None if there is none.
    """

    size_bytes: int
    newest_ms: int | None


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore has done.

    Attributes:
        content: of the database that is there now.
        aside: the database before it; None if there was none.
    """

    content: Content
    aside: Path | None


def back_up(database: Path, target: Path, progress: Progress) -> Content:
    """Write a consistent copy of a database, which may be in use.

    Args:
        database: it is only read.
        target: the copy; an older one is replaced.
        progress: told how far it is.

    Raises:
        StoreError: nothing was written, and an older copy is still there; the text says why.
    """
    if not database.exists():
        raise StoreError(f"{database}: there is no database yet; has kei run with this jobs.toml?")
    _check_target(database, target)
    with _errors(database, target), _copied(database, target, progress) as copy:
        copy.put()
        return copy.content


def restore(
    source: Path, database: Path, text: DailyFile, clock: Clock, progress: Progress
) -> Restored:
    """Put a copy in the place of a database, which nobody may use meanwhile.

    Args:
        source: the copy; it stays as it is.
        database: what is there is kept under a name with the time.
        text: the daily files, which may have lines of what had none when the copy was made.
        clock: for that name.
        progress: told how far it is.

    Raises:
        StoreError: the database is as it was; the text says why.
    """
    with _errors(source, database):
        _check_source(source, database)
    database = Path(os.path.realpath(database))  # a link stays one
    with _errors(source, database), _copied(source, database, progress) as copy:
        copy.expect_lines_since(text)
        copy.give_to(database if database.exists() else database.parent)
        aside = _keep(database, clock) if os.path.lexists(database) else None
        for suffix in ("-wal", "-shm"):  # they would be taken for those of the new one
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        copy.put()
        return Restored(copy.content, aside)


def _check_target(database: Path, target: Path) -> None:
    """Raise StoreError if a copy must not be written there."""
    folder = target.parent
    if target.is_dir():
        raise StoreError(f"{target}: is a folder; name a file in it: {target / 'kei-backup.db'}")
    if not folder.is_dir():
        raise StoreError(f"{folder}: there is no such folder; is the disk mounted?")
    own = os.path.realpath(database)
    if os.path.realpath(target) in {own, *(own + suffix for suffix in _COMPANIONS)} or (
        target.exists() and target.samefile(database)
    ):
        raise StoreError(f"{target}: is the database itself, or belongs to it; name another file")
    if not os.path.lexists(target):
        return
    if not target.is_file():
        raise StoreError(f"{target}: is no file; name another one")
    if running_pid(target) is not None or Path(f"{target}-wal").exists():
        raise StoreError(f"{target}: is a database in use; name another file")
    if target.stat().st_size and not _is_of_kei(target):
        raise StoreError(f"{target}: exists and is no database of kei; name another file")


def _check_source(source: Path, database: Path) -> None:
    """Raise StoreError if a file cannot be the copy of a database."""
    if not source.exists():
        raise StoreError(f"{source}: there is no such file")
    if not source.is_file():
        raise StoreError(f"{source}: is no file; name the file that `kei backup` has written")
    if database.exists() and source.samefile(database):
        raise StoreError(f"{source}: is the database itself; name a backup of it")
    if database.is_dir():
        raise StoreError(f"{database}: is a folder")
    with source.open("rb") as file:
        header = file.read(len(_HEADER))
    if header != _HEADER:
        remedy = "a compressed one has to be unpacked first, and text files are for `kei import`"
        raise StoreError(f"{source}: is no database; {remedy}")
    log = Path(f"{source}-wal")
    if log.exists() and log.stat().st_size and not os.access(source.parent, os.W_OK):
        remedy = "copy both into a folder that may be written"
        raise StoreError(f"{source}: has a log, {log.name}, that cannot be read here; {remedy}")


def _is_of_kei(path: Path) -> bool:
    try:
        with closing(connect_read_only(path)) as connection:
            _check_content(connection, path)
    except (sqlite3.Error, StoreError):
        return False
    return True


class _Copy:
    """A complete copy under a temporary name, open in this process and locked.

    Args:
        path: the temporary name.
        fd: of the file.
        target: the name that it is for.
        content: what it holds.
    """

    def __init__(self, path: Path, fd: int, target: Path, content: Content) -> None:
        self._path = path
        self._fd = fd
        self._target = target
        self.content = content

    def expect_lines_since(self, text: DailyFile) -> None:
        """Let kei find the lines of `pending` that the text has got since the copy was made."""
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == VERSION:  # an older one has no such table
                connection.execute("PRAGMA synchronous = OFF")  # `put` syncs it
                recovery.expect_lines_since(connection, text)

    def give_to(self, like: Path) -> None:
        """Let it belong to whom a file or folder belongs, if root makes the copy."""
        owner = like.stat()
        if os.geteuid() == 0:
            os.fchown(self._fd, owner.st_uid, owner.st_gid)
        os.fchmod(self._fd, _MODE)

    def put(self) -> None:
        """Give it its name, durably."""
        os.fsync(self._fd)
        sync_folder(self._target.parent)  # what was set aside, before anything is replaced
        self._path.replace(self._target)
        sync_folder(self._target.parent)


@contextlib.contextmanager
def _copied(source: Path, target: Path, progress: Progress) -> Iterator[_Copy]:
    """Copy a database beside the file that it is for; what is left in the end is removed."""
    target = Path(os.path.realpath(target))
    part = target.with_name(f"{target.name}.part")
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    try:
        _lock(part, fd)
        try:
            os.ftruncate(fd, 0)  # what a process that was killed has left
            yield _Copy(part, fd, target, _copy(source, part, progress))
        finally:
            for suffix in ("", "-journal"):
                Path(f"{part}{suffix}").unlink(missing_ok=True)
    finally:
        os.close(fd)


def _lock(part: Path, fd: int) -> None:
    """Keep others from writing to a temporary file; StoreError if one does, or has just done so."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_mine = os.path.samestat(os.fstat(fd), part.stat())
    except (BlockingIOError, FileNotFoundError):
        is_mine = False
    if not is_mine:
        raise StoreError(f"{part}: another process is writing it; wait for its end")


def _copy(source: Path, part: Path, progress: Progress) -> Content:
    for _ in range(_TRIES):
        has_log, before = Path(f"{source}-wal").exists(), _version(source)
        with closing(connect_read_only(source)) as reading:
            content = _copy_from(reading, source, part, progress)
        # Without a log, nothing protects the file from a kei that starts in the middle.
        if has_log or _version(source) == before:
            return content
    raise StoreError(f"{source}: changes all the time; try again")


def _version(source: Path) -> tuple[int, ...]:
    """Return what changes when a database file is written to."""
    found = source.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _copy_from(
    reading: sqlite3.Connection, source: Path, part: Path, progress: Progress
) -> Content:
    reading.execute("BEGIN")  # one state of it, however long this takes
    _check_content(reading, source)
    _check_space(reading, part)
    with closing(sqlite3.connect(part, isolation_level=None)) as writing:
        # A copy that is not complete is thrown away; a complete one is synced as a whole.
        writing.execute("PRAGMA journal_mode = OFF")
        writing.execute("PRAGMA synchronous = OFF")
        reading.backup(
            writing,
            pages=_PAGES_AT_ONCE,
            progress=lambda _, remaining, total: progress(1 - remaining / max(1, total)),
        )
        # One file, which needs no log beside it and can be read where nothing may be written.
        writing.execute("PRAGMA journal_mode = DELETE")
        writing.set_progress_handler(lambda: None, _STEPS)
        (verdict,) = writing.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise StoreError(f"{source}: is damaged ({' '.join(str(verdict).split())})")
        # Not that of the last row: gaps are filled later. There is no index, but this takes less
        # than the check.
        (newest_ms,) = writing.execute("SELECT max(time_ms) FROM readings").fetchone()
    return Content(part.stat().st_size, newest_ms)


def _check_content(connection: sqlite3.Connection, name: Path) -> None:
    """Raise StoreError if a database is not one of this kei or an older one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    tables = {table for (table,) in found}
    if not tables and version == 0:
        raise StoreError(f"{name}: is empty; has kei run with this jobs.toml?")
    if not tables >= _TABLES:
        raise StoreError(f"{name}: is no database of kei")
    if version > VERSION:
        raise StoreError(
            f"{name}: schema version {version} is newer than this kei knows ({VERSION}); update kei"
        )


def _check_space(reading: sqlite3.Connection, part: Path) -> None:
    needed = 1
    for pragma in ("page_count", "page_size"):
        needed *= reading.execute(f"PRAGMA {pragma}").fetchone()[0]
    disk = os.statvfs(part.parent)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        mib = 1 << 20
        raise StoreError(
            f"{part.parent}: has {free / mib:.1f} MiB free, and {needed / mib:.1f} MiB are needed"
        )


def _keep(database: Path, clock: Clock) -> Path:
    """Give a database and its log a second name, which no file had before, and return it."""
    aside = free_name(database, "before-restore", clock)
    for suffix in ("-wal", ""):
        path, kept = Path(f"{database}{suffix}"), Path(f"{aside}{suffix}")
        try:
            os.link(path, kept, follow_symlinks=False)
        except FileNotFoundError:
            continue  # no log
        except OSError:  # the file system has no second names
            path.rename(kept)
    return aside


@contextlib.contextmanager
def _errors(source: Path, target: Path) -> Iterator[None]:
    """Make `StoreError` of what fails while one is copied to the other."""
    try:
        yield
    except sqlite3.Error as error:
        match primary_code(error):
            case sqlite3.SQLITE_INTERRUPT:
                raise KeyboardInterrupt from None
            case sqlite3.SQLITE_FULL:
                raise StoreError(f"{target}: the disk is full") from error
        if is_damage(error):
            raise StoreError(f"{source}: is damaged ({error})") from error
        raise StoreError(f"{source}: {describe(error, source)}") from error
    except OSError as error:
        where = error.filename or target
        raise StoreError(f"{where}: {error.strerror or error}") from error
