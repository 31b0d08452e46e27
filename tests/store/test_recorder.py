"""The recorder: both places get everything once and in order."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock, FastClock
from programs import PATIENCE_S, wait_until
from recorder_bench import NEXT_DAY_MS, NOON_MS, Disk, in_database, in_pending, in_text, reading
from stored import RIGHT, recorder_of
from structlog.testing import capture_logs

from kei.core.reading import Reading
from kei.store.committer import SYNC_SHARE
from kei.store.database import CHECK_EVERY_S, Database
from kei.store.recorder import Recorder
from kei.store.text import DailyFile
from kei.timekeeping.gate import TimeGate


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


def test_rows_that_are_not_due_yet_do_not_wait_for_the_disk(recorder: Recorder) -> None:
    recorder.record([reading(1)])
    assert recorder.status().database.waiting == 0


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
