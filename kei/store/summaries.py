"""The summary job: computes windows that are over, for the database and the `sum` files."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import groupby
from typing import Protocol

import structlog

from kei.core.clock import epoch_ms, local
from kei.core.errors import StoreError
from kei.store import dirty_windows
from kei.store.blocks import BLOCK_MS, BlockTable
from kei.store.database import Database, save_state
from kei.store.dirty_windows import DONE_UNTIL_KEY, DirtyRange, done_until_ms
from kei.store.lines import summary_line, unknown
from kei.store.reading_table import ReadingTable
from kei.store.summary_table import Expected, SummaryTable
from kei.store.text import DailyFile

log = structlog.stdlib.get_logger("kei.store")

DAY_S = 86_400
_HOUR_S = 3600
# About a week of the default cycle; the rest of a longer backlog is left to the next run.
_MAX_WINDOWS_A_RUN = 1000
_WRITTEN_AT_ONCE = 1000  # lines


@lru_cache(maxsize=4)
def _boundaries(day: date, zone: tzinfo, cycle_s: int) -> tuple[int, ...]:
    """Return the instants (ms) at which windows begin on a local day and its neighbours.

    They are the times of day that are multiples of the cycle. Times that a clock change repeats
    begin a window twice if the change is at least a cycle long; times that it skips begin one at
    the instant of the change.
    """
    cycles = DAY_S // cycle_s
    at_once = max(1, _HOUR_S // cycle_s)  # a day of windows of a second has 86,400
    begins: set[int] = set()
    # The neighbours, too: some zones have turned their clocks back over midnight.
    for offset in (-1, 0, 1):
        midnight = datetime.combine(day + timedelta(days=offset), time(), zone)
        for number in range(0, cycles, at_once):
            # In wall-clock time, as aware times add up.
            begin = midnight + timedelta(seconds=number * cycle_s)
            begins.update(_begins(begin, min(at_once, cycles - number), cycle_s))
    return tuple(sorted(begins))


def _begins(first: datetime, count: int, cycle_s: int) -> Iterable[int]:
    """Return the instants (ms) of so many local times, about an hour of them, a cycle apart."""
    moments = [first + timedelta(seconds=number * cycle_s) for number in (0, count)]
    if len({moment.replace(fold=fold).utcoffset() for moment in moments for fold in (0, 1)}) == 1:
        return range(epoch_ms(moments[0]), epoch_ms(moments[1]), cycle_s * 1000)
    begins = []  # the clock is changed
    for number in range(count):
        moment = first + timedelta(seconds=number * cycle_s)
        once, again = epoch_ms(moment), epoch_ms(moment.replace(fold=1))
        begins.append(once)
        if again - once >= cycle_s * 1000:
            begins.append(again)
    return begins


def window_around(time_ms: int, zone: tzinfo, cycle_s: int) -> tuple[int, int]:
    """Return start and end (ms) of the window of an instant: start <= instant < end.

    Windows are aligned to local midnight, without gaps or overlaps. At a clock change one of them
    may be longer or shorter than the cycle.

    Args:
        time_ms: the instant.
        zone: the local time zone.
        cycle_s: length of a window in seconds, a divisor of a day.
    """
    begins = _boundaries(local(time_ms, zone).date(), zone, cycle_s)
    after = bisect_right(begins, time_ms)
    return begins[after - 1], begins[after]


class Gate(Protocol):
    """What is known of the clock; see `kei.timekeeping.gate`."""

    @property
    def is_steady(self) -> bool:
        """Whether it can be said by the clock that a window is over."""

    @property
    def is_likely_wrong(self) -> bool:
        """Whether it would be better not to go by the clock."""


class Summariser:
    """Computes windows that are over, each once and in order, also after a stop or a crash.

    The summaries of a window are first added to the database, then to the `sum` file, then marked
    as written. Not thread-safe.

    Args:
        database: has the readings and the summaries.
        summary_file: the `sum` files; written by this object only.
        gate: says whether the clock of the database can tell that a window is over.
        cycle_s: length of a window in seconds, a divisor of a day.
        expected: returns the expected seconds between readings of a series.
        commit: writes everything recorded so far to the database; returns whether that was all, or
            some readings wait for the clock or the text.
        on_new: called when lines of new windows have been written.

    Raises:
        ValueError: the cycle does not divide a day.
    """

    def __init__(
        self,
        database: Database,
        summary_file: DailyFile,
        gate: Gate,
        cycle_s: int,
        *,
        expected: Expected,
        commit: Callable[[], bool],
        on_new: Callable[[], None],
    ) -> None:
        if cycle_s <= 0 or DAY_S % cycle_s:
            raise ValueError(f"a summary cycle of {cycle_s} s does not divide a day")
        self._database = database
        self._readings = ReadingTable(database)
        self._table = SummaryTable(database, expected)
        self._blocks = BlockTable(database)
        self._commit = commit
        self._gate = gate
        self._on_new = on_new
        self._file = summary_file
        self._clock = database.clock
        self._cycle_s = cycle_s
        self._failing = False
        # Of the database for which the file has no lines that are not marked as written.
        self._marked_generation: int | None = None

    def run(self) -> None:
        """Compute and write what is due. If the disk fails, log that once; a later run makes up.

        Readings that are recorded after their window was computed change its summaries in the
        database, but not its lines. So this should run some seconds after the end of a window.
        """
        now_ms = self._clock.now_ms()
        if not self._gate.is_steady:  # looked at after the clock was read: it may have been set
            return
        try:
            if not self._commit():
                return
            self._compute(now_ms)
            if self._write():
                self._on_new()
            self._compute_again()
            self._blocks.catch_up()
        except StoreError as error:
            if not self._failing:
                self._failing = True
                log.error("summaries_failing", reason=str(error))  # noqa: TRY400 - says it all
        else:
            if self._failing:
                self._failing = False
                log.info("summaries_resumed")

    def _compute(self, now_ms: int) -> None:
        current_ms, _ = self._window(now_ms)
        with self._database.access() as connection:
            stored_ms = done_until_ms(connection)
        # After a clock that was ahead has been set back, summaries go on at once; windows that have
        # been computed already are recognised by their summaries.
        if stored_ms > current_ms and self._gate.is_likely_wrong:
            return
        done_ms = min(stored_ms, current_ms)
        for _ in range(_MAX_WINDOWS_A_RUN):
            with self._database.transaction() as connection:
                reading_ms = self._readings.next_ms(done_ms)
                if reading_ms is None or reading_ms >= current_ms:
                    done_ms = current_ms  # windows without readings are done, too
                    is_last = True
                else:
                    # In the same transaction: a reading that comes now opens the window again.
                    start_ms, done_ms = self._window(reading_ms)
                    if self._table.next_ms(start_ms) != start_ms:
                        summaries = self._table.compute(connection, start_ms, done_ms)
                        self._table.add(connection, summaries)
                        self._blocks.redo(connection, start_ms)  # if the clock was ahead
                    is_last = False
                if done_ms != stored_ms:
                    save_state(connection, DONE_UNTIL_KEY, str(done_ms))
                    stored_ms = done_ms
            if is_last:
                break

    def _compute_again(self) -> None:
        """Compute those windows again whose readings have changed since, the newest range first.

        As for those that are new, the rest of many is left to the next run: an import of years
        shall not keep the windows waiting that end meanwhile.
        """
        left = _MAX_WINDOWS_A_RUN
        for dirty in reversed(dirty_windows.dirty_ranges(self._database)):
            rest: DirtyRange | None = dirty
            while rest is not None and left > 0:
                rest = self._compute_next_again(rest)
                left -= 1

    def _compute_next_again(self, dirty: DirtyRange) -> DirtyRange | None:
        """Compute the first window of a range again; return what is left of it, None if nothing."""
        with self._database.transaction() as connection:
            start_ms, end_ms = self._window(dirty.from_ms)
            if start_ms >= done_until_ms(connection):
                return dirty_windows.shorten(connection, dirty, dirty.to_ms)
            summaries = self._table.compute(connection, start_ms, end_ms)
            if summaries or self._table.next_ms(start_ms) == start_ms:
                self._table.replace(connection, start_ms, summaries)
            following = [
                each
                for each in (self._readings.next_ms(end_ms), self._table.next_ms(end_ms))
                if each is not None
            ]
            rest = dirty_windows.shorten(connection, dirty, min(following, default=dirty.to_ms))
            if rest is None or rest.from_ms // BLOCK_MS != start_ms // BLOCK_MS:
                self._blocks.redo(connection, start_ms)
            return rest

    def _write(self) -> bool:
        """Write the lines that are due; return whether there were any."""
        generation = self._database.generation
        may_have_unmarked = self._marked_generation != generation
        self._marked_generation = None
        any_written = False
        there: dict[date, Counter[str]] = {}  # of each file, lines that are not marked, by key
        while waiting := self._table.without_line(_WRITTEN_AT_ONCE):
            for day, group in groupby(waiting, lambda entry: self._file.day_of(entry[1].start_ms)):
                entries = list(group)
                lines = [summary_line(summary, self._file.zone) for _, summary in entries]
                if may_have_unmarked:
                    if day not in there:
                        there[day] = Counter(map(_key, self._unmarked_lines(day)))
                    # They are there after a crash; in a database that takes the place of a lost one
                    # in another order, and after a power cut with readings that it has not.
                    lines = unknown(lines, there[day], _key)
                end = self._file.append(day, lines)[1] if lines else self._file.size(day)
                if day in there and there[day].total():
                    end = 0  # they may be of the next ones, also after another crash
                # On the disk before they are marked as written: there may be a power cut.
                self._file.sync()
                self._table.lines_written(entries[-1][0], day, end)
                any_written = True
        self._marked_generation = generation
        return any_written

    def _unmarked_lines(self, day: date) -> list[str]:
        """Return the lines that are not marked as written; all of them if that is unknown."""
        size, (marked_day, end) = self._file.size(day), self._table.lines_end() or (date.max, 0)
        begin = end if day == marked_day and end <= size else 0
        return self._file.lines_from(day, begin, size - begin)[0] if size > begin else []

    def _window(self, time_ms: int) -> tuple[int, int]:
        return window_around(time_ms, self._clock.zone, self._cycle_s)


def _key(line: str) -> str:
    """Return what tells a line from others: window and series, but not the average."""
    return line.rpartition(",")[0]
