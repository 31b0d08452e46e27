"""Summaries: each window once and in order, after stops, crashes and clock steps too."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes import TOKYO, FakeClock
from programs import PATIENCE_S
from stored import Gate, add_readings, add_summaries, computed, summariser_of
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError
from kei.core.reading import Completeness, Reading, Summary
from kei.settings.upload import What
from kei.store import dirty_windows
from kei.store.database import CHECK_EVERY_S, Database
from kei.store.dirty_windows import mark_dirty
from kei.store.queue import UploadQueue
from kei.store.reading_table import ReadingTable
from kei.store.summary_table import SummaryTable
from kei.store.text import DailyFile

NOON = datetime(2026, 11, 23, 12, tzinfo=TOKYO)
NAME = "sum20261123-home.txt"
MINUTE_MS = 60_000


class Bench:
    """A summariser over real files, that can be stopped and started again."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.start()

    def start(self) -> None:
        self.database = Database.open(self.folder / "kei.db", self.clock)
        self.file = DailyFile(self.folder, "home", "sum", self.clock.zone)
        self.summariser = summariser_of(self.database, self.file, cycles={"E7": 60, "E0": 300})

    def stop(self) -> None:
        self.file.close()
        self.database.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def measure(self, at: datetime, *values: int, sensor: str = "E7") -> None:
        time_ms = epoch_ms(at)
        add_readings(
            self.database, [Reading(time_ms, "BR", sensor, Decimal(value), "x") for value in values]
        )

    def run_at(self, at: datetime) -> None:
        self.clock.wall_ms = epoch_ms(at)
        self.summariser.run()

    def known(self) -> list[tuple[int, str, str, int, Completeness]]:
        """Minutes after noon, sensor, average, count and state of the windows in the database."""
        rows = UploadQueue(self.database).pending("anyone", What.SUMMARY, 100)
        items = [row.item for row in rows if isinstance(row.item, Summary)]
        return [
            ((s.start_ms - epoch_ms(NOON)) // MINUTE_MS, s.sensor, str(s.average), s.count, s.state)
            for s in items
        ]

    def lines(self, name: str = NAME) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    bench = Bench(tmp_path, clock)
    yield bench
    bench.stop()


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_a_finished_window_is_written_with_its_start_and_average(bench: Bench) -> None:
    bench.measure(after(1), 10)
    bench.measure(after(9), 15)
    bench.run_at(after(10))
    assert bench.lines() == ["2026/11/23 12:00,BR,E7,12.5"]


def test_an_import_of_months_delays_no_window_that_ends_meanwhile(bench: Bench) -> None:
    bench.run_at(after(0))
    for day in (9, 6, 3):  # 432 windows each, and more than 1000 together
        begin = NOON - timedelta(days=day)
        for window in range(432):
            bench.measure(begin + timedelta(minutes=10 * window), window)
    counts = []
    for run in (10, 20, 30):
        bench.measure(after(run - 1), run)
        bench.run_at(after(run))
        assert bench.lines()[-1].endswith(f",{run}")
        with bench.database.access() as connection:
            counts += connection.execute("SELECT count(*), min(start_ms) FROM summaries").fetchone()
    first = epoch_ms(NOON - timedelta(days=9))
    assert counts[0] == 1000 + 1
    assert counts[1] > first  # the newest ones come first
    assert counts[2:] == [3 * 432 + 2, first, 3 * 432 + 3, first]


def test_a_window_that_still_runs_is_left_alone(bench: Bench) -> None:
    bench.measure(after(1), 10)
    bench.run_at(after(9.99))
    assert bench.lines() == []


def test_running_again_writes_nothing_again(bench: Bench) -> None:
    bench.measure(after(1), 10)
    for _ in range(3):
        bench.run_at(after(10))
    assert len(bench.lines()) == 1


def test_every_series_has_a_line(bench: Bench) -> None:
    bench.measure(after(1), 10)
    bench.measure(after(1), 20, sensor="E0")
    bench.run_at(after(10))
    assert bench.lines() == ["2026/11/23 12:00,BR,E7,10", "2026/11/23 12:00,BR,E0,20"]


def test_a_restart_in_the_middle_of_a_window_changes_nothing(bench: Bench) -> None:
    bench.measure(after(1), 10)
    bench.run_at(after(5))
    bench.restart()
    bench.measure(after(9), 20)
    bench.run_at(after(10))
    assert bench.lines() == ["2026/11/23 12:00,BR,E7,15"]


def test_windows_missed_while_stopped_are_made_up_for_in_order(bench: Bench) -> None:
    bench.measure(after(25), 3)
    bench.measure(after(1), 1)
    bench.restart()
    bench.run_at(after(60))
    assert bench.lines() == ["2026/11/23 12:00,BR,E7,1", "2026/11/23 12:20,BR,E7,3"]


def test_lines_go_to_the_file_of_the_windows_own_date(bench: Bench) -> None:
    bench.measure(after(12 * 60 - 5), 1)
    bench.measure(after(12 * 60 + 5), 2)
    bench.run_at(after(13 * 60))
    assert bench.lines() == ["2026/11/23 23:50,BR,E7,1"]
    assert bench.lines("sum20261124-home.txt") == ["2026/11/24 00:00,BR,E7,2"]


def test_a_year_without_readings_is_stepped_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.measure(after(-365 * 24 * 60), 1)
    bench.measure(after(1), 2)
    visited: list[int] = []
    compute = SummaryTable.compute

    def counted(
        table: SummaryTable, connection: sqlite3.Connection, start_ms: int, end_ms: int
    ) -> list[Summary]:
        visited.append(start_ms)
        return compute(table, connection, start_ms, end_ms)

    monkeypatch.setattr(SummaryTable, "compute", counted)
    bench.run_at(after(10))
    assert len(visited) == 2


def test_a_backlog_longer_than_one_run_is_finished_by_the_next(bench: Bench) -> None:
    begin = after(-1200 * 10)
    for number in range(1200):
        bench.measure(begin + timedelta(minutes=10 * number), number)
    bench.run_at(NOON)
    bench.run_at(NOON)
    written = [
        line for file in sorted(bench.folder.glob("sum*")) for line in bench.lines(file.name)
    ]
    assert [int(line.split(",")[3]) for line in written] == list(range(1200))


def test_readings_that_come_late_change_the_database_and_no_line(bench: Bench) -> None:
    bench.measure(after(1), 1)
    bench.run_at(after(30))
    bench.measure(after(2), 99)
    bench.measure(after(15), 7)
    bench.run_at(after(40))
    assert bench.lines() == ["2026/11/23 12:00,BR,E7,1"]
    assert bench.known() == [
        (0, "E7", "50", 2, Completeness.RECOVERED),
        (10, "E7", "7", 1, Completeness.RECOVERED),
    ]


def test_a_window_that_lost_its_readings_is_forgotten(bench: Bench) -> None:
    bench.measure(after(1), 1)
    bench.measure(after(11), 2)
    bench.run_at(after(30))
    with bench.database.transaction() as connection:
        connection.execute("DELETE FROM readings WHERE id = 1")
        mark_dirty(connection, [epoch_ms(after(1))])
    bench.run_at(after(40))
    assert bench.known() == [(10, "E7", "2", 1, Completeness.PARTIAL)]


def test_a_window_keeps_what_was_computed_of_readings_that_have_been_pruned(bench: Bench) -> None:
    for minute in range(5):
        bench.measure(after(minute), minute)
    bench.measure(after(0), 30, sensor="EA")
    bench.measure(after(8 * 24 * 60), 1)
    bench.run_at(after(8 * 24 * 60 + 20))
    known = bench.known()
    assert ReadingTable(bench.database).prune(epoch_ms(after(24 * 60)), 500) == 6
    late = [
        Reading(epoch_ms(after(0)), "BR", sensor, Decimal(7), "x", recovered=True)
        for sensor in ("EA", "EB")
    ]
    add_readings(bench.database, late)
    bench.run_at(after(8 * 24 * 60 + 30))
    assert bench.known() == [
        (0, "E7", "2", 5, Completeness.PARTIAL),
        (0, "EA", "7", 1, Completeness.RECOVERED),
        *known[2:],
        (0, "EB", "7", 1, Completeness.RECOVERED),
    ]


def test_what_is_made_good_of_one_series_says_nothing_of_the_others(bench: Bench) -> None:
    for minute in range(20):
        if minute < 8 or minute > 9:
            bench.measure(after(minute), 1)
    bench.run_at(after(30))
    made_good = [
        Reading(epoch_ms(after(minute)), "BR", "EA", Decimal(7), "x", recovered=True)
        for minute in (0, 30)
    ]
    add_readings(bench.database, made_good)
    bench.run_at(after(40))
    assert bench.known() == [
        (0, "E7", "1", 8, Completeness.PARTIAL),
        (10, "E7", "1", 10, Completeness.COMPLETE),
        (30, "EA", "7", 1, Completeness.RECOVERED),
        (0, "EA", "7", 1, Completeness.RECOVERED),
    ]


def test_instants_that_are_apart_are_computed_apart(bench: Bench) -> None:
    bench.measure(after(240), 1)
    bench.run_at(after(300))
    with bench.database.transaction() as connection:
        mark_dirty(connection, [epoch_ms(after(minute)) for minute in (60, 0, 1, 2, 30, 61)])
    spans = [(each.from_ms, each.to_ms) for each in dirty_windows.dirty_ranges(bench.database)]
    zero = epoch_ms(NOON)
    assert [((a - zero) / MINUTE_MS, (b - 1 - zero) / MINUTE_MS) for a, b in spans] == [
        (0, 2),
        (30, 30),
        (60, 61),
    ]


def test_a_window_with_nine_tenths_of_its_readings_is_complete(bench: Bench) -> None:
    for minute in (0, 1, 2, 3, 5, 6, 7, 8, 9):
        bench.measure(after(minute), 1)
    for minute in (10, 11, 12, 15, 16, 17, 18, 19):
        bench.measure(after(minute), 1)
    bench.run_at(after(30))
    states = [state for _, _, _, _, state in bench.known()]
    assert states == [Completeness.COMPLETE, Completeness.PARTIAL]


def test_a_later_line_of_an_earlier_window_does_not_stop_the_lines_that_follow(
    bench: Bench,
) -> None:
    bench.measure(after(1), 1)
    bench.run_at(after(10))
    bench.measure(after(2), 1, sensor="E0")
    bench.run_at(after(20))
    bench.measure(after(21), 2)
    bench.run_at(after(30))
    assert bench.lines() == ["2026/11/23 12:00,BR,E7,1", "2026/11/23 12:20,BR,E7,2"]


def test_a_clock_that_went_back_makes_no_window_twice(bench: Bench) -> None:
    for minutes in (1, 11, 21):
        bench.measure(after(minutes), minutes)
    bench.run_at(after(30))
    written = bench.lines()
    for minutes in (2, 12, 22, 32):
        bench.measure(after(minutes), 99)
        bench.run_at(after(minutes + 8.5))
    assert bench.lines() == [*written, "2026/11/23 12:30,BR,E7,99"]


def test_summaries_go_on_after_a_clock_that_was_years_ahead(bench: Bench) -> None:
    ahead = NOON.replace(year=2036)
    bench.measure(ahead, 1)
    bench.run_at(ahead + timedelta(minutes=10))
    bench.run_at(after(0))
    bench.measure(after(1), 2)
    bench.run_at(after(10))
    assert bench.lines() == ["2026/11/23 12:00,BR,E7,2"]


def test_a_crash_before_the_line_was_written_is_made_up_for(bench: Bench) -> None:
    start = epoch_ms(NOON)
    bench.measure(after(1), 1)
    add_summaries(bench.database, computed(bench.database, start, start + 10 * MINUTE_MS))
    bench.restart()
    bench.measure(after(11), 2)
    bench.run_at(after(20))
    assert bench.lines() == ["2026/11/23 12:00,BR,E7,1", "2026/11/23 12:10,BR,E7,2"]


def test_a_crash_after_the_line_was_written_writes_it_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.measure(after(1), 1)
    bench.measure(after(1), 2, sensor="E0")
    crash_before_the_mark(bench, monkeypatch)
    bench.restart()
    bench.measure(after(11), 3)
    bench.run_at(after(20))
    assert bench.lines() == [
        "2026/11/23 12:00,BR,E7,1",
        "2026/11/23 12:00,BR,E0,2",
        "2026/11/23 12:10,BR,E7,3",
    ]


@pytest.mark.parametrize("kept", range(3 * len("2026/11/23 12:00,BR,E7,1\n") + 1))
def test_a_crash_within_the_lines_completes_them(
    kept: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sensor in ("E1", "E7", "E0"):
        bench.measure(after(1), 1, sensor=sensor)
    crash_before_the_mark(bench, monkeypatch)
    whole = (bench.folder / NAME).read_bytes()
    (bench.folder / NAME).write_bytes(whole[:kept])
    bench.restart()
    with capture_logs():
        bench.run_at(after(11))
    assert (bench.folder / NAME).read_bytes() == whole


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_windows_of_seconds_that_look_alike_are_told_apart_after_a_crash(
    kept: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_with_cycle_1s() -> None:
        bench.restart()
        bench.summariser = summariser_of(bench.database, bench.file, 1)

    start_with_cycle_1s()
    bench.measure(NOON, 5)
    bench.run_at(NOON + timedelta(seconds=1))
    bench.measure(NOON + timedelta(seconds=1), 5)
    bench.measure(NOON + timedelta(seconds=2), 5)
    crash_before_the_mark(bench, monkeypatch)
    line = "2026/11/23 12:00,BR,E7,5\n"
    (bench.folder / NAME).write_text(line * (1 + kept))
    start_with_cycle_1s()
    bench.run_at(NOON + timedelta(seconds=4))
    assert (bench.folder / NAME).read_text() == line * 3


@pytest.mark.parametrize("changed", ["removed", "shortened", "begun anew"])
def test_a_file_that_somebody_has_changed_gets_the_lines_that_it_lacks(
    changed: str, bench: Bench
) -> None:
    bench.measure(after(1), 1)
    bench.run_at(after(10))
    path = bench.folder / NAME
    bench.stop()
    match changed:
        case "removed":
            path.unlink()
        case "shortened":
            os.truncate(path, 5)
        case "begun anew":
            path.write_text("somebody else's line, long enough to go beyond the mark\n" * 9)
    bench.start()
    bench.measure(after(11), 2)
    with capture_logs():
        bench.run_at(after(20))
    assert bench.lines()[-1] == "2026/11/23 12:10,BR,E7,2"


def crash_before_the_mark(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(table: SummaryTable, until_id: int, day: date, end: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SummaryTable, "lines_written", crash)
        with pytest.raises(KeyboardInterrupt):
            bench.run_at(after(10))


def test_a_database_that_lost_its_last_minute_writes_no_line_twice(bench: Bench) -> None:
    bench.measure(after(1), 1)
    bench.measure(after(11), 2)
    bench.run_at(after(20))
    with bench.database.transaction() as connection:
        connection.execute("DELETE FROM state")
        connection.execute("DELETE FROM summaries WHERE id = 2")
    bench.restart()
    bench.measure(after(21), 3)
    bench.run_at(after(30))
    assert [line.split(",")[3] for line in bench.lines()] == ["1", "2", "3"]


@pytest.mark.parametrize("is_running", [True, False])
def test_a_database_in_place_of_a_lost_one_writes_no_line_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_running: bool
) -> None:
    def measure(sensors: str) -> None:
        for minute in (1, 11, 21):
            for sensor in sensors:
                bench.measure(after(minute), minute, sensor=sensor)

    measure("ABC")
    bench.run_at(after(30))
    monkeypatch.setattr("kei.store.summaries._WRITTEN_AT_ONCE", 2)
    if not is_running:
        bench.stop()
    for path in bench.folder.glob("kei.db*"):
        path.unlink()
    if is_running:
        monkeypatch.setattr("kei.store.database.rescue", lambda *_: False)
        bench.clock.advance(CHECK_EVERY_S)
        bench.database.check()
    else:
        bench.start()
    measure("CBA")  # as recovery finds them in the text
    bench.measure(after(31), 31)
    bench.run_at(after(40))
    keys = [line.rpartition(",")[0] for line in bench.lines()]
    assert len(keys) == len(set(keys)) == 10


def test_a_failing_text_file_is_told_once_and_made_up_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: DailyFile, day: date, lines: Sequence[str]) -> None:
        raise StoreError("sum.txt: No space left on device")

    with capture_logs() as logs:
        with monkeypatch.context() as patch:
            patch.setattr(DailyFile, "append", fail)
            for minutes in (1, 11, 21):
                bench.measure(after(minutes), minutes)
                bench.run_at(after(minutes + 9))
        bench.run_at(after(31))
    assert [line.split(",")[3] for line in bench.lines()] == ["1", "11", "21"]
    assert [entry["event"] for entry in logs] == ["summaries_failing", "summaries_resumed"]


def test_a_mark_that_failed_writes_no_line_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(table: SummaryTable, until_id: int, day: date, end: int) -> None:
        raise StoreError("kei.db: disk is full")

    bench.measure(after(1), 1)
    with capture_logs(), monkeypatch.context() as patch:
        patch.setattr(SummaryTable, "lines_written", fail)
        bench.run_at(after(10))
    bench.run_at(after(11))
    assert len(bench.lines()) == 1


def test_somebody_hears_of_new_windows_and_of_nothing_else(bench: Bench) -> None:
    heard: list[int] = []
    bench.summariser = summariser_of(
        bench.database, bench.file, on_new=lambda: heard.append(len(bench.lines()))
    )
    bench.measure(after(1), 1)
    for minutes in (5, 10, 11, 20):
        bench.run_at(after(minutes))
    assert heard == [1]


def test_the_repeated_hour_is_written_twice_with_the_same_label(
    tmp_path: Path, clock: FakeClock
) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    bench = Bench(tmp_path, FakeClock(zone=berlin))
    for fold in (0, 1):
        bench.measure(datetime(2026, 10, 25, 2, 5, fold=fold, tzinfo=berlin), fold)
    bench.run_at(datetime(2026, 10, 25, 4, tzinfo=berlin))
    bench.stop()
    assert bench.lines("sum20261025-home.txt") == [
        "2026/10/25 02:00,BR,E7,0",
        "2026/10/25 02:00,BR,E7,1",
    ]


@pytest.mark.parametrize("cycle_s", [0, -600, 7, 86_401])
def test_a_cycle_that_does_not_divide_a_day_is_refused(cycle_s: int, bench: Bench) -> None:
    with pytest.raises(ValueError, match="does not divide a day"):
        summariser_of(bench.database, bench.file, cycle_s)


def test_a_reading_that_comes_while_its_window_is_computed_opens_it_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.measure(after(1), 10)
    compute = SummaryTable.compute
    threads: list[threading.Thread] = []

    def and_then_a_reading_comes(
        table: SummaryTable, connection: sqlite3.Connection, start_ms: int, end_ms: int
    ) -> list[Summary]:
        found = compute(table, connection, start_ms, end_ms)
        if not threads:
            threads.append(threading.Thread(target=lambda: bench.measure(after(9), 20)))
            threads[0].start()
            threads[0].join(0.2)
        return found

    monkeypatch.setattr(SummaryTable, "compute", and_then_a_reading_comes)
    bench.run_at(after(10))
    threads[0].join(PATIENCE_S)
    bench.run_at(after(11))
    assert bench.known() == [(0, "E7", "15", 2, Completeness.RECOVERED)]


def test_a_reading_that_comes_while_a_window_is_computed_again_is_in_it_as_well(
    bench: Bench,
) -> None:
    bench.measure(after(1), 10)
    bench.run_at(after(20))
    bench.measure(after(2), 20)
    dirty = dirty_windows.dirty_ranges(bench.database)
    with bench.database.transaction() as connection:
        rest = dirty_windows.shorten(connection, dirty[0], dirty[0].to_ms)
    bench.measure(after(2), 30)  # the very same range
    assert rest is None
    bench.run_at(after(30))
    assert bench.known() == [(0, "E7", "20", 3, Completeness.RECOVERED)]


@pytest.mark.parametrize("steady", [False, True])
def test_no_window_is_over_by_a_clock_that_was_just_set(bench: Bench, *, steady: bool) -> None:
    bench.measure(after(1), 10)
    bench.summariser = summariser_of(bench.database, bench.file, gate=Gate(is_steady=steady))
    bench.run_at(after(10 * 365 * 24 * 60))
    assert bool(bench.lines()) is steady
    assert (bench.database.get_state("summary_done_until") is not None) is steady


def test_a_clock_that_is_likely_to_be_behind_takes_nothing_back(bench: Bench) -> None:
    bench.measure(after(1), 10)
    bench.run_at(after(10))
    done = bench.database.get_state("summary_done_until")
    gate = Gate(is_likely_wrong=True)
    bench.summariser = summariser_of(bench.database, bench.file, gate=gate)
    bench.run_at(after(-10 * 365 * 24 * 60))
    assert bench.database.get_state("summary_done_until") == done


def test_averages_wait_while_readings_wait_for_their_lines(bench: Bench) -> None:
    bench.measure(after(1), 10)
    bench.summariser = summariser_of(bench.database, bench.file, commit=lambda: False)
    bench.run_at(after(10))
    assert bench.lines() == []


def test_a_window_with_a_value_made_good_later_says_so(database: Database) -> None:
    start_ms = 1_790_000_400_000
    made_good = Reading(start_ms, "BR", "EA", Decimal("1.5"), "x", recovered=True)
    live = Reading(start_ms, "BR", "E0", Decimal("1.5"), "x")
    add_readings(database, [made_good, live])
    found = {each.sensor: each for each in computed(database, start_ms, start_ms + 600_000)}
    assert (found["EA"].state, found["EA"].recovered) == (Completeness.RECOVERED, True)
    assert (found["E0"].state, found["E0"].recovered) == (Completeness.COMPLETE, False)
