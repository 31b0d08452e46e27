"""The lines of summaries: each once and in order, after crashes and lost databases too."""

import os
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes import FakeClock
from stored import add_summaries, computed, summariser_of
from structlog.testing import capture_logs
from summary_bench import MINUTE_MS, NAME, NOON, Bench, after

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError
from kei.store.database import CHECK_EVERY_S
from kei.store.summary_table import SummaryTable
from kei.store.text import DailyFile


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
