"""Text and database hold the same readings once each, whatever failed and whenever kei died."""

import shutil
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import given
from hypothesis import strategies as st
from stored import add_readings, daily, readings_in, recorder_of
from structlog.testing import capture_logs

from kei.core.clock import epoch_ms
from kei.core.reading import Reading
from kei.settings.upload import What
from kei.store.database import Database
from kei.store.lines import reading_line, reading_of_line
from kei.store.queue import UploadQueue
from kei.store.recovery import recover
from kei.store.text import DailyFile

DAY = date(2026, 11, 23)
NAME = "20261123-home.txt"
NOON_MS = epoch_ms(datetime(2026, 11, 23, 12, tzinfo=TOKYO))
HOUR_MS = 3_600_000
HOURS = (-20, 0, 13)  # of readings, from noon: three days


def reading(number: int, hours: int = 0) -> Reading:
    return Reading(NOON_MS + number * 1000 + hours * HOUR_MS, "BR", "E7", Decimal(number), "x")


def lines(folder: Path) -> Counter[str]:
    return Counter(
        line for file in folder.glob("*-home.txt") for line in file.read_text().splitlines()
    )


def rows(database: Database) -> Counter[str]:
    queued = UploadQueue(database).pending("test", What.READINGS, 100_000)
    return Counter(reading_line(r.item, TOKYO) for r in queued if isinstance(r.item, Reading))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON_MS, TOKYO)


@pytest.mark.usefixtures("unmeasured")  # many rows
def test_lines_behind_the_mark_become_rows(
    database: Database, text: DailyFile, folder: Path
) -> None:
    recover(database, text)
    text.append(DAY, [reading_line(reading(n), TOKYO) for n in range(20_000)])
    recover(database, text)
    assert sum(rows(database).values()) == 20_000
    assert rows(database) == lines(folder)


def test_the_second_time_there_is_nothing_to_do(database: Database, text: DailyFile) -> None:
    text.append(DAY, [reading_line(reading(1), TOKYO)])
    recover(database, text)
    text.append(DAY, [reading_line(reading(2), TOKYO)])
    agreed = recover(database, text)
    with capture_logs() as logs:
        assert recover(database, text) == agreed
    assert logs == []


def test_a_new_database_takes_the_readings_of_today_and_yesterday_and_of_the_newest_files(
    tmp_path: Path, text: DailyFile
) -> None:
    database = Database.open(tmp_path / "new.db", FakeClock(NOON_MS, TOKYO))
    for day in (21, 22, 23, 24):
        text.append(date(2026, 11, day), [f"2026/11/{day} 10:00:00,BR,E7,{day},x"])
    recover(database, text)
    assert [line.split(",")[3] for line in rows(database)] == ["22", "23", "24"]
    database.close()


def test_a_database_of_an_older_kei_takes_nothing_that_it_has(
    database: Database, text: DailyFile
) -> None:
    add_readings(database, [reading(1)])
    text.append(DAY, [reading_line(reading(1), TOKYO)])
    recover(database, text)
    assert sum(rows(database).values()) == 1


def test_what_nobody_understands_is_left_in_the_text_and_told_of(
    database: Database, text: DailyFile, folder: Path
) -> None:
    recover(database, text)
    (folder / NAME).write_text("# a note\n2026/11/23 12:00:01,BR,E7,1,x\n2026/13/45 1:2:3,,\n")
    with capture_logs() as logs:
        recover(database, text)
    assert list(rows(database)) == ["2026/11/23 12:00:01,BR,E7,1,x"]
    (told,) = (entry for entry in logs if entry["event"] == "lines_not_understood")
    assert told["count"] == 2


def test_a_file_that_became_shorter_gives_nothing_twice(
    database: Database, text: DailyFile, folder: Path
) -> None:
    text.append(DAY, [reading_line(reading(n), TOKYO) for n in range(3)])
    recover(database, text)
    text.close()
    (folder / NAME).write_text(reading_line(reading(0), TOKYO) + "\n")
    with capture_logs() as logs:
        recover(database, text)
    assert sum(rows(database).values()) == 3
    assert "text_file_shortened" in [entry["event"] for entry in logs]


@given(
    fields=st.tuples(
        st.integers(0, 4_000_000_000_000),
        st.text("ABZ09-_", min_size=1, max_size=8),
        st.decimals(-(10**12), 10**12, places=4),
        st.text("abx019", max_size=4),
    )
)
def test_a_line_gives_its_reading_back(fields: tuple[int, str, Decimal, str]) -> None:
    time_ms, name, value, data_id = fields
    written = Reading(time_ms, name, name, value, data_id)
    line = reading_line(written, TOKYO)
    back = reading_of_line(line, TOKYO)
    assert back.time_ms == time_ms - time_ms % 1000
    assert reading_line(back, TOKYO) == line


def numbered(first: int, last: int) -> list[Reading]:
    """Readings of one second each, so that every line is another one."""
    return [
        Reading(NOON_MS + number * 1000, "BR", "E7", Decimal(number), "x")
        for number in range(first, last + 1)
    ]


def lived(folder: Path, directory: str, readings: list[Reading]) -> None:
    """A kei starts, records, and ends."""
    clock = FakeClock(NOON_MS, TOKYO)
    database = Database.open(folder / "kei.db", clock)
    recorder = recorder_of(database, daily(folder / directory), clock=clock)
    recorder.record(readings)
    recorder.close()
    database.close()


def stored(folder: Path) -> list[Decimal]:
    clock = FakeClock(NOON_MS, TOKYO)
    database = Database.open(folder / "kei.db", clock)
    found = sorted(reading.value for reading in readings_in(database))
    database.close()
    return found


def test_a_folder_that_is_left_and_come_back_to_doubles_nothing(tmp_path: Path) -> None:
    lived(tmp_path, "one", numbered(1, 20))
    lived(tmp_path, "two", numbered(21, 25))
    lived(tmp_path, "one", numbered(26, 30))
    lived(tmp_path, "two", numbered(31, 32))
    assert stored(tmp_path) == list(range(1, 33))
    files = [daily(tmp_path / name) for name in ("one", "two")]
    assert [len(file.lines_from(DAY, 0, 10_000)[0]) for file in files] == [25, 7]


@pytest.mark.parametrize("back", ["moved", "copied"])
def test_a_file_that_is_taken_away_and_put_back_doubles_nothing(back: str, tmp_path: Path) -> None:
    lived(tmp_path, ".", numbered(1, 20))
    path = daily(tmp_path).path(DAY)
    path.rename(tmp_path / "moved.txt")
    lived(tmp_path, ".", numbered(21, 25))
    path.unlink()
    if back == "moved":
        (tmp_path / "moved.txt").rename(path)
    else:
        shutil.copy(tmp_path / "moved.txt", path)
    lived(tmp_path, ".", numbered(26, 28))
    assert stored(tmp_path) == list(range(1, 29))


def test_a_file_of_the_future_is_read_once_though_many_others_were_changed_since(
    tmp_path: Path,
) -> None:
    a_day = 86_400
    lived(tmp_path, ".", numbered(1000 * a_day, 1000 * a_day))
    for day in range(12):
        lived(tmp_path, ".", numbered(day * a_day, day * a_day))
    assert stored(tmp_path) == [day * a_day for day in (*range(12), 1000)]


def test_of_another_file_the_lines_that_are_new_are_taken_over(tmp_path: Path) -> None:
    lived(tmp_path, ".", numbered(1, 5))
    path = daily(tmp_path).path(DAY)
    lines = path.read_text().splitlines(keepends=True)
    more = reading_line(numbered(9, 9)[0], TOKYO) + "\n"
    path.unlink()
    path.write_text("".join([*lines, more, more]))
    lived(tmp_path, ".", [])
    assert stored(tmp_path) == [1, 2, 3, 4, 5, 9, 9]
