"""Daily text files: lines are appended to the file of their own date, complete or not at all."""

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, tzinfo
from pathlib import Path
from zlib import crc32

import structlog

from kei.core.clock import local
from kei.core.errors import TextError
from kei.store.lines import reading_file_name

log = structlog.stdlib.get_logger("kei.store")

_MODE = 0o644
_MAX_OPEN = 2  # today, and the day that late lines belong to
_CHUNK_BYTES = 4096  # a line is far shorter, so one step back nearly always finds its start
_DATE_DIGITS = 8
_MAX_LOGGED_CHARS = 500  # of a torn tail; a line has less than 100


_SOME_DAY = date(2000, 1, 1)
_FIRST_LINE_BYTES = 4096  # a line of a sensor has up to 1 kB


class DailyFile:
    """The files `PREFIXYYYYMMDD-FNAMEBASE.txt` of a folder. Thread-safe.

    Args:
        directory: the folder, made when the first line is written.
        fname_base: the part of the name that the user chose; no path parts.
        prefix: what stands before the date, `""` for readings.
        zone: where the dates are taken.

    Raises:
        ValueError: `fname_base` would lead into another folder.
    """

    def __init__(self, directory: Path, fname_base: str, prefix: str, zone: tzinfo) -> None:
        reading_file_name(fname_base, _SOME_DAY)  # refuse a bad name at once
        self._directory = directory
        self._fname_base = fname_base
        self._prefix = prefix
        self._zone = zone
        self._open: OrderedDict[date, int] = OrderedDict()  # descriptors, last used at the end
        self._dirty: set[date] = set()  # a failed file is closed, but still wants its sync
        self._lock = threading.Lock()

    @property
    def zone(self) -> tzinfo:
        """The time zone of the files' dates."""
        return self._zone

    def day_of(self, time_ms: int) -> date:
        """Return the date of the file that an instant belongs to."""
        return local(time_ms, self._zone).date()

    def path(self, day: date) -> Path:
        """Return where the lines of a date are."""
        return self._directory / (self._prefix + reading_file_name(self._fname_base, day))

    def append(self, day: date, lines: Sequence[str]) -> tuple[int, int]:
        """Append lines to the file of a date in one write: all of them, or none.

        Args:
            day: the lines' own date.
            lines: without LF; at least one.

        Returns:
            where in the file the lines begin and end, bytes.

        Raises:
            TextError: the disk did not take them; the file is as it was before.
        """
        data = "".join(f"{line}\n" for line in lines).encode()
        with self._lock, self._errors(day):
            return self._write(day, data)

    def days(self) -> list[date]:
        """Return the dates of which there are files, in order.

        Raises:
            TextError: the folder cannot be read.
        """
        with self._errors(None):
            try:
                names = [path.name for path in self._directory.iterdir()]
            except FileNotFoundError:  # made when the first line is written
                return []
        return sorted(day for name in names if (day := self._day_in(name)) is not None)

    def size(self, day: date) -> int:
        """Return how many bytes of complete lines the file of a date has, 0 if there is none.

        Raises:
            TextError: the file cannot be read.
        """
        with self._lock, self._errors(day):
            if not self.path(day).exists():
                return 0
            return os.fstat(self._opened(day)).st_size

    def numbers(self, days: Iterable[date]) -> dict[date, int]:
        """Return a number for each file of some dates, which another file hardly has.

        It is made of the first line: that stays as it is, and says the time. Files without a
        complete line, and those that cannot be read, have none.
        """
        found: dict[date, int] = {}
        for day in days:
            with contextlib.suppress(OSError), self.path(day).open("rb") as file:
                first, end, _ = file.read(_FIRST_LINE_BYTES).partition(b"\n")
                if end:
                    found[day] = crc32(first)
        return found

    def lines_from(self, day: date, begin: int, max_bytes: int) -> tuple[list[str], int]:
        """Return complete lines of the file of a date, without LF.

        Args:
            day: which file; there has to be one.
            begin: where in it, at the start of a line.
            max_bytes: how much to read at most; more than any line has.

        Returns:
            the lines, and where those that follow begin.

        Raises:
            TextError: the file cannot be read.
        """
        with self._lock, self._errors(day):
            data = os.pread(self._opened(day), max_bytes, begin)
        end = data.rfind(b"\n") + 1
        return data[:end].decode(errors="replace").split("\n")[:-1], begin + end

    def peek(self, day: date, begin: int) -> list[str]:
        """Return all complete lines from a place on; for whoever must not write to the file.

        Raises:
            TextError: the file cannot be read.
        """
        with self._errors(day), self.path(day).open("rb") as file:
            file.seek(begin)
            data = file.read()
        return data[: data.rfind(b"\n") + 1].decode(errors="replace").split("\n")[:-1]

    def tail(self, day: date, max_bytes: int) -> list[str]:
        """Return the complete lines within the last bytes of the file of a date, without LF.

        Args:
            day: which file; it is made if there is none.
            max_bytes: how far back to look.

        Raises:
            TextError: the file cannot be read.
        """
        with self._lock, self._errors(day):
            fd = self._opened(day)
            begin = max(0, os.fstat(fd).st_size - max_bytes)
            data = os.pread(fd, max_bytes, begin)
        lines = data.decode(errors="replace").split("\n")[:-1]
        return lines[1:] if begin else lines

    def sync(self) -> None:
        """Return when everything appended so far is on the disk.

        Raises:
            TextError: it could not be brought there.
        """
        with self._lock:
            self._sync_all()

    def close(self) -> None:
        """Bring everything to the disk and close the files; the next `append` opens them anew.

        Raises:
            TextError: it could not be brought there; the files are closed all the same.
        """
        with self._lock:
            try:
                self._sync_all()
            finally:
                for day in list(self._open):
                    self._forget(day)

    def _opened(self, day: date) -> int:
        fd = self._open.get(day)
        if fd is not None and os.fstat(fd).st_nlink == 0:
            self._forget(day)  # someone removed it: what is written there would be lost
            fd = None
        if fd is None:
            while len(self._open) >= _MAX_OPEN:
                self._forget(next(iter(self._open)))
            fd = _open_repaired(self.path(day))
            self._open[day] = fd
        self._open.move_to_end(day)
        return fd

    def _write(self, day: date, data: bytes) -> tuple[int, int]:
        fd = self._opened(day)
        size = os.fstat(fd).st_size
        self._dirty.add(day)
        written = os.write(fd, data)
        if written < len(data):
            os.ftruncate(fd, size)
            raise OSError(f"only {written} of {len(data)} bytes fitted: disk full")
        return size, size + written

    def _sync_all(self) -> None:
        for day in sorted(self._dirty):
            with self._errors(day):
                # Not fdatasync: with the time of change left to be written, Linux goes on counting
                # from the first append, and writes the page again a few seconds after this.
                os.fsync(self._opened(day))
            self._dirty.discard(day)

    def _forget(self, day: date) -> None:
        fd = self._open.pop(day, None)
        if fd is not None:
            os.close(fd)

    def _day_in(self, name: str) -> date | None:
        digits = name.removeprefix(self._prefix)[:_DATE_DIGITS]
        if not (digits.isascii() and digits.isdigit()):
            return None
        try:
            day = datetime.strptime(digits, "%Y%m%d").replace(tzinfo=self._zone).date()
        except ValueError:
            return None
        return day if self.path(day).name == name else None

    @contextlib.contextmanager
    def _errors(self, day: date | None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            path = self._directory
            if day is not None:
                path = self.path(day)
                self._forget(day)
            raise TextError(f"{path}: {error.strerror or error}") from error


def _open_repaired(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        _cut_torn_tail(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _cut_torn_tail(fd: int, path: Path) -> None:
    """Remove what stands behind the last LF: a line that a crash left incomplete."""
    size = os.fstat(fd).st_size
    end = size
    while end > 0:
        begin = max(0, end - _CHUNK_BYTES)
        newline = os.pread(fd, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    if end == size:
        return
    torn = os.pread(fd, min(size - end, _MAX_LOGGED_CHARS), end)
    os.ftruncate(fd, end)
    log.warning("torn_line_removed", file=str(path), text=torn.decode(errors="replace"))
