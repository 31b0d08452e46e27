"""The recorder: both places get everything once and in order, whatever fails meanwhile."""

import threading
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO
from structlog.testing import capture_logs

from kei.clock import epoch_ms
from kei.errors import StoreError
from kei.reading import Reading
from kei.store.database import Database
from kei.store.queue import Kind, UploadQueue
from kei.store.recorder import Recorder
from kei.store.text import DailyFile

NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=TOKYO))
NEXT_DAY_MS = epoch_ms(datetime(2026, 11, 24, tzinfo=TOKYO))


class Disk:
    """Makes the text files, the database or both fail while it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.text_fails = False
        self.database_fails = False
        append, add_readings, has = DailyFile.append, Database.add_readings, Database.has

        def failing_append(file: DailyFile, day: date, lines: Sequence[str]) -> None:
            if self.text_fails:
                raise StoreError("home.txt: No space left on device")
            append(file, day, lines)

        def failing_add(database: Database, readings: Sequence[Reading]) -> None:
            if self.database_fails:
                raise StoreError("kei.db: disk is full")
            add_readings(database, readings)

        def failing_has(database: Database, unit: str, sensor: str, time_ms: int) -> bool:
            if self.database_fails:
                raise StoreError("kei.db: disk is full")
            return has(database, unit, sensor, time_ms)

        monkeypatch.setattr(DailyFile, "append", failing_append)
        monkeypatch.setattr(Database, "add_readings", failing_add)
        monkeypatch.setattr(Database, "has", failing_has)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def recorder(database: Database, text: DailyFile) -> Iterator[Recorder]:
    recorder = Recorder(database, text, bound=10)
    yield recorder
    recorder.close()


def reading(number: int, at: int = NOON_MS) -> Reading:
    return Reading(at + number * 1000, "BR", "E7", Decimal(number), "x")


def in_text(folder: Path) -> list[int]:
    lines = [
        line for file in sorted(folder.glob("*.txt")) for line in file.read_text().splitlines()
    ]
    return [int(line.split(",")[3]) for line in lines]


def in_database(database: Database) -> list[int]:
    rows = UploadQueue(database).pending("test", Kind.READINGS, 100_000)
    return [int(row.item.value) for row in rows if isinstance(row.item, Reading)]


def test_both_places_get_every_reading_in_order(
    recorder: Recorder, database: Database, tmp_path: Path
) -> None:
    recorder.record([reading(1), reading(2)])
    recorder.record([reading(3)])
    assert in_text(tmp_path) == in_database(database) == [1, 2, 3]


def test_readings_of_two_days_go_to_two_files(recorder: Recorder, tmp_path: Path) -> None:
    recorder.record([reading(1), reading(2, NEXT_DAY_MS), reading(3)])
    assert (tmp_path / "20261123-home.txt").read_text().splitlines() == [
        "2026/11/23 12:00:01,BR,E7,1,x",
        "2026/11/23 12:00:03,BR,E7,3,x",
    ]
    assert (tmp_path / "20261124-home.txt").read_text() == "2026/11/24 00:00:02,BR,E7,2,x\n"


def test_text_waits_in_order_while_its_disk_fails(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.text_fails = True
    recorder.record([reading(1)])
    recorder.record([reading(2), reading(3)])
    assert (in_text(tmp_path), in_database(database)) == ([], [1, 2, 3])
    disk.text_fails = False
    recorder.record([reading(4)])
    assert in_text(tmp_path) == in_database(database) == [1, 2, 3, 4]


def test_the_database_waits_in_order_while_it_fails(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.database_fails = True
    recorder.record([reading(1)])
    recorder.record([reading(2), reading(3)])
    assert (in_text(tmp_path), in_database(database)) == ([1, 2, 3], [])
    disk.database_fails = False
    recorder.record([reading(4)])
    assert in_text(tmp_path) == in_database(database) == [1, 2, 3, 4]


def test_what_waits_is_written_by_a_sync_without_any_new_reading(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.text_fails = disk.database_fails = True
    recorder.record([reading(1)])
    disk.text_fails = disk.database_fails = False
    recorder.sync()
    assert in_text(tmp_path) == in_database(database) == [1]


def test_a_failure_between_two_files_writes_nothing_twice(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    append = DailyFile.append

    def only_today(file: DailyFile, day: date, lines: Sequence[str]) -> None:
        if day != date(2026, 11, 23):
            raise StoreError("the other disk is full")
        append(file, day, lines)

    with monkeypatch.context() as patch:
        patch.setattr(DailyFile, "append", only_today)
        recorder.record([reading(1), reading(2), reading(3, NEXT_DAY_MS), reading(4)])
    recorder.record([reading(5)])
    assert in_text(tmp_path) == [1, 2, 4, 5, 3]


def test_beyond_the_bound_the_oldest_are_dropped_and_counted(
    recorder: Recorder, disk: Disk, tmp_path: Path
) -> None:
    disk.text_fails = True
    for number in range(15):
        recorder.record([reading(number)])
    assert (recorder.status().text.waiting, recorder.status().text.dropped) == (10, 5)
    disk.text_fails = False
    recorder.sync()
    assert in_text(tmp_path) == list(range(5, 15))


def test_a_batch_larger_than_the_bound_is_no_loss_while_the_disk_works(
    recorder: Recorder, database: Database, tmp_path: Path
) -> None:
    recorder.record([reading(number) for number in range(2500)])
    assert in_text(tmp_path) == in_database(database) == list(range(2500))


def test_one_error_is_told_for_a_fault_and_one_line_for_its_end(
    recorder: Recorder, disk: Disk
) -> None:
    with capture_logs() as logs:
        disk.text_fails = True
        for number in range(13):
            recorder.record([reading(number)])
        disk.text_fails = False
        recorder.record([reading(13)])
    assert logs == [
        {
            "event": "recording_failing",
            "log_level": "error",
            "to": "text",
            "reason": "home.txt: No space left on device",
        },
        {
            "event": "recording_spool_full",
            "log_level": "warning",
            "to": "text",
            "bound": 10,
        },
        {"event": "recording_resumed", "log_level": "info", "to": "text", "dropped": 3},
    ]


def test_a_sync_that_keeps_failing_is_told_once_although_writing_works(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, text: DailyFile, database: Database
) -> None:
    def fail() -> None:
        raise StoreError("home.txt: Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(text, "sync", fail)
        failing = Recorder(database, text)
        with capture_logs() as logs:
            for number in range(3):
                failing.record([reading(number)])
                failing.sync()
    assert [entry["event"] for entry in logs] == ["recording_failing"]


def test_status_counts_both_places(recorder: Recorder, disk: Disk) -> None:
    recorder.record([reading(1), reading(2)])
    disk.database_fails = True
    recorder.record([reading(3)])
    status = recorder.status()
    assert (status.text.written, status.text.waiting, status.text.fault) == (3, 0, None)
    assert (status.database.written, status.database.waiting) == (2, 1)
    assert status.database.fault == "kei.db: disk is full"


def test_a_fault_leaves_the_status_when_it_is_over(recorder: Recorder, disk: Disk) -> None:
    disk.database_fails = True
    recorder.record([reading(1)])
    disk.database_fails = False
    recorder.record([reading(2)])
    assert recorder.status().database.fault is None


def test_a_dated_value_is_recorded_once(
    recorder: Recorder, database: Database, tmp_path: Path
) -> None:
    recorder.record_once([reading(1), reading(1)])
    recorder.record_once([reading(1), reading(2)])
    assert in_text(tmp_path) == in_database(database) == [1, 2]


def test_a_dated_value_is_recorded_once_over_a_restart(
    recorder: Recorder, database: Database, text: DailyFile, tmp_path: Path
) -> None:
    recorder.record_once([reading(1)])
    recorder.close()
    Recorder(database, text).record_once([reading(1)])
    assert in_text(tmp_path) == in_database(database) == [1]


def test_a_dated_value_that_waits_is_not_taken_again(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.database_fails = True
    recorder.record_once([reading(1)])
    recorder.record_once([reading(1)])
    disk.database_fails = False
    recorder.sync()
    assert in_text(tmp_path) == in_database(database) == [1]


def test_closing_makes_a_last_attempt(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.text_fails = True
    recorder.record([reading(1)])
    disk.text_fails = False
    recorder.close()
    assert in_text(tmp_path) == in_database(database) == [1]


def test_closing_tells_what_is_lost(recorder: Recorder, disk: Disk) -> None:
    disk.text_fails = True
    recorder.record([reading(1), reading(2)])
    with capture_logs() as logs:
        recorder.close()
    [entry] = [entry for entry in logs if entry["event"] == "readings_lost"]
    assert (entry["to"], entry["count"]) == ("text", 2)


def test_threads_agree_on_one_order(recorder: Recorder, database: Database, tmp_path: Path) -> None:
    def record(first: int) -> None:
        for number in range(first, first + 50):
            recorder.record([reading(number)])

    threads = [threading.Thread(target=record, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert in_text(tmp_path) == in_database(database)
    assert len(in_database(database)) == 200
