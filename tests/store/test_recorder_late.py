"""The recorder and older daily files: late lines, and readings that are made good later."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from fakes import TOKYO, FakeClock
from recorder_bench import NOON_MS, Disk, failing_sync, in_database, in_text, reading
from stored import ConstantMonitor, recorder_of
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.errors import StoreError
from kei.core.reading import Reading
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.lines import reading_line
from kei.store.queue import UploadQueue
from kei.store.read_only import read_overview
from kei.store.recorder import Recorder
from kei.store.text import DailyFile
from kei.timekeeping.monitor import ClockStatus


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
