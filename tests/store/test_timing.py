"""A machine without a clock: readings wait, are timed again, and end up at the right time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from stored import BOOT, daily, recorder_of
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.reading import Reading
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.queue import UploadQueue
from kei.timekeeping.gate import TimeGate
from kei.timekeeping.monitor import ClockStatus

THEN_MS = epoch_ms(datetime(2020, 1, 1, 9, tzinfo=TOKYO))  # what the clock says after a boot
NOW_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=TOKYO))
STEP_S = (NOW_MS - THEN_MS) / 1000
WAIT_S = 120.0


@dataclass
class Monitor:
    synchronised: bool = False
    likely_wrong: bool = True

    @property
    def status(self) -> ClockStatus:
        return ClockStatus(self.synchronised, self.likely_wrong)


class Machine:
    """A machine that has been booted, and a kei on it."""

    def __init__(self, folder: Path, monitor: Monitor | None = None) -> None:
        self.folder = folder
        self.clock = FakeClock(THEN_MS, TOKYO)
        self.monitor = monitor or Monitor()
        self.start()

    def start(self, boot: str = BOOT) -> None:
        self.database = Database.open(self.folder / "kei.db", self.clock)
        self.text = daily(self.folder)
        self.gate = TimeGate(self.clock, self.monitor, WAIT_S)
        self.recorder = recorder_of(
            self.database, self.text, clock=self.clock, gate=self.gate, boot=boot
        )

    def stop(self) -> None:
        self.recorder.close()
        self.database.close()

    def killed(self) -> None:
        assert self.database._connection is not None
        self.database._connection.close()
        self.text.close()

    def measure(self, value: int) -> None:
        reading = Reading(self.clock.now_ms(), "BR", "E7", Decimal(value), "x")
        self.recorder.record([reading])

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.recorder.tick()

    def set_clock(self, by_s: float = STEP_S) -> None:
        self.clock.wall_ms += round(by_s * 1000)

    def synchronise(self) -> None:
        self.monitor.synchronised, self.monitor.likely_wrong = True, False
        self.gate.synchronised()
        self.recorder.synchronised()

    def notice_step(self) -> None:
        self.gate.stepped()
        self.recorder.synchronised()

    def lines(self) -> list[str]:
        return [
            line for path in sorted(self.folder.glob("*.txt")) for line in path.read_text().split()
        ]

    def rows(self) -> list[tuple[int, int]]:
        """Seconds since now, and value, of what is in the database."""
        self.recorder.commit()
        rows = UploadQueue(self.database).pending("anyone", What.READINGS, 1000)
        items = [row.item for row in rows if isinstance(row.item, Reading)]
        return [((item.time_ms - NOW_MS) // 1000, int(item.value)) for item in items]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.stop()


def test_lines_wait_for_the_clock_and_get_the_right_time(machine: Machine) -> None:
    machine.measure(1)
    machine.pass_time(10)
    machine.measure(2)
    assert machine.lines() == []
    machine.set_clock()
    machine.synchronise()
    machine.measure(3)
    assert machine.lines() == [
        "2026/11/23", "12:00:00,BR,E7,1,x",
        "2026/11/23", "12:00:10,BR,E7,2,x",
        "2026/11/23", "12:00:10,BR,E7,3,x",
    ]  # fmt: skip
    assert machine.rows() == [(0, 1), (10, 2), (10, 3)]


def test_rows_wait_as_well_and_get_the_right_time(machine: Machine) -> None:
    machine.measure(1)
    machine.pass_time(1)
    assert machine.rows() == []
    assert machine.recorder.status().pending == 1
    machine.set_clock()
    machine.synchronise()
    assert machine.rows() == [(0, 1)]
    assert machine.recorder.status().pending == 0


def test_a_reading_between_the_step_and_its_notice_changes_nothing_about_those_before(
    machine: Machine,
) -> None:
    machine.monitor.likely_wrong = True
    machine.measure(1)
    machine.pass_time(1)
    machine.set_clock()
    machine.monitor.likely_wrong = False
    machine.measure(2)
    machine.pass_time(0.5)
    machine.notice_step()  # and the kernel does not say that it is synchronised
    assert machine.rows() == [(0, 1), (1, 2)]
    assert len(machine.lines()) == 4


def test_a_reading_that_a_stalled_disk_has_kept_waiting_over_a_step_is_right(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, Monitor(synchronised=False, likely_wrong=False))
    clock = machine.clock
    made = Reading(
        clock.now_ms(), "BR", "E7", Decimal(1), "x", monotonic_ms=round(clock.monotonic() * 1000)
    )
    clock.advance(30)
    machine.set_clock()
    machine.synchronise()
    machine.recorder.record([made])
    assert machine.rows() == [(0, 1)]
    assert machine.lines() == ["2026/11/23", "12:00:00,BR,E7,1,x"]
    machine.stop()


def test_lines_wait_half_a_second_for_a_step_to_be_noticed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, Monitor(synchronised=True, likely_wrong=False))
    machine.set_clock()
    machine.measure(1)
    assert machine.lines() == []
    machine.synchronise()
    assert machine.lines() == ["2026/11/23", "12:00:00,BR,E7,1,x"]
    machine.stop()


def test_after_two_minutes_lines_wait_no_longer_and_one_warning_says_so(
    machine: Machine,
) -> None:
    machine.measure(1)
    with capture_logs() as logs:
        machine.pass_time(119)
        assert machine.lines() == []
        machine.pass_time(1)
        machine.measure(2)
        machine.pass_time(500)
    assert len(machine.lines()) == 4
    assert machine.lines()[0] == "2020/01/01"
    warnings = [e["event"] for e in logs if e["log_level"] == "warning"]
    assert warnings == ["clock_not_set"]


def test_a_clock_that_is_set_after_that_puts_the_database_right_and_no_line(
    machine: Machine,
) -> None:
    machine.measure(1)
    machine.pass_time(WAIT_S)
    machine.set_clock()
    machine.synchronise()
    machine.measure(2)
    assert machine.lines() == [
        "2020/01/01", "09:00:00,BR,E7,1,x",
        "2026/11/23", "12:02:00,BR,E7,2,x",
    ]  # fmt: skip
    assert machine.rows() == [(0, 1), (120, 2)]


def test_dated_values_keep_their_own_time(machine: Machine) -> None:
    machine.recorder.record_once([Reading(NOW_MS - 5000, "BR", "EA", Decimal(7), "x")])
    machine.measure(1)
    machine.set_clock()
    machine.synchronise()
    assert machine.rows() == [(-5, 7), (0, 1)]


def test_a_kill_while_lines_wait_loses_nothing(machine: Machine) -> None:
    machine.measure(1)
    machine.pass_time(0.5)
    machine.killed()
    machine.start()
    machine.measure(2)
    machine.pass_time(0.5)
    assert machine.lines() == []
    machine.set_clock()
    machine.synchronise()
    assert machine.rows() == [(0, 1), (0, 2)]
    assert machine.lines() == [
        "2026/11/23", "12:00:00,BR,E7,1,x",
        "2026/11/23", "12:00:00,BR,E7,2,x",
    ]  # fmt: skip


def test_a_clock_that_was_set_while_kei_did_not_run_puts_its_readings_right(
    machine: Machine,
) -> None:
    machine.measure(1)
    machine.pass_time(0.5)
    machine.killed()
    machine.set_clock()
    machine.monitor.synchronised, machine.monitor.likely_wrong = True, False
    machine.start()
    assert machine.rows() == [(0, 1)]
    assert machine.lines() == ["2026/11/23", "12:00:00,BR,E7,1,x"]


def test_nothing_is_known_of_the_clock_of_another_boot(machine: Machine) -> None:
    machine.measure(1)
    machine.pass_time(0.5)
    machine.killed()
    machine.set_clock()
    machine.monitor.synchronised, machine.monitor.likely_wrong = True, False
    machine.start("another boot")
    assert machine.rows() == [(-round(STEP_S), 1)]


def test_a_step_of_a_wrong_clock_puts_right_what_came_before_it(machine: Machine) -> None:
    machine.measure(1)
    machine.pass_time(1)
    machine.set_clock(STEP_S - 3600)
    machine.notice_step()
    machine.measure(2)
    machine.set_clock(3600)
    machine.synchronise()
    assert machine.rows() == [(0, 1), (1, 2)]


def test_a_step_of_a_clock_that_seemed_right_moves_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, Monitor(synchronised=False, likely_wrong=False))
    machine.measure(1)
    machine.set_clock()
    machine.notice_step()
    machine.measure(2)
    machine.synchronise()
    assert machine.rows() == [(-round(STEP_S), 1), (0, 2)]
    assert machine.lines()[0] == "2020/01/01"
    machine.stop()


def test_a_reading_between_the_step_and_its_being_noticed_is_not_moved(
    machine: Machine,
) -> None:
    machine.measure(1)
    machine.set_clock()
    machine.measure(2)
    machine.synchronise()
    assert machine.rows() == [(0, 1), (0, 2)]


def test_what_waits_for_the_clock_waits_on_over_a_stop(machine: Machine) -> None:
    machine.measure(1)
    machine.stop()
    assert machine.lines() == []
    machine.set_clock()
    machine.monitor.synchronised, machine.monitor.likely_wrong = True, False
    machine.start()
    assert machine.lines() == ["2026/11/23", "12:00:00,BR,E7,1,x"]
    assert machine.rows() == [(0, 1)]


def test_a_machine_with_a_right_clock_waits_for_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, Monitor(synchronised=True, likely_wrong=False))
    machine.measure(1)
    assert len(machine.lines()) == 2
    machine.stop()


def test_moved_readings_are_found_at_their_new_time(machine: Machine) -> None:
    machine.measure(1)
    machine.pass_time(1)
    machine.set_clock()
    machine.synchronise()
    machine.recorder.commit()
    table = machine.recorder._committer._table
    assert table.has("BR", "E7", NOW_MS)
    assert table.next_ms(0) == NOW_MS
