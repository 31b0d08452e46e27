"""Looking into a database from outside: right, quick, and without a trace."""

import os
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import FakeClock
from stored import add_readings, add_summaries, daily, recorder_of

from kei.core.errors import StoreError
from kei.core.reading import Reading, Summary
from kei.settings.upload import What
from kei.store import read_only
from kei.store.database import Database
from kei.store.queue import UploadQueue, Waiting
from kei.store.read_only import Overview, read_overview

T0 = 1_790_000_000_000
NONE_WAITING = Waiting(0, None, 0)
READINGS, SUMMARIES = ("server", What.READINGS), ("server", What.SUMMARY)


def e7(time_ms: int, value: str = "512") -> Reading:
    return Reading(time_ms, "BR", "E7", Decimal(value), "x")


def summary(start_ms: int) -> Summary:
    one = Decimal(1)
    return Summary(start_ms, "BR", "E7", one, one, one, 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kei.db"


def last(path: Path) -> tuple[Reading, ...]:
    return read_overview(path, daily(path.parent), [], FakeClock()).last


def test_a_file_that_does_not_exist_yet_has_nothing_and_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "kei.db"
    assert read_overview(missing, daily(missing.parent), [READINGS], FakeClock()) == Overview(
        (), (NONE_WAITING,)
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_tables_has_nothing(path: Path) -> None:
    path.touch()
    assert read_overview(path, daily(path.parent), [READINGS], FakeClock()) == Overview(
        (), (NONE_WAITING,)
    )


def test_the_newest_reading_of_each_series_is_found(database: Database, path: Path) -> None:
    other = Reading(T0, "A1", "T1", Decimal("21.53"), "7")
    add_readings(database, [e7(T0 + 2), e7(T0 + 3, "-4"), other, e7(T0 + 1)])
    assert last(path) == (other, e7(T0 + 1))


def test_of_two_readings_of_the_same_time_the_later_one_counts(
    database: Database, path: Path
) -> None:
    add_readings(database, [e7(T0, "1"), e7(T0, "2")])
    assert last(path) == (e7(T0, "2"),)


@pytest.mark.parametrize("values", [("1", "1.50"), ("1.50", "1")])
def test_a_series_that_changes_its_decimals_is_one_series(
    database: Database, path: Path, values: tuple[str, str]
) -> None:
    add_readings(database, [e7(T0, values[0]), e7(T0 + 1, values[1])])
    (found,) = last(path)
    assert str(found.value) == values[1]


def test_last_values_are_found_without_looking_through_all(database: Database, path: Path) -> None:
    add_readings(database, [e7(T0)])
    with sqlite3.connect(path) as connection:
        steps = connection.execute(f"EXPLAIN QUERY PLAN {read_only._LAST}").fetchall()
    connection.close()
    assert "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)" in [step[3] for step in steps]


def test_a_reading_that_only_the_text_has_is_found(database: Database, path: Path) -> None:
    recorder = recorder_of(database, daily(path.parent))
    recorder.record([e7(T0)])
    recorder.record([e7(T0 + 1000, "77")])
    assert count_rows(path) == 0
    assert last(path) == (e7(T0 + 1000, "77"),)
    recorder.close()
    assert last(path) == (e7(T0 + 1000, "77"),)


def count_rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM readings").fetchone()
    connection.close()
    return int(count)


def test_what_waits_is_counted_for_each_target(database: Database, path: Path) -> None:
    queue = UploadQueue(database)
    add_readings(database, [e7(T0)])
    for name, kind in (READINGS, SUMMARIES, ("other", What.READINGS)):
        queue.register(name, kind, None)
    add_readings(database, [e7(T0 + n) for n in (5, 4, 3)])
    add_summaries(database, [summary(T0)])
    queue.advance("other", What.READINGS, 2)
    found = read_overview(
        path, daily(path.parent), [READINGS, SUMMARIES, ("other", What.READINGS)], FakeClock()
    )
    assert found.waiting == (Waiting(3, T0 + 5, 0), Waiting(1, T0, 0), Waiting(2, T0 + 4, 0))


def test_what_was_set_aside_is_counted(database: Database, path: Path) -> None:
    queue = UploadQueue(database)
    queue.register(*READINGS, None)
    queue.register("other", What.READINGS, None)
    add_readings(database, [e7(T0), e7(T0 + 1)])
    queue.set_aside(*READINGS, queue.pending(*READINGS, 1), "status 400")
    found = read_overview(
        path, daily(path.parent), [READINGS, ("other", What.READINGS)], FakeClock()
    )
    assert found.waiting == (Waiting(1, T0 + 1, 1), Waiting(2, T0, 0))


def test_nothing_waits_for_a_target_that_no_kei_has_known(database: Database, path: Path) -> None:
    add_readings(database, [e7(T0)])
    assert read_overview(path, daily(path.parent), [READINGS], FakeClock()).waiting == (
        NONE_WAITING,
    )


def test_looking_leaves_no_files_behind(database: Database, path: Path) -> None:
    add_readings(database, [e7(T0)])
    database.close()
    before = {file: file.stat().st_mtime_ns for file in path.parent.iterdir()}
    assert last(path) == (e7(T0),)
    assert {file: file.stat().st_mtime_ns for file in path.parent.iterdir()} == before


def test_readings_that_only_the_log_has_are_found(database: Database, path: Path) -> None:
    add_readings(database, [e7(T0)])
    crashed = path.parent / "crashed"
    crashed.mkdir()
    for name in ("kei.db", "kei.db-wal"):
        (crashed / name).write_bytes((path.parent / name).read_bytes())
    assert last(crashed / "kei.db") == (e7(T0),)


def test_a_writer_in_the_middle_of_a_change_is_not_waited_for(
    database: Database, path: Path
) -> None:
    add_readings(database, [e7(T0)])
    with database.transaction() as connection:
        connection.execute("DELETE FROM readings")
        assert last(path) == (e7(T0),)


def test_a_writer_does_not_wait_for_whoever_looks(database: Database, path: Path) -> None:
    add_readings(database, [e7(T0)])
    database.sync()
    reader = read_only.connect_read_only(path)
    rows = reader.execute("SELECT * FROM readings")
    add_readings(database, [e7(T0 + 1)])
    database.sync()
    assert len(rows.fetchall()) == 1
    reader.close()


def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "100% ?mode=rw#[家]" / "kei.db"
    database = Database.open(path, FakeClock())
    add_readings(database, [e7(T0)])
    assert last(path) == (e7(T0),)
    database.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, os.urandom(8192)])
def test_a_damaged_file_is_a_store_error_that_names_it(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"kei\.db: "):
        last(path)


def test_a_folder_in_place_of_the_file_is_a_store_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=r"kei\.db: "):
        last(path)


def test_a_look_that_takes_too_long_is_given_up(database: Database, path: Path) -> None:
    class Racing(FakeClock):
        def monotonic(self) -> float:
            self.advance(read_only.LIMIT_S + 1)
            return super().monotonic()

    queue = UploadQueue(database)
    queue.register(*READINGS, None)
    add_readings(database, [e7(T0 + n) for n in range(5000)])
    queue.set_aside(*READINGS, queue.pending(*READINGS, 5000), "refused")
    with pytest.raises(StoreError, match="interrupted"):
        read_overview(path, daily(path.parent), [READINGS], Racing())
