"""Short ways to put things into a store and to look at them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fakes import TOKYO, FakeClock

from kei.core.clock import Clock
from kei.core.reading import Reading, Summary
from kei.store.database import Database
from kei.store.dirty_windows import mark_dirty
from kei.store.reading_table import ReadingTable
from kei.store.recorder import DEFAULT_BOUND, Recorder
from kei.store.summaries import Summariser
from kei.store.summary_table import SummaryTable
from kei.store.text import DailyFile
from kei.store.timing import Timing
from kei.timekeeping.monitor import ClockStatus

BOOT = "this boot"


def right() -> ClockStatus:
    """The status of a clock that is right from the start."""
    return ClockStatus(synchronised=True, likely_wrong=False)


def add_readings(database: Database, readings: Sequence[Reading]) -> None:
    with database.transaction() as connection:
        if readings:
            ReadingTable(database).add(connection, readings)
            mark_dirty(connection, [reading.time_ms for reading in readings])


def add_summaries(database: Database, summaries: Sequence[Summary]) -> None:
    SummaryTable(database).add(summaries)


def daily(folder: Path) -> DailyFile:
    return DailyFile(folder, "home", "", TOKYO)


def recorder_of(
    database: Database,
    text: DailyFile,
    *,
    clock: Clock | None = None,
    clock_status: Callable[[], ClockStatus] = right,
    boot: str = BOOT,
    wait_s: float = 0,
    bound: int = DEFAULT_BOUND,
) -> Recorder:
    """Return a recorder that has brought text and database to the same state."""
    clock = clock or FakeClock(zone=text.zone)
    timing = Timing(clock, clock_status, boot, wait_s)
    recorder = Recorder(database, text, timing, clock=clock, bound=bound)
    recorder.start()
    return recorder


def summariser_of(
    database: Database,
    file: DailyFile,
    clock: Clock,
    cycle_s: int = 600,
    cycles: Mapping[str, float] | None = None,
    on_new: Callable[[], None] = lambda: None,
) -> Summariser:
    """Return a summariser; `cycles` has the expected seconds between readings by sensor."""
    known = cycles or {}
    return Summariser(
        database,
        file,
        clock,
        cycle_s,
        expected=lambda _unit, sensor: known.get(sensor),
        commit=lambda: None,
        on_new=on_new,
    )
