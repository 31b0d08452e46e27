"""Short ways to put things into a store and to look at them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakes import TOKYO, FakeClock

from kei.core.clock import Clock
from kei.core.reading import Reading, Summary
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.queue import UploadQueue
from kei.store.reading_table import ReadingTable
from kei.store.recorder import DEFAULT_BOUND, Recorder
from kei.store.summaries import Summariser
from kei.store.summary_table import SummaryTable
from kei.store.text import DailyFile
from kei.timekeeping.gate import Monitor, TimeGate
from kei.timekeeping.monitor import ClockStatus


@dataclass
class Gate:
    """A time gate that says what a test wants."""

    is_steady: bool = True
    is_likely_wrong: bool = False
    is_trusted: bool = True


@dataclass(frozen=True)
class ConstantMonitor:
    """A clock monitor that never learns anything new."""

    status: ClockStatus


RIGHT = ConstantMonitor(ClockStatus(synchronised=True, likely_wrong=False))
BOOT = "this boot"


def add_readings(database: Database, readings: Sequence[Reading]) -> None:
    with database.transaction() as connection:
        if readings:
            ReadingTable(database).add(connection, readings)


def readings_in(database: Database) -> list[Reading]:
    """All readings, in the order of recording."""
    items = [row.item for row in UploadQueue(database).pending("test", What.READINGS, 100_000)]
    return [item for item in items if isinstance(item, Reading)]


def add_summaries(database: Database, summaries: Sequence[Summary]) -> None:
    with database.transaction() as connection:
        SummaryTable(database).add(connection, summaries)


def computed(database: Database, start_ms: int, end_ms: int) -> list[Summary]:
    """The summaries of a window, which are not stored."""
    with database.access() as connection:
        return SummaryTable(database).compute(connection, start_ms, end_ms)


def daily(folder: Path) -> DailyFile:
    return DailyFile(folder, "home", "", TOKYO)


def recorder_of(
    database: Database,
    text: DailyFile,
    *,
    clock: Clock | None = None,
    monitor: Monitor = RIGHT,
    boot: str = BOOT,
    wait_s: float = 0,
    gate: TimeGate | None = None,
    bound: int = DEFAULT_BOUND,
) -> Recorder:
    """Return a recorder that has brought text and database to the same state."""
    clock = clock or FakeClock(zone=text.zone)
    gate = gate or TimeGate(clock, monitor, wait_s)
    recorder = Recorder(database, text, gate, clock=clock, boot=boot, bound=bound)
    recorder.start()
    return recorder


def summariser_of(
    database: Database,
    file: DailyFile,
    cycle_s: int = 600,
    cycles: Mapping[str, float] | None = None,
    on_new: Callable[[], None] = lambda: None,
    *,
    gate: Gate | None = None,
    commit: Callable[[], bool] = lambda: True,
) -> Summariser:
    """Return a summariser; `cycles` has the expected seconds between readings by sensor."""
    known = cycles or {}
    return Summariser(
        database,
        file,
        gate or Gate(),
        cycle_s,
        expected=lambda _unit, sensor: known.get(sensor),
        commit=commit,
        on_new=on_new,
    )
