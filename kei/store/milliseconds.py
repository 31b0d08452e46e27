"""The milliseconds of lines that have no row yet, where a kill leaves them.

Lines have whole seconds. For each line that is appended, its milliseconds go into a file of
`/dev/shm`, which is memory (tmpfs): it outlives the process, costs the card nothing, and is gone
after a power cut, when the seconds have to do. The file is emptied with each commit. What speaks
against it, a full memory or a file of somebody else, costs the milliseconds after a kill, no more.
"""

import contextlib
import errno
import os
import stat
import struct
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import structlog

log = structlog.stdlib.get_logger("kei.store")

FOLDER = Path("/dev/shm")  # noqa: S108 - opened so that only a file of this user is used
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MODE = 0o600
_ENTRY = struct.Struct("<IH")  # CRC-32 of the line, milliseconds
_MAX_BYTES = 1_200_000  # of 200,000 lines, far more than wait for a commit
_SECOND = 1000
_T = TypeVar("_T")


def path_of(directory: Path, fname_base: str) -> Path:
    """Return the path for the daily files of a folder and FNAMEBASE."""
    key = os.path.realpath(directory / fname_base)
    return FOLDER / f"kei-{os.geteuid()}-{sha256(os.fsencode(key)).hexdigest()[:16]}"


class Milliseconds:
    """The file. Raises nothing; not thread-safe.

    Args:
        path: of it, in memory; None to keep nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._fd: int | None = None
        self._size = 0

    def add(self, lines: Iterable[tuple[str, int]]) -> None:
        """Keep the milliseconds of lines: each with its time, milliseconds since 1970."""
        data = b"".join(_ENTRY.pack(crc32(line.encode()), ms % _SECOND) for line, ms in lines)
        if self._size + len(data) <= _MAX_BYTES:
            self._size += self._try(lambda fd: _write(fd, data), 0)

    def load(self) -> dict[int, deque[int]]:
        """Return the milliseconds, in the order of lines, by the CRC-32 of the line."""
        found: dict[int, deque[int]] = defaultdict(deque)
        data = self._try(lambda fd: os.pread(fd, _MAX_BYTES, 0), b"")
        for crc, ms in _ENTRY.iter_unpack(data[: len(data) // _ENTRY.size * _ENTRY.size]):
            found[crc].append(ms % _SECOND)
        return found

    def clear(self) -> None:
        """Keep none any more: the lines have their rows."""
        if self._size:
            self._try(lambda fd: os.ftruncate(fd, 0), None)
            self._size = 0

    def close(self) -> None:
        """Close the file until it is used again; remove it if it is empty."""
        if self._fd is None or self._path is None:
            return
        os.close(self._fd)
        self._fd = None
        if not self._size:
            with contextlib.suppress(OSError):  # somebody has removed it
                self._path.unlink()

    def _try(self, use: Callable[[int], _T], otherwise: _T) -> _T:
        """Return what becomes of using the descriptor; `otherwise` where that is not possible."""
        if self._path is None:
            return otherwise
        try:
            if self._fd is None:
                self._fd, self._size = _open(self._path)
            return use(self._fd)
        except OSError as error:
            log.info("milliseconds_not_kept", file=str(self._path), reason=str(error))
            if self._fd is not None:
                os.close(self._fd)
            self._fd = self._path = None
            return otherwise


def _write(fd: int, data: bytes) -> int:
    """Append whole entries; OSError if they do not fit, as what follows could not be read."""
    written = os.write(fd, data)
    if written < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return written


def _open(path: Path) -> tuple[int, int]:
    """Open the file of this user; return descriptor and size, OSError if there is another one."""
    fd = os.open(path, _FLAGS, _MODE)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(fd)
        raise PermissionError("is not a file of this user")
    return fd, found.st_size
