"""Daily text files of any age and origin, taken into the database, nothing twice.

A line is there already if the database has a row of the same line; of equal lines, as many are
there as it has rows. kei has to be stopped: it is the only writer of its database, and keeps
account of which rows have their lines.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BufferedReader
from pathlib import Path

from kei.core.clock import Clock, epoch_ms
from kei.core.errors import Malformed, StoreError
from kei.core.reading import Reading
from kei.store.database import Database
from kei.store.dirty_windows import DONE_UNTIL_KEY, done_until_ms
from kei.store.lines import SUMMARY_PREFIX, reading_line, reading_of_line
from kei.store.reading_table import ReadingTable
from kei.store.recovery import begin, is_new, lines_of_rows, only_in_text, recover
from kei.store.summaries import window_around
from kei.store.text import DailyFile

_SUMMARY_FILE = re.compile(rf"{SUMMARY_PREFIX}\d{{8}}-", re.ASCII)
_GZIP = b"\x1f\x8b"
_DATABASE = "is a database: `kei restore` puts one that `kei backup` has written back in its place"
_PACKED = "is compressed in a way that kei does not read: unpack it first"
_WRONG_KINDS = {  # by what they begin with
    b"SQLite format 3\0": _DATABASE,
    b"PK\x03\x04": _PACKED,  # zip
    b"BZh": _PACKED,  # bzip2
    b"\xfd7zXZ\0": _PACKED,  # xz
    b"\x28\xb5\x2f\xfd": _PACKED,  # zstd
}
_KIND_BYTES = max(map(len, _WRONG_KINDS))
_LINE_MAX_BYTES = 4096  # a line of a sensor has up to 1 kB
_ROWS_AT_ONCE = 5000  # in one transaction; what a kill -9 leaves is recognised by the next import
# Earlier ones are of a clock that nobody had set: there were no smart meters then.
_EARLIEST_MS = epoch_ms(datetime(2000, 1, 1, tzinfo=UTC))
_AHEAD_MS = 86_400_000  # later ones, too; the clock here need not be exact


@dataclass(slots=True)
class Imported:
    """What became of one file.

    Attributes:
        lines: how many it has.
        added: those that are new in the database.
        known: those that were there already.
        rejected: those that are no readings.
        first_rejected: number of the first of these, from 1, and what is wrong with it.
        oldest_ms: time of the oldest that was added, milliseconds since 1970.
    """

    lines: int = 0
    added: int = 0
    known: int = 0
    rejected: int = 0
    first_rejected: tuple[int, str] | None = None
    oldest_ms: int | None = None


class Importer:
    """Adds the lines of text files to a database that no kei uses meanwhile.

    Args:
        database: open.
        text: kei's own daily files; what only they have is added, to a database that is not new.
        clock: to know times of the future.
        cycle_s: of the averages, seconds.

    Raises:
        StoreError: the database or a daily file cannot be used.
    """

    def __init__(self, database: Database, text: DailyFile, clock: Clock, cycle_s: int) -> None:
        self._database = database
        self._readings = ReadingTable(database)
        self._text = text
        self._zone = text.zone
        self._latest_ms = clock.now_ms() + _AHEAD_MS
        with database.access() as connection:
            has_averages = bool(done_until_ms(connection))
        if not has_averages:
            # Without this, the averages of all that is imported, and of what recovery takes from
            # the newest files, would be written into the `sum` files, which may have them.
            start_ms, _ = window_around(clock.now_ms(), self._zone, cycle_s)
            database.set_state(DONE_UNTIL_KEY, str(start_ms))
        if is_new(database):
            begin(database, text)  # kei adds them when it starts, for upload servers behind these
        else:
            recover(database, text)
        with database.access() as connection:
            _, self._only_in_text = only_in_text(connection, text)

    def add(self, file: Path, progress: Callable[[float], None]) -> Imported:
        """Add the lines of a file that the database does not have.

        Args:
            file: plain or compressed by gzip.
            progress: called with the share that is done, 0 to 1.

        Raises:
            StoreError: it cannot be read to its end, or the database fails; what was added stays.
        """
        if _SUMMARY_FILE.match(file.name):
            raise StoreError(
                f"{file}: has averages, which kei computes from readings: import the file of the"
                f" same name without '{SUMMARY_PREFIX}'"
            )
        if file.is_dir():
            raise StoreError(f"{file}: is a folder; name the files in it: {file / '2*.txt*'}")
        if not file.is_file():
            what = "is no file" if file.exists() else "there is no such file"
            raise StoreError(f"{file}: {what}")
        found = Imported()
        fresh: list[Reading] = []
        try:
            for reading in self._unknown(file, found, progress):
                fresh.append(reading)
                if len(fresh) == _ROWS_AT_ONCE:
                    batch, fresh = fresh, []
                    self._insert(batch, found)
        finally:  # also what came before the damage of a file
            if fresh:
                self._insert(fresh, found)
        return found

    def _unknown(
        self, file: Path, found: Imported, progress: Callable[[float], None]
    ) -> Iterator[Reading]:
        """Yield the readings that have no row yet."""
        known: dict[date, Counter[str]] = {}
        before_ms = 0
        for text in _lines(file, progress):
            found.lines += 1
            try:
                reading = self._reading(text, before_ms)
            except Malformed as error:
                found.rejected += 1
                found.first_rejected = found.first_rejected or (found.lines, str(error))
                continue
            before_ms = reading.time_ms
            day = self._text.day_of(reading.time_ms)
            if day not in known:
                known[day] = self._known_lines(day)
            line = reading_line(reading, self._zone)
            if known[day][line] > 0:
                known[day][line] -= 1
                found.known += 1
            else:
                yield reading

    def _reading(self, text: str | None, before_ms: int) -> Reading:
        if text is None:
            raise Malformed("it has no end")  # so that a part of its value may be missing
        reading = reading_of_line(text, self._zone, before_ms)
        if not _EARLIEST_MS <= reading.time_ms < self._latest_ms:
            raise Malformed(f"{text.partition(',')[0]} cannot be its time")
        return reading

    def _known_lines(self, day: date) -> Counter[str]:
        others = (each for each in self._only_in_text if self._text.day_of(each.time_ms) == day)
        known = lines_of_rows(self._database, self._text, day)
        return known + Counter(reading_line(each, self._zone) for each in others)

    def _insert(self, readings: Sequence[Reading], found: Imported) -> None:
        with self._database.transaction() as connection:
            self._readings.add(connection, readings, are_late=True)
        found.added += len(readings)
        oldest_ms = min(reading.time_ms for reading in readings)
        found.oldest_ms = min(oldest_ms, found.oldest_ms or oldest_ms)


def _lines(file: Path, progress: Callable[[float], None]) -> Iterator[str | None]:
    """Yield the lines of a file without their ends; None for a last one that has no end."""
    count = 0
    try:
        with file.open("rb") as raw:
            size = max(1, file.stat().st_size)
            is_compressed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            data: BufferedReader | gzip.GzipFile
            data = gzip.GzipFile(fileobj=raw) if is_compressed else raw
            _check_kind(file, data.peek(_KIND_BYTES))
            while line := data.readline(_LINE_MAX_BYTES):
                count += 1
                progress(min(1.0, raw.tell() / size))
                text = line.decode("utf-8-sig" if count == 1 else "utf-8", errors="replace")
                yield text.rstrip("\r\n") if line.endswith(b"\n") else None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        where = "from its first line on, nothing of it was imported"
        if count:
            where = f"behind line {count}, what comes before that was imported"
        raise StoreError(f"{file}: is damaged {where} ({error})") from error
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror or error}") from error


def _check_kind(file: Path, beginning: bytes) -> None:
    """Raise StoreError if a file is one of another kind, by its first bytes."""
    for kind, what in _WRONG_KINDS.items():
        if beginning.startswith(kind):
            raise StoreError(f"{file}: {what}")
