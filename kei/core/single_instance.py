"""Single-instance locks: a second kei on one database would record every reading twice.

A lock is a file beside what it protects, locked with flock(2) for as long as the process lives,
however that ends. Only the owner of the data and root may open it, so that nobody else can hold it.
The file stays when kei ends: if it were removed, two processes could lock two files of one name.
What it contains is for messages only: the ID of the process that holds it.

Two things are protected: the database, and the daily text files of one folder and name.
"""

import contextlib
import errno
import fcntl
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from kei.core.errors import StoreError

log = structlog.stdlib.get_logger("kei.store")

_SUFFIX = ".lock"
_MODE = 0o600
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # never to wait for a pipe
_CONTENT_MAX_BYTES = 32
_TRIES, _TRY_AGAIN_S = 10, 0.05  # `running_pid` of another process holds a lock for microseconds
_LOOK_S = 2.0  # at the file, which may have been removed
# Nobody can write there at present, no other kei either: the lock is taken as soon as that changes.
_LATER = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO})


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        pid: its process ID; None if it is not known.
    """

    pid: int | None

    def __str__(self) -> str:
        return "kei" if self.pid is None else f"kei (pid {self.pid})"


class InUse(StoreError):
    """Another process holds the lock."""


class InstanceLock:
    """The exclusive right of this process to write to a database, until `release`.

    Where a lock file cannot be made because the disk is full or read-only, `run` goes on trying.

    Args:
        database: its path; neither it nor its folder need exist yet.
        text: folder and FNAMEBASE of the daily files, if they are written, too: `data/mydatafile`.

    Attributes:
        text_was_locked: whether the lock file of the daily files was there before: a kei has
            written them, whatever has become of its database.

    Raises:
        InUse: another process has the right; the text says which.
        StoreError: the lock cannot be had; the text says why.
    """

    def __init__(self, database: Path, text: Path | None = None) -> None:
        self.text_was_locked = text is not None and _of_text(text).exists()
        self._lost: str | None = None
        self._stopping = threading.Event()
        remedy = "stop it first, or give this one a database and folder of its own"
        files = [_LockFile(_of_database(database), f"{database}: in use", remedy)]
        if text is not None and _of_text(text) != files[0].path:
            remedy = "give this one a directory or fname_base of its own"
            files.append(_LockFile(_of_text(text), f"{text}: daily files written", remedy))
        self._files: list[_LockFile] = []
        try:
            for file in files:
                file.acquire()
                self._files.append(file)
        except BaseException:
            self.release()
            raise

    @property
    def lost(self) -> str | None:
        """Why this process has to end: another one has got the right meanwhile; None if not."""
        return self._lost

    def run(self) -> None:
        """Hold the lock, also if its file is removed or could not be made yet, until `stop`."""
        is_failing = False
        while not self._stopping.wait(_LOOK_S):
            if self._lost is not None:
                continue  # the main thread ends this process
            try:
                for file in self._files:
                    file.acquire_again()
            except InUse as error:
                self._lost = str(error)
            except (StoreError, OSError) as error:
                if not is_failing:
                    log.error("lock_failing", reason=str(error))  # noqa: TRY400 - says it all
                is_failing = True
            else:
                is_failing = False

    def stop(self) -> None:
        """Make `run` return soon; any thread."""
        self._stopping.set()

    def release(self) -> None:
        """Let another process have the right."""
        for file in self._files:
            file.release()
        self._files.clear()


class _LockFile:
    """A file that at most one process holds.

    Args:
        path: of the file.
        fault: what to say when another process holds it: what it does with what.
        remedy: what to do about that.
    """

    def __init__(self, path: Path, fault: str, remedy: str) -> None:
        self.path = path
        self._fault = fault
        self._remedy = remedy
        self._fd: int | None = None

    def acquire(self) -> None:
        """Hold the file; InUse if another process does. A disk that does not allow it is no error.

        Raises:
            StoreError: it is not allowed, or something else is in its place.
        """
        pause = threading.Event()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(_TRIES):
                if self._tried():
                    return
                pause.wait(_TRY_AGAIN_S)
        except OSError as error:
            if error.errno in _LATER:
                return
            raise StoreError(f"{self.path}: {_reason(error)}") from error
        raise InUse(f"{self._fault} by another {holder(self.path) or 'kei'}; {self._remedy}")

    def acquire_again(self) -> None:
        """Hold the file that has the name now, if that is another one; the same errors."""
        before = self._fd
        if before is not None and _is_at(self.path, before):
            return
        self.acquire()
        if before is not None and self._fd != before:
            os.close(before)
            log.warning("lock_file_removed", file=str(self.path), hint="it has been made again")

    def release(self) -> None:
        """Let another process have the file."""
        if self._fd is not None:
            with contextlib.suppress(OSError):  # of a read-only disk
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def _tried(self) -> bool:
        fd = _opened(self.path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(self.path, fd):  # removed after it was opened: somebody has a new one
                os.close(fd)
                return False
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        with contextlib.suppress(OSError):  # a full disk; the lock is what counts
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        return True


def running_pid(database: Path) -> int | None:
    """Return the ID of the process that holds the lock of a database; None if none is visible."""
    found = holder(_of_database(database))
    return found.pid if found else None


def text_writer_pid(text: Path) -> int | None:
    """Return the ID of the process that writes the daily files of a folder and FNAMEBASE."""
    found = holder(_of_text(text))
    return found.pid if found else None


def is_certainly_free(database: Path) -> bool:
    """Return whether no process holds the lock of a database, and this user may know that."""
    path = _of_database(database)
    return (os.access(path, os.R_OK) or not os.path.lexists(path)) and holder(path) is None


def holder(path: Path) -> Holder | None:
    """Return the process that holds a lock file; None if there is none, or it cannot be known."""
    try:
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        content = os.pread(fd, _CONTENT_MAX_BYTES, 0).strip()
        return Holder(int(content) if content.isdigit() else None)
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(fd)


def _of_database(database: Path) -> Path:
    """Return the lock file of a database: the same for every spelling of its path."""
    return Path(os.path.realpath(database) + _SUFFIX)


def _of_text(text: Path) -> Path:
    return Path(os.path.realpath(text.parent)) / (text.name + _SUFFIX)


def _opened(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, _MODE)
    except OSError as error:
        if error.errno != errno.EROFS or not path.exists():
            raise
        fd = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        _check(path, fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check(path: Path, fd: int) -> None:
    """Give a new lock file to the owner of the data; StoreError for what is no file of theirs."""
    found, of_data = os.fstat(fd), _owned_like(path)
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path}: is no file; remove it")
    if found.st_uid not in (os.geteuid(), of_data.st_uid, path.parent.stat().st_uid, 0):
        raise StoreError(f"{path}: belongs to another user (uid {found.st_uid}); remove it")
    if os.geteuid() == 0 and found.st_uid == 0 != of_data.st_uid:
        # Root has made it, by `sudo kei restore`, say: kei's own user has to open it, too.
        os.fchown(fd, of_data.st_uid, of_data.st_gid)
    if found.st_mode & 0o077 and os.geteuid() in (found.st_uid, 0):
        with contextlib.suppress(OSError):  # of a read-only disk
            os.fchmod(fd, _MODE)


def _owned_like(path: Path) -> os.stat_result:
    """Return the status of what a lock file protects; of its folder if there is nothing yet."""
    try:
        return path.with_name(path.name.removesuffix(_SUFFIX)).stat()
    except FileNotFoundError:
        return path.parent.stat()


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.EACCES | errno.EPERM:
            remedy = "let kei's user write to that folder, or name another one in [recorder]"
            return f"{error.strerror}; {remedy}"
        case errno.ELOOP:
            return "is a link; remove it"
        case errno.EISDIR:
            return "is a folder; remove it"
    return f"cannot be locked ({error.strerror or error})"
