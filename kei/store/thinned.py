"""A series over any length of time in a few hundred points: minimum, average and maximum of each.

A day comes from the readings, months from the summaries, years from the blocks of six hours, with
the finer ones at the edges and behind the end of the coarser ones. So nothing takes longer than to
read some ten thousand rows, and no extreme is lost.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from kei.core.clock import Clock
from kei.core.reading import MAX_PLACES
from kei.store.blocks import BLOCK_MS, blocks_until_ms
from kei.store.dirty_windows import done_until_ms
from kei.store.read_only import recorded
from kei.store.reading_table import IN_SPANS, span_of
from kei.store.recovery import only_in_text
from kei.store.rows import pack, packed_as_scaled
from kei.store.summaries import window_around
from kei.store.text import DailyFile

LIMIT_S = 10.0  # a year that was imported a moment ago has no summaries yet
_STEPS = 10_000  # of SQLite's virtual machine between looks at the limit
_AT_ONCE_MS = 7 * 86_400_000  # of readings that one statement reads
_RAW_MS = 26 * 3_600_000  # a day, with an hour more when the clocks are turned back
_WINDOWS_MAX = 10_000  # about 70 days of the default cycle: as many rows as a day has readings
_BLOCKS_MIN = 64  # 16 days: fewer are no chart
_SCALE = 10**MAX_PLACES


class Level(IntEnum):
    """Where points come from."""

    READINGS = 0
    WINDOWS = 1
    BLOCKS = 2


_ROWS: Mapping[Level, str] = {
    Level.WINDOWS: "SELECT (start_ms - :from) / :bucket, min(minimum), total(average * count),"
    " sum(count), max(maximum) FROM summaries WHERE start_ms >= :first AND start_ms < :end"
    " AND series_id IN (SELECT value FROM json_each(:ids)) AND typeof(maximum) = 'integer'"
    " AND typeof(minimum) = 'integer' GROUP BY 1",
    Level.BLOCKS: "SELECT (start_ms - :from) / :bucket, min(minimum), total(total),"
    " sum(count), max(maximum) FROM blocks WHERE start_ms >= :first AND start_ms < :end"
    " AND series_id IN (SELECT value FROM json_each(:ids)) GROUP BY 1",
    Level.READINGS: "SELECT (r.time_ms - :from) / :bucket, min(r.value), total(r.value),"
    f" count(*), max(r.value){IN_SPANS} AND r.time_ms >= :first AND r.time_ms < :end"
    " AND +r.id <= :newest AND r.series_id IN (SELECT value FROM json_each(:ids))"
    " AND typeof(r.value) = 'integer' WHERE p.span BETWEEN :span AND :last_span GROUP BY 1",
}


@dataclass(slots=True)
class _Bucket:
    """What is known of the readings of one point; numbers in ten-thousandths."""

    minimum: int
    total: float
    count: int
    maximum: int

    def add(self, minimum: int, total: float, count: int, maximum: int) -> None:
        self.minimum = min(self.minimum, minimum)
        self.total += total
        self.count += count
        self.maximum = max(self.maximum, maximum)


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a chart.

    Attributes:
        time_ms: when it begins, milliseconds since 1970 in UTC.
        values: minimum, average and maximum of what was recorded until the next; None if nothing
            was for longer than could be expected.
    """

    time_ms: int
    values: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be shown.

    Attributes:
        unit: UnitID.
        sensor: SensorID.
        from_ms: the first instant, milliseconds since 1970 in UTC.
        to_ms: the first instant behind the range.
        points: how many at most.
        cycle_s: from one reading to the next.
        window_s: length of a window of averages.
        finest: nothing finer is looked at.
    """

    unit: str
    sensor: str
    from_ms: int
    to_ms: int
    points: int
    cycle_s: float
    window_s: int
    finest: Level = Level.READINGS

    @property
    def level(self) -> Level:
        """The coarsest rows that are fine enough."""
        length_ms = self.to_ms - self.from_ms
        if length_ms <= _RAW_MS:
            return max(Level.READINGS, self.finest)
        is_long = length_ms > max(_WINDOWS_MAX * self.window_s * 1000, _BLOCKS_MIN * BLOCK_MS)
        return Level.BLOCKS if is_long else Level.WINDOWS

    @property
    def bucket_ms(self) -> int:
        """The length of a point: as many whole rows as it needs."""
        sizes = {
            Level.READINGS: 1000,
            Level.WINDOWS: self.window_s * 1000,
            Level.BLOCKS: BLOCK_MS,
        }
        size = sizes[self.level]
        # One less, as points begin at a multiple and so reach over both ends.
        each = -(-(self.to_ms - self.from_ms) // max(1, self.points - 1))
        return max(size, -(-each // size) * size)

    @property
    def first_ms(self) -> int:
        """When the first point begins."""
        return self.from_ms - (self.from_ms % self.bucket_ms if self.points > 1 else 0)


def thinned(path: Path, text: DailyFile, wanted: Wanted, clock: Clock) -> list[Point]:
    """Return the points, the oldest first; where nothing was recorded, one without values.

    Args:
        path: the database.
        text: the daily files, which have the readings of the last minutes.
        wanted: what is to be shown.
        clock: for the limit, and local time.

    Raises:
        StoreError: there is no database, it cannot be read, or that takes too long.
    """
    with recorded(path) as connection:
        end = clock.monotonic() + LIMIT_S
        connection.set_progress_handler(lambda: clock.monotonic() > end, _STEPS)
        newest_id, recent = only_in_text(connection, text)
        rows = connection.execute(
            "SELECT id FROM series WHERE unit = ? AND sensor = ?", (wanted.unit, wanted.sensor)
        ).fetchall()
        reader = _Reader(connection, wanted, newest_id, str([id_ for (id_,) in rows]), clock)
        for level, from_ms, to_ms in _parts(connection, reader):
            reader.read(level, from_ms, to_ms)
    for each in recent:
        is_wanted = each.unit == wanted.unit and each.sensor == wanted.sensor
        if is_wanted and wanted.from_ms <= each.time_ms < wanted.to_ms:
            number = packed_as_scaled(pack(each.value))
            reader.add(reader.bucket_of(each.time_ms), number, number, 1, number)
    if not reader.buckets and reader.level is Level.READINGS:  # they may be too old to be kept
        return thinned(path, text, replace(wanted, finest=Level.WINDOWS), clock)
    return list(_points(wanted, reader.buckets))


def _parts(connection: sqlite3.Connection, reader: "_Reader") -> Iterator[tuple[Level, int, int]]:
    """Yield the range in parts, each with the coarsest level that has all of it."""
    wanted = reader.wanted
    windows_ms = max(min(done_until_ms(connection), wanted.to_ms), wanted.from_ms)
    blocks_ms = max(min(blocks_until_ms(connection), windows_ms), wanted.from_ms)
    if reader.level is Level.READINGS:
        windows_ms = wanted.from_ms
    at_ms = wanted.from_ms
    for begin_ms, end_ms in (*reader.without_windows(windows_ms), (windows_ms, wanted.to_ms)):
        middle_ms = max(at_ms, min(begin_ms, blocks_ms))
        if reader.level is Level.BLOCKS and at_ms < middle_ms:
            yield Level.BLOCKS, at_ms, middle_ms
            at_ms = middle_ms
        if at_ms < begin_ms:
            yield Level.WINDOWS, at_ms, begin_ms
        if max(at_ms, begin_ms) < end_ms:
            yield Level.READINGS, max(at_ms, begin_ms), end_ms
        at_ms = max(at_ms, end_ms)


class _Reader:
    """Reads rows of one series into the buckets of points.

    Attributes:
        wanted: what is to be shown.
        level: of the rows that it is shown by.
        bucket_ms: the length of a point.
        first_ms: when the first one begins.
        buckets: by their number; what has been read so far.
    """

    def __init__(
        self, connection: sqlite3.Connection, wanted: Wanted, newest_id: int, ids: str, clock: Clock
    ) -> None:
        self.wanted = wanted
        self.level, self.bucket_ms, self.first_ms = wanted.level, wanted.bucket_ms, wanted.first_ms
        self.buckets: dict[int, _Bucket] = {}
        self._connection = connection
        self._newest_id = newest_id
        self._ids = ids
        self._clock = clock

    def bucket_of(self, time_ms: int) -> int:
        """Return the number of the point to which an instant belongs."""
        return (time_ms - self.first_ms) // self.bucket_ms

    def add(self, bucket: int, minimum: int, total: float, count: int, maximum: int) -> None:
        """Add rows to a point."""
        known = self.buckets.get(bucket)
        if known is None:
            self.buckets[bucket] = _Bucket(minimum, total, count, maximum)
        else:
            known.add(minimum, total, count, maximum)

    def without_windows(self, until_ms: int) -> Iterable[tuple[int, int]]:
        """Return what was added, by an import say, and has not been averaged at all yet."""
        return self._connection.execute(
            "SELECT max(from_ms, ?1), min(to_ms, ?2) FROM reopened"
            " WHERE from_ms < ?2 AND to_ms > ?1 AND NOT EXISTS (SELECT 1 FROM summaries"
            " WHERE start_ms >= from_ms AND start_ms < to_ms"
            " AND series_id IN (SELECT value FROM json_each(?3))) ORDER BY from_ms",
            (self.wanted.from_ms, until_ms, self._ids),
        ).fetchall()

    def read(self, level: Level, from_ms: int, to_ms: int) -> None:
        """Read a part; what is no whole row of its level is read from the next finer one."""
        if level is Level.READINGS:
            for first in range(from_ms, to_ms, _AT_ONCE_MS):
                self._read_rows(level, first, min(first + _AT_ONCE_MS, to_ms))
            return
        begin, end = self._whole(level, from_ms, to_ms)
        if begin >= end:
            self.read(Level(level - 1), from_ms, to_ms)
            return
        self._read_rows(level, begin, end)
        if from_ms < begin:
            self.read(Level(level - 1), from_ms, begin)
        if end < to_ms:
            self.read(Level(level - 1), end, to_ms)

    def _whole(self, level: Level, from_ms: int, to_ms: int) -> tuple[int, int]:
        """Return where the first row of a level begins, and the last one ends."""
        if level is Level.BLOCKS:
            return -(-from_ms // BLOCK_MS) * BLOCK_MS, to_ms - to_ms % BLOCK_MS
        zone, window_s = self._clock.zone, self.wanted.window_s
        start, end = window_around(from_ms, zone, window_s)
        return start if start == from_ms else end, window_around(to_ms, zone, window_s)[0]

    def _read_rows(self, level: Level, from_ms: int, to_ms: int) -> None:
        rows = self._connection.execute(
            _ROWS[level],
            {
                "from": self.first_ms,
                "bucket": self.bucket_ms,
                "first": from_ms,
                "end": to_ms,
                "ids": self._ids,
                "newest": self._newest_id,
                "span": span_of(from_ms),
                "last_span": span_of(to_ms - 1),
            },
        )
        with closing(rows):
            for row in rows:
                self.add(*row)


def _points(wanted: Wanted, buckets: Mapping[int, _Bucket]) -> Iterator[Point]:
    """Yield the points of buckets; one without values for each pause that is too long."""
    length_ms, first_ms = wanted.bucket_ms, wanted.first_ms
    patience_ms = max(3 * wanted.cycle_s * 1000, 2 * length_ms)
    last_ms = first_ms - length_ms
    for number in sorted(buckets):
        bucket, time_ms = buckets[number], first_ms + number * length_ms
        if time_ms - last_ms > patience_ms:
            yield Point(last_ms + length_ms, None)
        average = bucket.total / bucket.count
        yield Point(
            time_ms,
            (bucket.minimum / _SCALE, round(average / _SCALE, MAX_PLACES), bucket.maximum / _SCALE),
        )
        last_ms = time_ms
    if wanted.to_ms - last_ms > patience_ms:
        yield Point(last_ms + length_ms, None)
