"""Daily text files: lines are appended to the file of their own date, complete or not at all."""

import contextlib
import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from zlib import crc32

import structlog

from kei.core.clock import epoch_ms, local
from kei.core.errors import TextError
from kei.store.lines import reading_file_name
from kei.store.milliseconds import Milliseconds

log = structlog.stdlib.get_logger("kei.store")

_MODE = 0o644
_MAX_OPEN = 3  # today, and the two days of a day in the meter's memory, which ends at 0:00
_CHUNK_BYTES = 4096  # a line is far shorter, so one step back nearly always finds its start
_DATE_DIGITS = 8
_MAX_LOGGED_CHARS = 500  # of a torn line; a line has less than 100
_SOME_DAY = date(2000, 1, 1)
_READ_BYTES = 1 << 18
_FIRST_LINE_BYTES = 4096  # a line of a sensor has up to 1 kB


class DailyFile:
    """The files `PREFIXYYYYMMDD-FNAMEBASE.txt` of a folder. Thread-safe.

    Every method that reads, writes or syncs raises `TextError` when that fails.

    Args:
        directory: the folder, made when the first line is written.
        fname_base: the end of the names, from jobs.toml.
        prefix: the beginning of the names: `""` for readings, `sum` for summaries.
        zone: the time zone of the dates.
        milliseconds: a file in memory for those of lines that have no row yet; None for none.

    Attributes:
        zone: the same.
        milliseconds: of the lines that have no row yet; to be cleared when they have.

    Raises:
        ValueError: `fname_base` would lead into another folder.
    """

    def __init__(
        self,
        directory: Path,
        fname_base: str,
        prefix: str,
        zone: tzinfo,
        milliseconds: Path | None = None,
    ) -> None:
        reading_file_name(fname_base, _SOME_DAY)  # raises ValueError for a bad name
        self._directory = directory
        self._fname_base = fname_base
        self._prefix = prefix
        self.zone = zone
        self.milliseconds = Milliseconds(milliseconds)
        self._open: OrderedDict[date, int] = OrderedDict()  # descriptors, last used at the end
        self._ends: dict[date, int] = {}  # of the open files, as they were left
        self._dirty: set[date] = set()  # to be synced, even if closed after a fault
        self._others: set[date] = set()  # files that were removed or replaced
        self._made: set[date] = set()  # files whose entry in the folder is to be synced
        self._lock = threading.Lock()

    def day_of(self, time_ms: int) -> date:
        """Return the date of the file of an instant, milliseconds since 1970."""
        return local(time_ms, self.zone).date()

    def limits_of(self, day: date) -> tuple[int, int]:
        """Return the first instant of a date and that behind it, milliseconds since 1970."""
        start, end = (
            epoch_ms(datetime.combine(each, time.min, self.zone))
            for each in (day, day + timedelta(days=1))
        )
        return start, end

    def path(self, day: date) -> Path:
        """Return the path of the file of a date."""
        return self._directory / (self._prefix + reading_file_name(self._fname_base, day))

    def put_away(self) -> set[date]:
        """Return the dates whose file has been put away, and that have none that grows.

        Programs that do that add to its name: `.gz`, `.1`, `.1.gz`, `-20260214.xz`.
        """
        named = list(self._named())
        away = {day for day, more in named if more.startswith((".", "-"))}
        return away.difference(day for day, more in named if not more)

    def append(self, day: date, lines: Sequence[str]) -> tuple[int, int]:
        """Append lines to the file of a date in one write: all of them, or none.

        Args:
            day: the date.
            lines: without LF; at least one.

        Returns:
            where in the file the lines begin and end, bytes.

        Raises:
            TextError: the disk did not take them; the file is as it was before.
        """
        data = "\n".join([*lines, ""]).encode()
        with self._lock, self._errors(day):
            fd = self._opened(day)
            size = self._whole_size(fd, day)
            self._dirty.add(day)
            written = os.write(fd, data)
            if written < len(data):
                os.ftruncate(fd, size)
                raise OSError(f"only {written} of {len(data)} bytes fitted: disk full")
            self._ends[day] = size + written
            return size, size + written

    def others(self) -> set[date]:
        """Return the dates whose open file has been removed or replaced since the last call.

        That is logged; the file that has the name now is used from then on.
        """
        with self._lock:
            for day, fd in list(self._open.items()):
                with contextlib.suppress(OSError):
                    self._close_other(fd, day)
            others, self._others = self._others, set()
            return others

    def days(self) -> list[date]:
        """Return the dates of the files, in order."""
        return sorted(day for day, more in self._named() if not more)

    def size(self, day: date) -> int:
        """Return how many bytes of complete lines the file of a date has, 0 if there is none."""
        with self._lock, self._errors(day):
            if not self.path(day).exists():
                return 0
            return self._whole_size(self._opened(day), day)

    def fingerprints(self, days: Iterable[date]) -> dict[date, int]:
        """Return a number for each file of some dates by which a replaced file is recognised.

        It is the CRC-32 of the first line, which never changes. Files without a complete line, and
        those that cannot be read, are left out.
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
            day: the date; the file has to exist.
            begin: offset of the first line, bytes.
            max_bytes: how much to read at most; more than any line has.

        Returns:
            the lines, and the offset of the next one.
        """
        with self._lock, self._errors(day):
            data = os.pread(self._opened(day), max_bytes, begin)
        return _complete_lines(data), begin + data.rfind(b"\n") + 1

    def found(self, day: date, lines: Collection[str]) -> Counter[str]:
        """Return which of some lines the file of a date has, and how often.

        Raises:
            TextError: the file cannot be read.
        """
        found = Counter[str]()
        begin, end = 0, self.size(day)
        while lines and begin < end:
            there, begin = self.lines_from(day, begin, min(end - begin, _READ_BYTES))
            found.update(line for line in there if line in lines)
        return found

    def peek(self, day: date, begin: int) -> list[str]:
        """Return all complete lines from an offset on, without repairing the file."""
        with self._errors(day), self.path(day).open("rb") as file:
            file.seek(begin)
            return _complete_lines(file.read())

    def sync(self, days: Iterable[date] = ()) -> None:
        """Return when everything appended so far is on the disk, and other files besides.

        Args:
            days: of files that another process has written to; they have to exist.
        """
        with self._lock:
            self._dirty.update(days)
            self._sync_all()

    def close(self) -> None:
        """Sync and close all files, even if syncing fails; the next `append` opens them again."""
        with self._lock:
            self.milliseconds.close()
            try:
                self._sync_all()
            finally:
                for day in list(self._open):
                    self._close(day)

    def _opened(self, day: date) -> int:
        fd = self._open.get(day)
        if fd is not None and os.fstat(fd).st_nlink == 0 and self._close_other(fd, day):
            fd = None
        if fd is None:
            while len(self._open) >= _MAX_OPEN:
                self._close(next(iter(self._open)))
            path = self.path(day)
            if not path.exists():
                self._made.add(day)
            fd = _open_repaired(path)
            self._open[day] = fd
            self._ends[day] = os.fstat(fd).st_size
        self._open.move_to_end(day)
        return fd

    def _close_other(self, fd: int, day: date) -> bool:
        """Close a file that is not the one under its name any more; return whether it was."""
        path, event = self.path(day), "text_file_replaced"
        try:
            if os.path.samestat(os.fstat(fd), path.stat()):
                return False
        except FileNotFoundError:
            event = "text_file_gone"
        self._close(day)
        self._others.add(day)
        log.warning(event, file=str(path), hint="kei goes on in the file of that name")
        return True

    def _whole_size(self, fd: int, day: date) -> int:
        """Return the size of a file; first cut off what another program left incomplete."""
        size = os.fstat(fd).st_size
        if size != self._ends[day]:
            _cut_torn_tail(fd, self.path(day))
            size = self._ends[day] = os.fstat(fd).st_size
        return size

    def _sync_all(self) -> None:
        for day in sorted(self._dirty):
            with self._errors(day):
                # Not fdatasync: it leaves the time of change to be written, and Linux would write
                # the page again a few seconds later.
                os.fsync(self._opened(day))
                if day in self._made:
                    sync_folder(self._directory)
            self._dirty.discard(day)
            self._made.discard(day)

    def _close(self, day: date) -> None:
        fd = self._open.pop(day, None)
        if fd is not None:
            os.close(fd)

    def _named(self) -> Iterator[tuple[date, str]]:
        """Yield the date of each file in the folder, and what stands behind its name."""
        with self._errors(None):
            try:
                names = [path.name for path in self._directory.iterdir()]
            except FileNotFoundError:  # made when the first line is written
                return
        for name in names:
            with contextlib.suppress(ValueError):
                day = date.fromisoformat(name.removeprefix(self._prefix)[:_DATE_DIGITS])
                own = self.path(day).name
                if name.startswith(own):
                    yield day, name.removeprefix(own)

    @contextlib.contextmanager
    def _errors(self, day: date | None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            path = self._directory
            if day is not None:
                path = self.path(day)
                self._close(day)
            raise TextError(f"{path}: {error.strerror or error}") from error


def _complete_lines(data: bytes) -> list[str]:
    return data[: data.rfind(b"\n") + 1].decode(errors="replace").split("\n")[:-1]


def sync_folder(path: Path) -> None:
    """Return when the names in a folder are on the disk; OSError if that fails."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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
    """Remove what follows the last LF: a line that a crash left incomplete."""
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
