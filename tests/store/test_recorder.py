"""The recorder: both places get everything once and in order, whatever fails meanwhile."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes import TOKYO, FakeClock, FastClock
from programs import PATIENCE_S, wait_until
from stored import RIGHT, ConstantMonitor, recorder_of
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError, TextError
from kei.core.reading import Reading
from kei.settings.upload import What
from kei.store import pending
from kei.store.committer import SYNC_SHARE
from kei.store.database import CHECK_EVERY_S, Database
from kei.store.lines import reading_line
from kei.store.queue import UploadQueue
from kei.store.read_only import read_overview
from kei.store.recorder import Recorder
from kei.store.text import DailyFile
from kei.timekeeping.gate import TimeGate
from kei.timekeeping.monitor import ClockStatus

NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=TOKYO))
NEXT_DAY_MS = epoch_ms(datetime(2026, 11, 24, tzinfo=TOKYO))


class Disk:
    """Makes the text files, the database or both fail while it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.text_fails = False
        self.database_fails = False
        append, access = DailyFile.append, Database.access

        def failing_append(file: DailyFile, day: date, lines: Sequence[str]) -> tuple[int, int]:
            if self.text_fails:
                raise TextError("home.txt: No space left on device")
            return append(file, day, lines)

        def failing_access(
            database: Database,
        ) -> contextlib.AbstractContextManager[sqlite3.Connection]:
            if self.database_fails:
                raise StoreError("kei.db: disk is full")
            return access(database)

        monkeypatch.setattr(DailyFile, "append", failing_append)
        monkeypatch.setattr(Database, "access", failing_access)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def recorder(database: Database, text: DailyFile, clock: FakeClock) -> Iterator[Recorder]:
    recorder = recorder_of(database, text, clock=clock, bound=10)
    yield recorder
    recorder.close()


def reading(number: int, at: int = NOON_MS) -> Reading:
    return Reading(at + number * 1000, "BR", "E7", Decimal(number), "x")


def failing_sync() -> None:
    raise TextError("home.txt: Input/output error")


def in_text(folder: Path) -> list[int]:
    lines = [
        line for file in sorted(folder.glob("*.txt")) for line in file.read_text().splitlines()
    ]
    return [int(line.split(",")[3]) for line in lines]


def in_pending(database: Database) -> list[int]:
    with database.access() as connection:
        return [int(each.value) for each in pending.readings(connection)]


def in_database(database: Database) -> list[int]:
    rows = UploadQueue(database).pending("test", What.READINGS, 100_000)
    return [int(row.item.value) for row in rows if isinstance(row.item, Reading)]


def test_a_line_is_there_at_once_and_its_row_when_it_is_asked_for(
    recorder: Recorder, database: Database, tmp_path: Path
) -> None:
    recorder.record([reading(1)])
    recorder.record([reading(2), reading(3)])
    assert (in_text(tmp_path), in_database(database)) == ([1, 2, 3], [])
    recorder.commit()
    assert in_database(database) == [1, 2, 3]


def test_rows_are_committed_every_ten_minutes(
    recorder: Recorder, database: Database, clock: FakeClock
) -> None:
    recorder.record([reading(1)])
    recorder.record([reading(2)])
    clock.advance(599)
    recorder.tick()
    assert in_database(database) == []
    clock.advance(1)
    recorder.tick()
    assert in_database(database) == [1, 2]


def test_many_rows_are_committed_before_that(recorder: Recorder, database: Database) -> None:
    recorder.record([reading(number) for number in range(5000)])
    assert in_database(database) == list(range(5000))


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


def test_a_reading_that_no_line_can_be_made_of_is_set_aside_and_the_next_one_goes_on(
    recorder: Recorder, database: Database, tmp_path: Path
) -> None:
    bad = [
        Reading(-62_135_596_800_000, "BR", "EA", Decimal(1), "x"),  # of year 1
        Reading(10**18, "BR", "EA", Decimal(1), "x"),
        Reading(-(10**40), "BR", "EA", Decimal(1), "x"),
        Reading(NOON_MS - 5000, "BR", "E7", Decimal("NaN"), "x"),
        Reading(NOON_MS - 5000, "BR", "E7", Decimal("1e60"), "x"),
        Reading(NOON_MS - 5000, "B,R", "E7", Decimal(1), "x"),
        Reading(NOON_MS - 5000, "BR", "E7", Decimal(1), "\ud800"),
    ]
    with capture_logs() as logs:
        for number, each in enumerate(bad):
            recorder.record([each, reading(number)])
            recorder.record_once([each])
        recorder.commit()
    assert in_text(tmp_path) == in_database(database) == list(range(len(bad)))
    assert recorder.status().set_aside == 2 * len(bad)
    assert [e["event"] for e in logs if e["log_level"] == "error"] == ["reading_set_aside"]
    recorder.close()


def test_a_reading_that_waits_and_cannot_be_written_is_set_aside_as_well(
    recorder: Recorder, database: Database, disk: Disk, tmp_path: Path
) -> None:
    disk.text_fails = True
    recorder.record([reading(1), Reading(10**17, "BR", "EA", Decimal(1), "x"), reading(2)])
    recorder.commit()
    disk.text_fails = False
    recorder.commit()
    assert in_text(tmp_path) == in_database(database) == [1, 2]
    assert in_pending(database) == []
    assert recorder.status().set_aside == 1
    assert recorder.status().pending == 0


def test_an_error_of_ours_ends_nothing(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(DailyFile, "append", fail)
        recorder.record([reading(1)])
        recorder.record([reading(2)])
    recorder.record([reading(3)])
    assert in_text(tmp_path) == [1, 2, 3]
    assert [e["event"] for e in logs if e["log_level"] == "error"] == ["recorder_failed"]


def test_a_zero_that_was_rounded_to_has_no_sign(recorder: Recorder, tmp_path: Path) -> None:
    recorder.record([Reading(NOON_MS, "A1", "T1", Decimal("-0.00001"), "x")])
    assert (tmp_path / "20261123-home.txt").read_text() == "2026/11/23 12:00:00,A1,T1,0.0000,x\n"


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


def test_what_was_written_is_brought_to_the_disk_within_the_time(
    database: Database, monkeypatch: pytest.MonkeyPatch, text: DailyFile, clock: FakeClock
) -> None:
    recorder = recorder_of(database, text, clock=clock)
    synced: list[float] = []
    recorder.record([reading(0)])
    monkeypatch.setattr(text, "sync", lambda: synced.append(clock.monotonic()))
    begun = clock.monotonic()
    for _ in range(120):
        recorder.record([reading(1)])
        clock.advance(1)
        recorder.tick()
    assert [round(at - begun) for at in synced] == [36, 72, 108]


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


def test_rows_that_are_not_due_yet_do_not_wait_for_the_disk(recorder: Recorder) -> None:
    recorder.record([reading(1)])
    assert recorder.status().database.waiting == 0


def test_a_fault_leaves_the_status_when_it_is_over(recorder: Recorder, disk: Disk) -> None:
    disk.database_fails = True
    recorder.record([reading(1)])
    with pytest.raises(StoreError):
        recorder.commit()
    disk.database_fails = False
    recorder.commit()
    assert recorder.status().database.fault is None


def test_a_dated_value_is_recorded_once(
    recorder: Recorder, database: Database, tmp_path: Path
) -> None:
    recorder.record_once([reading(1), reading(1)])
    recorder.record_once([reading(1), reading(2)])
    recorder.commit()
    recorder.record_once([reading(2), reading(1)])
    recorder.commit()
    assert in_text(tmp_path) == in_database(database) == [1, 2]


def test_a_dated_value_is_recorded_once_over_a_restart(
    recorder: Recorder, database: Database, text: DailyFile, tmp_path: Path
) -> None:
    recorder.record_once([reading(1)])
    recorder.close()
    recorder_of(database, text).record_once([reading(1)])
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


@pytest.fixture
def today(database: Database, text: DailyFile) -> Iterator[Recorder]:
    """A recorder on the day of the readings."""
    recorder = recorder_of(database, text, clock=FakeClock(NOON_MS, TOKYO))
    yield recorder
    recorder.close()


def look_again(recorder: Recorder) -> None:
    clock = recorder._clock
    assert isinstance(clock, FakeClock)
    clock.advance(5)
    recorder.tick()


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("how", ["removed", "moved"])
def test_a_file_of_today_that_is_gone_is_written_anew(
    today: Recorder, database: Database, tmp_path: Path, how: str, *, committed: bool
) -> None:
    today.record([reading(1), reading(2)])
    if committed:
        today.commit()
    path = tmp_path / "20261123-home.txt"
    path.unlink() if how == "removed" else path.rename(tmp_path / "elsewhere")
    with capture_logs() as logs:
        look_again(today)
        look_again(today)
        today.record([reading(3)])
    today.commit()
    assert in_text(tmp_path) == in_database(database) == [1, 2, 3]
    assert [e["event"] for e in logs if e["log_level"] == "warning"] == ["text_file_gone"]


def test_a_file_that_an_editor_replaces_lacks_nothing_and_its_new_lines_are_taken(
    today: Recorder, database: Database, tmp_path: Path
) -> None:
    today.record([reading(1), reading(2)])
    path, new = tmp_path / "20261123-home.txt", tmp_path / "new"
    new.write_text(path.read_text() + "2026/11/23 12:00:09,BR,E7,9,x\n")
    today.record([reading(3)])
    new.replace(path)
    look_again(today)
    today.record([reading(4)])
    today.commit()
    assert sorted(in_text(tmp_path)) == sorted(in_database(database)) == [1, 2, 3, 4, 9]


def test_an_older_file_that_is_put_away_stays_away(
    today: Recorder, database: Database, tmp_path: Path
) -> None:
    yesterday = NOON_MS - 86_400_000
    today.record([reading(1, yesterday)])
    (tmp_path / "20261122-home.txt").unlink()
    look_again(today)
    assert in_text(tmp_path) == []
    today.record([reading(2, yesterday)])
    today.commit()
    assert in_text(tmp_path) == [2]
    assert in_database(database) == [1, 2]


@pytest.mark.parametrize("change", ["append", "cut"])
def test_what_somebody_else_leaves_incomplete_does_not_glue_to_the_next_line(
    recorder: Recorder, database: Database, tmp_path: Path, change: str
) -> None:
    recorder.record([reading(1), reading(2)])
    path = tmp_path / "20261123-home.txt"
    with path.open("r+b") as file:
        if change == "cut":
            file.truncate(path.stat().st_size - 5)
        else:
            file.seek(0, 2)
            file.write(b"2026/11/23 12:0")
    recorder.record([reading(3)])
    assert in_text(tmp_path) == [1, 3] if change == "cut" else [1, 2, 3]
    recorder._committer._file.close()
    again = recorder_of(database, recorder._committer._file)
    again.commit()
    assert in_database(database) == [1, 2, 3]


def test_the_thread_commits_and_ends_when_it_is_told_to(
    database: Database, text: DailyFile
) -> None:
    clock = FastClock(1000, TOKYO)
    recorder = recorder_of(database, text, clock=clock)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    recorder.record([reading(1)])
    wait_until(lambda: in_database(database) == [1], 10, "the commit")
    recorder.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


class Sleeper(FakeClock):
    """A clock by which nobody wakes by himself; it knows for how long each wanted to sleep."""

    def __init__(self) -> None:
        super().__init__(NOON_MS, TOKYO)
        self.naps: list[float] = []

    def wait_s(self, seconds: float) -> float:
        self.naps.append(seconds)
        return 100 * PATIENCE_S


def test_a_reading_wakes_the_thread_for_what_is_due_before_it_looks(
    database: Database, text: DailyFile
) -> None:
    clock = Sleeper()
    gate = TimeGate(clock, RIGHT)
    recorder = Recorder(database, text, gate, clock=clock, boot="a", sync_s=1)
    recorder.start()
    recorder.sync()
    thread = threading.Thread(target=recorder.run, daemon=True)
    thread.start()
    wait_until(lambda: len(clock.naps) == 1, PATIENCE_S / 2, "a look")
    recorder.record([reading(1)])
    wait_until(lambda: len(clock.naps) == 2, PATIENCE_S / 2, "the wait for the sync")
    recorder.stop()
    thread.join(PATIENCE_S)
    assert clock.naps == pytest.approx([CHECK_EVERY_S, SYNC_SHARE])


def test_threads_agree_on_one_order(recorder: Recorder, database: Database, tmp_path: Path) -> None:
    def record(first: int) -> None:
        for number in range(first, first + 50):
            recorder.record([reading(number)])

    threads = [threading.Thread(target=record, args=(n * 100,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    recorder.commit()
    assert in_text(tmp_path) == in_database(database)
    assert len(in_database(database)) == 200


@pytest.mark.parametrize("fails", ["nothing", "the database", "the text"])
def test_a_late_line_is_found_in_its_older_file_whatever_a_power_cut_leaves_of_the_database(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk, fails: str
) -> None:
    on_disk: dict[str, bytes] = {}

    def sync(_: Database) -> None:
        if disk.database_fails:
            raise StoreError("kei.db: Input/output error")
        on_disk.update({each.name: each.read_bytes() for each in tmp_path.glob("kei.db*")})

    monkeypatch.setattr(Database, "sync", sync)
    text = DailyFile(tmp_path, "home", "", TOKYO)
    recorder = recorder_of(database, text, clock=FakeClock(NOON_MS, TOKYO))
    recorder.record([reading(1)])
    recorder.sync()
    disk.database_fails = fails == "the database"
    with monkeypatch.context() as patch:
        if fails == "the text":
            patch.setattr(text, "sync", failing_sync)
        recorder.record_once([reading(2, NOON_MS - 5 * 86_400_000)])
    disk.database_fails = False
    if fails != "nothing":
        assert in_text(tmp_path) == [1]  # it waits until it would be found
        recorder.commit()
    assert in_text(tmp_path) == [2, 1]
    left = dict(on_disk)
    database.close()
    for name, content in left.items():
        (tmp_path / name).write_bytes(content)
    with contextlib.closing(Database.open(tmp_path / "kei.db", FakeClock(NOON_MS, TOKYO))) as after:
        recorder_of(after, text).close()
        assert sorted(in_database(after)) == [1, 2]


def test_what_was_to_be_said_of_an_older_file_counts_only_if_the_database_has_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, late_ms = DailyFile(tmp_path, "home", "", TOKYO), NOON_MS - 5 * 86_400_000
    clock = FakeClock(NOON_MS, TOKYO)
    before = recorder_of(database, text, clock=clock)
    before.record([reading(1)])
    before.close()
    wrong = ConstantMonitor(ClockStatus(synchronised=False, likely_wrong=True))
    recorder = recorder_of(database, text, clock=clock, monitor=wrong, wait_s=60)
    recorder.record_once([reading(2, late_ms)])
    recorder.commit()
    clock.advance(60)

    def fail(*_: object) -> None:
        raise StoreError("kei.db: disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", fail)
        recorder.tick()
        recorder.record_once([reading(3, late_ms)])
    assert in_text(tmp_path) == [1]
    recorder.commit()
    assert sorted(in_text(tmp_path)) == sorted(in_database(database)) == [1, 2, 3]


def test_at_the_end_a_late_line_is_written_though_the_database_was_never_there(
    database: Database, disk: Disk, tmp_path: Path, text: DailyFile
) -> None:
    disk.database_fails = True
    (tmp_path / "20261122-home.txt").touch()
    recorder = recorder_of(database, text, clock=FakeClock(NOON_MS, TOKYO))
    recorder.record([reading(1)])
    recorder.record([reading(2, NOON_MS - 86_400_000)])
    assert in_text(tmp_path) == [1]
    recorder.close()
    assert in_text(tmp_path) == [2, 1]


def recovered(*numbers: int, at: int = NOON_MS - 86_400_000) -> list[Reading]:
    return [
        Reading(at + number * 1_800_000, "BR", "EA", Decimal(number), "x", recovered=True)
        for number in numbers
    ]


def marks(database: Database) -> list[tuple[int, bool]]:
    rows = UploadQueue(database).pending("test", What.READINGS, 100)
    return [
        (int(row.item.value), row.item.recovered) for row in rows if isinstance(row.item, Reading)
    ]


def test_what_was_made_good_later_is_recorded_once_and_has_its_mark(
    recorder: Recorder, database: Database, tmp_path: Path
) -> None:
    recorder.record([reading(9)])
    assert recorder.recover(recovered(1, 2)) == 2
    assert recorder.recover(recovered(1, 2, 3)) == 1
    recorder.record_once([replace(each, recovered=False) for each in recovered(3, 4)])
    recorder.commit()
    assert in_text(tmp_path) == [1, 2, 3, 4, 9]
    assert sorted(marks(database)) == [(1, True), (2, True), (3, True), (4, False), (9, False)]


def test_the_mark_outlives_a_kill_between_line_and_row(
    recorder: Recorder,
    database: Database,
    text: DailyFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    append = DailyFile.append

    def killed(file: DailyFile, day: date, lines: Sequence[str]) -> tuple[int, int]:
        append(file, day, lines)
        raise Killed

    monkeypatch.setattr(DailyFile, "append", killed)
    with pytest.raises(Killed):
        recorder.recover(recovered(1, 2))
    monkeypatch.setattr(DailyFile, "append", append)
    recorder_of(database, text).close()
    assert in_text(tmp_path) == [1, 2]
    assert marks(database) == [(1, True), (2, True)]


@pytest.mark.parametrize("suffix", [".gz", ".1.gz", ".1", "-20261230.xz"])
def test_a_file_that_was_put_away_gets_no_line_and_that_is_told(
    recorder: Recorder, database: Database, text: DailyFile, tmp_path: Path, suffix: str
) -> None:
    path = text.path(text.day_of(recovered(1)[0].time_ms))
    path.with_name(path.name + suffix).write_bytes(b"packed")
    older = text.path(date(2026, 11, 1))
    older.with_name(older.name + suffix).write_bytes(b"packed")
    of_older = recovered(4, at=epoch_ms(datetime(2026, 11, 1, tzinfo=TOKYO)))
    with capture_logs() as logs:
        assert recorder.recover(recovered(1, 2)) == 2
        assert recorder.recover(recovered(1, 3)) == 1
        assert recorder.recover(of_older) == 1
    (told,) = logs
    assert told["event"] == "text_file_put_away"
    newest = text.day_of(recovered(1)[0].time_ms)
    assert (told["days"], told["oldest"], told["newest"]) == (2, "2026-11-01", newest.isoformat())
    assert in_text(tmp_path) == []
    assert sorted(marks(database)) == [(1, True), (2, True), (3, True), (4, True)]


def test_what_a_lost_database_had_gets_a_row_and_no_second_line(
    tmp_path: Path, clock: FakeClock, text: DailyFile
) -> None:
    path = text.path(text.day_of(NOON_MS - 9 * 86_400_000))
    of_old = recovered(1, 2, at=NOON_MS - 9 * 86_400_000)
    path.write_text("".join(f"{reading_line(each, TOKYO)}\n" for each in of_old) + "torn")
    for number in range(1, 9):
        text.path(text.day_of(NOON_MS - number * 86_400_000)).touch()
    with contextlib.closing(Database.open(tmp_path / "kei.db", clock)) as database:
        recorder = recorder_of(database, text)
        more = recovered(1, 2, 3, at=NOON_MS - 9 * 86_400_000)
        assert recorder.recover(more) == 3
        recorder.close()
        assert path.read_text().splitlines() == [reading_line(each, TOKYO) for each in more]
        assert sorted(marks(database)) == [(1, True), (2, True), (3, True)]


@pytest.mark.parametrize("at_once", [True, False])
def test_equal_lines_of_the_hour_that_a_zone_has_twice_are_all_there(
    tmp_path: Path, database: Database, clock: FakeClock, *, at_once: bool
) -> None:
    """Nothing was bought meanwhile: 01:00 of summer and of winter time have the same line."""
    london = ZoneInfo("Europe/London")
    first_ms = epoch_ms(datetime(2026, 10, 25, 1, tzinfo=london))
    twice = [
        Reading(first_ms + number * 1_800_000, "BR", "EA", Decimal(1), "x", recovered=True)
        for number in (2, 3, 0, 1)
    ]
    lines = sorted(reading_line(each, london) for each in twice)
    with contextlib.closing(DailyFile(tmp_path, "home", "", london)) as text:
        recorder = recorder_of(database, text)
        if at_once:
            assert recorder.recover(twice) == 4
        else:
            assert [recorder.recover(twice[:end]) for end in (2, 3, 4)] == [2, 1, 1]
        assert recorder.recover(twice) == 0
        recorder.close()
        (path,) = (text.path(day) for day in text.days())
        assert sorted(path.read_text().splitlines()) == lines
        assert len(marks(database)) == 4
        with contextlib.closing(Database.open(tmp_path / "new.db", clock)) as new:
            recorder = recorder_of(new, text, clock=FakeClock(NOON_MS, london))
            recorder.recover(twice)
            recorder.close()
            assert len(marks(new)) == 4
        assert sorted(path.read_text().splitlines()) == lines


def test_nothing_is_made_good_while_a_disk_fails(recorder: Recorder, disk: Disk) -> None:
    disk.text_fails = True
    recorder.record([reading(1)])
    with pytest.raises(StoreError, match="No space left"):
        recorder.recover(recovered(1))


def test_the_newest_value_of_a_series_stays_the_newest_when_older_ones_are_made_good(
    recorder: Recorder, database: Database, text: DailyFile, clock: FakeClock, tmp_path: Path
) -> None:
    recorder.record_once([replace(recovered(7)[0], recovered=False)])
    recorder.recover(recovered(3, 4))
    recorder.recover(recovered(1, 2))
    recorder.recover([replace(recovered(5)[0], value=Decimal("5.5"))])
    recorder.commit()
    (newest,) = read_overview(tmp_path / "kei.db", text, (), clock).last
    assert newest.value == 7
    recorder.recover(recovered(8, 9))
    (newest,) = read_overview(tmp_path / "kei.db", text, (), clock).last
    assert newest.value == 9
