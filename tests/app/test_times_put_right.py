"""From a clock that is set to the times of readings: the monitor, the recorder and real files."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from interleaving import OpenLock, in_every_order
from stored import BOOT, daily

from kei.app.engine import newest_reading_ms
from kei.config import load
from kei.core.clock import Instant, instant
from kei.core.reading import Reading
from kei.settings.recorder import RecorderSettings
from kei.store.database import Database
from kei.store.recorder import Recorder
from kei.timekeeping import gate, monitor
from kei.timekeeping.gate import TimeGate
from kei.timekeeping.linux import LinuxClock, Timex
from kei.timekeeping.monitor import ClockMonitor

NOW_MS = 1_830_000_000_000  # 2027
YEAR_MS = 365 * 86_400_000


class Bench:
    """A machine without a battery clock, but with a time service."""

    def __init__(self, folder: Path, wait_s: float) -> None:
        (folder / "run/chrony").mkdir(parents=True)
        self.folder = folder
        self.clock = FakeClock(NOW_MS, TOKYO)
        self.kernel_synchronised = False
        self.database = Database.open(folder / "kei.db", self.clock)
        self.monitor = ClockMonitor(self.clock, LinuxClock(self._adjtimex, folder), newest_ms=None)
        self.gate = TimeGate(self.clock, self.monitor, wait_s)
        self.recorder = Recorder(
            self.database, daily(folder), self.gate, clock=self.clock, boot=BOOT
        )
        self.monitor.add_listener(self.gate)
        self.monitor.add_listener(self.recorder)
        self.recorder.start()

    def _adjtimex(self, timex: Timex) -> int:
        timex.maxerror = 1000 if self.kernel_synchronised else 16_000_000
        timex.status = 0 if self.kernel_synchronised else 0x40
        return 0

    def record(self) -> None:
        self.clock.advance(10)
        self.recorder.record([Reading(self.clock.now_ms(), "BR", "E7", Decimal(1), "x")])

    def record_by(self, at: Instant) -> None:
        self.recorder.record([Reading(at.time_ms, "BR", "E7", Decimal(1), "x", at.monotonic_ms)])

    def set_clock_unseen(self, by_ms: int) -> None:
        self.clock.wall_ms += by_ms
        self.kernel_synchronised = True

    def set_clock(self, by_ms: int, *, synchronised: bool) -> None:
        self.clock.wall_ms += by_ms
        self.kernel_synchronised = synchronised
        self.monitor.check()

    @property
    def times(self) -> list[int]:
        """Of the rows, in ms since the beginning."""
        self.recorder.sync()
        with self.database.access() as connection:
            rows = connection.execute("SELECT time_ms FROM readings ORDER BY id").fetchall()
        return [time_ms - NOW_MS for (time_ms,) in rows]

    @property
    def files(self) -> list[str]:
        """The years of the daily files."""
        return [path.name[:4] for path in self.folder.glob("*-home.txt")]

    @property
    def lines(self) -> list[str]:
        files = sorted(self.folder.glob("*-home.txt"))
        return [line[:4] for file in files for line in file.read_text().splitlines()]


@pytest.fixture(params=[0.0])
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(tmp_path, request.param)
    yield bench
    bench.recorder.close()
    bench.database.close()


@pytest.mark.parametrize("by_ms", [YEAR_MS, -YEAR_MS, 3_600_000])
def test_a_time_service_that_sets_the_clock_puts_earlier_readings_right(
    bench: Bench, by_ms: int
) -> None:
    bench.record()
    bench.set_clock(by_ms, synchronised=True)
    bench.record()
    assert bench.times == [10_000 + by_ms, 20_000 + by_ms]


def test_so_does_one_that_takes_its_time_to_say_that_the_clock_is_right(bench: Bench) -> None:
    bench.record()
    bench.set_clock(YEAR_MS, synchronised=False)
    bench.record()
    bench.set_clock(0, synchronised=True)
    assert bench.times == [10_000 + YEAR_MS, 20_000 + YEAR_MS]


def test_readings_between_a_step_and_its_notice_are_right_as_they_are(bench: Bench) -> None:
    bench.record()
    bench.clock.wall_ms += YEAR_MS
    bench.kernel_synchronised = True
    bench.record()
    bench.monitor.check()
    assert bench.times == [10_000 + YEAR_MS, 20_000 + YEAR_MS]


def test_a_setting_that_nobody_noticed_times_nothing(bench: Bench) -> None:
    bench.record()
    bench.clock.advance(10)
    bench.clock.wall_ms += 10 * YEAR_MS
    at = instant(bench.clock)
    bench.clock.wall_ms -= 10 * YEAR_MS  # before the monitor has looked
    bench.record_by(at)
    bench.monitor.check()
    assert bench.lines == ["2027", "2027"]
    assert bench.times == [10_000, 20_000]


def test_what_a_synchronised_clock_has_timed_stays_when_it_is_set_by_hand(bench: Bench) -> None:
    bench.set_clock(0, synchronised=True)
    bench.record()
    bench.set_clock(YEAR_MS, synchronised=False)
    bench.record()
    bench.set_clock(-YEAR_MS, synchronised=True)
    assert bench.times == [10_000, 20_000]


@pytest.mark.parametrize("bench", [120.0], indirect=True)
def test_lines_wait_for_a_clock_that_is_likely_to_be_wrong(bench: Bench) -> None:
    bench.record()
    assert bench.lines == []
    bench.set_clock(YEAR_MS, synchronised=True)
    assert bench.lines == ["2028"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Bench]:
    """One that a time service keeps right, and that shows when its threads wait for each other."""
    bench = Bench(tmp_path, 120.0)
    bench.set_clock(0, synchronised=True)
    vars(bench.gate)["_lock"], vars(bench.recorder)["_lock"] = OpenLock(), OpenLock()
    yield bench
    bench.recorder.close()
    bench.database.close()


@pytest.mark.usefixtures("unmeasured")  # the same at each step
@pytest.mark.parametrize("is_set", ["ahead", "back"])
@pytest.mark.parametrize("writes", ["a reading", "a look"])
def test_a_clock_that_is_ahead_for_some_seconds_times_nothing_whenever_it_is_set(
    machine: Bench, is_set: str, writes: str
) -> None:
    def prepare() -> tuple[Callable[[], object], Callable[[], object]]:
        machine.clock.wall_ms += 10 * YEAR_MS
        machine.kernel_synchronised = False
        if is_set == "back":
            machine.monitor.check()
        write: Callable[[], object] = machine.recorder.tick
        if writes == "a reading":
            write = partial(machine.record_by, instant(machine.clock))
        if is_set == "back":
            return write, partial(machine.set_clock, -10 * YEAR_MS, synchronised=True)
        if writes == "a reading":
            return write, machine.monitor.check
        machine.clock.wall_ms -= 10 * YEAR_MS
        return write, partial(machine.set_clock, 10 * YEAR_MS, synchronised=False)

    def check() -> None:
        machine.record()
        if is_set == "ahead":
            machine.set_clock(-10 * YEAR_MS, synchronised=True)
        machine.monitor.check()
        assert set(machine.files) == {"2027"}

    assert in_every_order(prepare, check, (gate,)) > 50
    assert not [at_ms for at_ms in machine.times if at_ms > YEAR_MS]


def test_a_step_in_the_middle_of_a_look_at_the_clock_is_one_of_the_time_service(
    tmp_path: Path,
) -> None:
    benches: list[Bench] = []

    def prepare() -> tuple[Callable[[], object], Callable[[], object]]:
        folder = tmp_path / str(len(benches))
        (folder / "dev/rtc0").mkdir(parents=True)  # its time is plausible
        bench = Bench(folder, 0.0)
        benches.append(bench)
        bench.record()
        return bench.monitor.check, partial(bench.set_clock_unseen, 3_600_000)

    def check() -> None:
        bench = benches[-1]
        bench.monitor.check()
        assert bench.times == [3_610_000]
        bench.recorder.close()
        bench.database.close()

    assert in_every_order(prepare, check, (monitor,)) > 10


def test_the_newest_reading_is_found_also_when_only_the_text_has_it(
    bench: Bench, tmp_path: Path
) -> None:
    bench.record()
    assert newest_reading_ms(settings_of(tmp_path), bench.clock) == NOW_MS + 10_000


def test_a_value_with_the_meters_own_time_says_nothing_of_this_clock(
    bench: Bench, tmp_path: Path
) -> None:
    bench.record()
    bench.recorder.record_once([Reading(NOW_MS + YEAR_MS, "BR", "EA", Decimal(1), "x")])
    assert newest_reading_ms(settings_of(tmp_path), bench.clock) == NOW_MS + 10_000


def settings_of(folder: Path) -> RecorderSettings:
    path = folder / "jobs.toml"
    path.write_text('[recorder]\nfname_base = "home"\n')
    return load(path, environ={}).recorder


@pytest.mark.parametrize("bench", [120.0], indirect=True)
@pytest.mark.parametrize("committed", [False, True])
def test_lines_that_have_waited_long_enough_are_all_written(
    bench: Bench, *, committed: bool
) -> None:
    for _ in range(3):
        bench.record()
    if committed:
        bench.recorder.commit()
    bench.clock.advance(120)
    bench.recorder.tick()
    assert bench.lines == ["2027"] * 3


@pytest.mark.parametrize("bench", [120.0], indirect=True)
def test_lines_whose_rows_are_in_the_database_get_the_right_time_as_well(bench: Bench) -> None:
    bench.record()
    bench.recorder.commit()
    bench.set_clock(YEAR_MS, synchronised=True)
    assert bench.lines == ["2028"]
    assert bench.times == [10_000 + YEAR_MS]
