"""The recorder while its disks fail: nothing is lost that one place has, and it is told once."""

import contextlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from fakes import FakeClock
from recorder_bench import (
    NEXT_DAY_MS,
    Disk,
    failing_sync,
    in_database,
    in_pending,
    in_text,
    reading,
)
from stored import recorder_of
from structlog.testing import capture_logs

from kei.core.errors import StoreError, TextError
from kei.store.database import Database
from kei.store.recorder import Recorder
from kei.store.text import DailyFile


def test_text_waits_in_order_while_its_disk_fails(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.text_fails = True
    recorder.record([reading(1)])
    recorder.record([reading(2), reading(3)])
    disk.text_fails = False
    recorder.record([reading(4)])
    recorder.commit()
    assert in_text(tmp_path) == in_database(database) == [1, 2, 3, 4]


def test_readings_are_saved_soon_while_the_text_does_not_take_lines(
    recorder: Recorder, database: Database, disk: Disk, clock: FakeClock
) -> None:
    disk.text_fails = True
    recorder.record([reading(1)])
    clock.advance(0.5)
    recorder.tick()
    assert in_pending(database) == [1]
    assert in_database(database) == []  # for no upload and no average


def test_what_waited_gets_its_line_each_time_that_the_text_takes_lines_again(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    for number in (1, 2):
        disk.text_fails = True
        recorder.record([reading(number)])
        recorder.commit()
        assert in_pending(database) == [number]
        disk.text_fails = False
        recorder.commit()
        assert in_pending(database) == []
    assert in_text(tmp_path) == in_database(database) == [1, 2]


def test_the_database_waits_in_order_while_it_fails(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path, clock: FakeClock
) -> None:
    disk.database_fails = True
    recorder.record([reading(1)])
    with pytest.raises(StoreError, match="disk is full"):
        recorder.commit()
    recorder.record([reading(2), reading(3)])
    disk.database_fails = False
    clock.advance(5)
    recorder.tick()
    assert in_text(tmp_path) == in_database(database) == [1, 2, 3]


def test_what_waits_is_written_without_any_new_reading(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path, clock: FakeClock
) -> None:
    disk.text_fails = disk.database_fails = True
    recorder.record([reading(1)])
    disk.text_fails = disk.database_fails = False
    clock.advance(5)
    recorder.tick()
    recorder.commit()
    assert in_text(tmp_path) == in_database(database) == [1]


def test_a_failure_between_two_files_writes_nothing_twice(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    append = DailyFile.append

    def only_today(file: DailyFile, day: date, lines: Sequence[str]) -> tuple[int, int]:
        if day != date(2026, 11, 23):
            raise TextError("the other disk is full")
        return append(file, day, lines)

    with monkeypatch.context() as patch:
        patch.setattr(DailyFile, "append", only_today)
        recorder.record([reading(1), reading(2), reading(3, NEXT_DAY_MS), reading(4)])
    recorder.record([reading(5)])
    assert in_text(tmp_path) == [1, 2, 4, 5, 3]


def test_beyond_the_bound_the_oldest_that_nobody_has_are_dropped_and_counted(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.text_fails = disk.database_fails = True
    for number in range(15):
        recorder.record([reading(number)])
    assert (recorder.status().text.waiting, recorder.status().text.dropped) == (10, 5)
    disk.text_fails = disk.database_fails = False
    recorder.commit()
    assert in_text(tmp_path) == in_database(database) == list(range(5, 15))


def test_beyond_the_bound_nothing_is_lost_that_the_database_has(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path, clock: FakeClock
) -> None:
    disk.text_fails = True
    for number in range(35):
        recorder.record([reading(number)])
        clock.advance(1)
        recorder.tick()
    assert (recorder.status().text.waiting, recorder.status().text.dropped) == (35, 0)
    disk.text_fails = False
    clock.advance(5)
    recorder.tick()
    recorder.commit()
    assert in_text(tmp_path) == in_database(database) == list(range(35))
    assert recorder.status().text.waiting == 0


def test_beyond_the_bound_nothing_is_lost_that_the_text_has(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path, clock: FakeClock
) -> None:
    disk.database_fails = True
    with contextlib.suppress(StoreError):
        recorder.commit()
    for number in range(35):
        recorder.record([reading(number)])
    disk.database_fails = False
    clock.advance(5)
    recorder.tick()
    assert in_text(tmp_path) == in_database(database) == list(range(35))


def test_a_batch_larger_than_the_bound_is_no_loss_while_the_disk_works(
    recorder: Recorder, database: Database, tmp_path: Path
) -> None:
    recorder.record([reading(number) for number in range(2500)])
    recorder.commit()
    assert in_text(tmp_path) == in_database(database) == list(range(2500))


def test_one_error_is_told_for_a_fault_and_one_line_for_its_end(
    recorder: Recorder, disk: Disk
) -> None:
    recorder.record([reading(0)])
    recorder.commit()
    with capture_logs() as logs:
        disk.text_fails = disk.database_fails = True
        for number in range(13):
            recorder.record([reading(number)])
        with contextlib.suppress(StoreError):
            recorder.commit()
        disk.text_fails = disk.database_fails = False
        recorder.sync()
    assert [(entry["event"], entry.get("to"), entry["log_level"]) for entry in logs] == [
        ("recording_failing", "text", "error"),
        ("recording_spool_full", None, "warning"),
        ("recording_failing", "database", "warning"),
        ("recording_resumed", "text", "info"),
        ("recording_resumed", "database", "info"),
    ]
    assert logs[0]["reason"] == "home.txt: No space left on device"
    assert logs[3]["dropped"] == 3


def test_a_sync_that_keeps_failing_is_told_once_although_writing_works(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, text: DailyFile
) -> None:
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(text, "sync", failing_sync)
        for number in range(3):
            recorder.record([reading(number)])
            recorder.sync()
    assert [entry["event"] for entry in logs] == ["recording_failing"]


def test_status_counts_both_places(recorder: Recorder, disk: Disk) -> None:
    recorder.record([reading(1), reading(2)])
    recorder.commit()
    disk.database_fails = True
    recorder.record([reading(3)])
    with pytest.raises(StoreError):
        recorder.commit()
    status = recorder.status()
    assert (status.text.written, status.text.waiting, status.text.fault) == (3, 0, None)
    assert (status.database.written, status.database.waiting) == (2, 1)
    assert status.database.fault == "kei.db: disk is full"


def test_a_fault_leaves_the_status_when_it_is_over(recorder: Recorder, disk: Disk) -> None:
    disk.database_fails = True
    recorder.record([reading(1)])
    with pytest.raises(StoreError):
        recorder.commit()
    disk.database_fails = False
    recorder.commit()
    assert recorder.status().database.fault is None


def test_closing_makes_a_last_attempt(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.text_fails = True
    recorder.record([reading(1)])
    disk.text_fails = False
    recorder.close()
    assert in_text(tmp_path) == in_database(database) == [1]


def test_closing_tells_what_is_lost(recorder: Recorder, disk: Disk) -> None:
    disk.text_fails = disk.database_fails = True
    recorder.record([reading(1), reading(2)])
    with capture_logs() as logs:
        recorder.close()
    [entry] = [entry for entry in logs if entry["event"] == "readings_lost"]
    assert entry["count"] == 2
    assert entry["reason"] == "home.txt: No space left on device"


def test_what_one_place_has_is_not_lost_at_the_end(
    recorder: Recorder, database: Database, disk: Disk, text: DailyFile, tmp_path: Path
) -> None:
    disk.text_fails = True
    recorder.record([reading(1), reading(2)])
    recorder.close()
    disk.text_fails = False
    recorder_of(database, text)
    assert in_text(tmp_path) == in_database(database) == [1, 2]
