"""A database of the version before: it had rows whose lines were still to come.

`tests/data/database-version-3.sql` was made by that version: five readings with line and row, and
two that waited for the clock, 60 days behind, in rows that had been uploaded already.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from stored import BOOT, ConstantMonitor, daily, recorder_of

from kei.core.errors import StoreError
from kei.settings.upload import What
from kei.store import pending
from kei.store.database import Database
from kei.store.queue import UploadQueue
from kei.store.read_only import Query, readings
from kei.store.reading_table import pruned_until_ms
from kei.timekeeping.gate import TimeGate
from kei.timekeeping.monitor import ClockStatus

DUMP = Path(__file__).parents[1] / "data" / "database-version-3.sql"
TEXT = "".join(f"2026/11/23 12:00:0{n + 1},BR,E7,{n},x\n" for n in range(5))
OFFSET_MS = 1_790_217_800_000  # of the clock that was wrong
DAYS_60_MS = 60 * 86_400_000
TICKS = 1010.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "kei.db")) as connection:
        connection.executescript(DUMP.read_text())
    (tmp_path / "20261123-home.txt").write_text(TEXT)
    return tmp_path


def clock_of(offset_ms: int) -> FakeClock:
    clock = FakeClock(offset_ms + round(TICKS * 1000), TOKYO)
    clock.ticks = TICKS
    return clock


def values(database: Database) -> list[tuple[int, int]]:
    with database.access() as connection:
        rows = connection.execute("SELECT time_ms, value FROM readings ORDER BY id").fetchall()
    return [(time_ms, value // 10_000) for time_ms, value in rows]


def test_what_waited_for_the_clock_waits_on_out_of_sight(folder: Path) -> None:
    clock = clock_of(OFFSET_MS)
    database = Database.open(folder / "kei.db", clock)
    monitor = ConstantMonitor(ClockStatus(synchronised=False, likely_wrong=True))
    gate = TimeGate(clock, monitor, 120.0)
    recorder = recorder_of(database, daily(folder), clock=clock, gate=gate, boot=BOOT)
    assert [value for _, value in values(database)] == [0, 1, 2, 3, 4]
    assert recorder.status().pending == 2
    with database.access() as connection:
        assert [int(each.value) for each in pending.readings(connection)] == [5, 6]
    database.close()


def test_it_gets_its_line_and_is_uploaded_under_the_right_time(folder: Path) -> None:
    clock = clock_of(OFFSET_MS + DAYS_60_MS)
    database = Database.open(folder / "kei.db", clock)
    recorder = recorder_of(database, daily(folder), clock=clock, boot=BOOT)
    recorder.commit()
    lines = (folder / "20261123-home.txt").read_text()
    assert lines == TEXT + "2026/11/23 12:00:06,BR,E7,5,x\n2026/11/23 12:00:07,BR,E7,6,x\n"
    assert [value for _, value in values(database)] == list(range(7))
    assert [time_ms % 1000 for time_ms, _ in values(database)] == [123] * 7
    rows = UploadQueue(database).pending("server", What.READINGS, 10)
    assert [row.id for row in rows] == [6, 7]
    database.close()


def test_a_row_whose_line_had_come_keeps_it(folder: Path) -> None:
    # As after a kill between the line and the next commit.
    with (folder / "20261123-home.txt").open("a") as file:
        file.write("2026/11/23 12:00:09,BR,E7,9,x\n")
    (folder / "20260924-home.txt").write_text("2026/09/24 12:00:06,BR,E7,5,x\n")
    with closing(sqlite3.connect(folder / "kei.db")) as connection, connection:
        connection.execute(
            "UPDATE state SET value = replace(value, '\"2026-11-23\":150',"
            " '\"2026-09-24\":0,\"2026-11-23\":150') WHERE key = 'text'"
        )
    clock = clock_of(OFFSET_MS + DAYS_60_MS)
    database = Database.open(folder / "kei.db", clock)
    recorder_of(database, daily(folder), clock=clock, boot=BOOT).commit()
    text = sorted(
        line for path in folder.glob("*-home.txt") for line in path.read_text().splitlines()
    )
    assert sorted(int(line.split(",")[3]) for line in text) == [0, 1, 2, 3, 4, 5, 6, 9]
    assert sorted(value for _, value in values(database)) == [0, 1, 2, 3, 4, 5, 6, 9]
    database.close()


def test_until_kei_is_started_others_are_told_to_start_it(folder: Path) -> None:
    query = Query(0, 1 << 50)
    with pytest.raises(StoreError, match="of another version of kei; start kei once"):
        list(readings(folder / "kei.db", daily(folder), query))
    Database.open(folder / "kei.db", clock_of(OFFSET_MS)).close()
    assert len(list(readings(folder / "kei.db", daily(folder), query))) == 5


def test_what_came_before_the_first_reading_may_have_been_pruned(folder: Path) -> None:
    with (
        closing(Database.open(folder / "kei.db", clock_of(OFFSET_MS))) as database,
        database.access() as connection,
    ):
        (first,) = connection.execute("SELECT min(span) FROM spans").fetchone()
        assert pruned_until_ms(connection) == first * 600_000
