"""Summaries: each window once, of all its readings, after stops and clock steps too."""

import sqlite3
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from programs import PATIENCE_S
from stored import Gate, add_readings, computed, summariser_of
from summary_bench import MINUTE_MS, NOON, Bench, after

from kei.core.clock import epoch_ms
from kei.core.reading import Completeness, Reading, Summary
from kei.store import dirty_windows
from kei.store.database import Database
from kei.store.dirty_windows import mark_dirty
from kei.store.reading_table import ReadingTable
from kei.store.summary_table import SummaryTable


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


def test_somebody_hears_of_new_windows_and_of_nothing_else(bench: Bench) -> None:
    heard: list[int] = []
    bench.summariser = summariser_of(
        bench.database, bench.file, on_new=lambda: heard.append(len(bench.lines()))
    )
    bench.measure(after(1), 1)
    for minutes in (5, 10, 11, 20):
        bench.run_at(after(minutes))
    assert heard == [1]


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
