"""The database: what goes in comes out, exactly, also for other threads and later versions."""

import sqlite3
import stat
import threading
from contextlib import closing
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from fakes import TOKYO, FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import PATIENCE_S
from stored import add_readings, add_summaries, computed, readings_in

from kei.core.errors import StoreError
from kei.core.reading import Reading, Summary, plain
from kei.settings.upload import What
from kei.store import schema
from kei.store.database import MOVE_LOG_AFTER_S, Database
from kei.store.queue import UploadQueue
from kei.store.reading_table import ReadingTable
from kei.store.summary_table import SummaryTable

T0 = 1_790_000_000_000


def reading(value: str | int, *, at: int = T0, sensor: str = "E7", unit: str = "BR") -> Reading:
    return Reading(at, unit, sensor, Decimal(value), "x")


def test_readings_come_back_in_order_and_exactly(database: Database) -> None:
    readings = [
        reading("512"),
        reading("512.0"),
        reading("-3.25", sensor="T1", unit="A1"),
        reading("12345678901234567890.1234", at=T0 - 5),
    ]
    add_readings(database, readings)
    assert [repr(item) for item in readings_in(database)] == [repr(item) for item in readings]


def test_readings_are_there_after_closing(tmp_path: Path, clock: FakeClock) -> None:
    first = Database.open(tmp_path / "kei.db", clock)
    add_readings(first, [reading(1)])
    first.close()
    second = Database.open(tmp_path / "kei.db", clock)
    add_readings(second, [reading(2)])
    assert readings_in(second) == [reading(1), reading(2)]
    second.close()


def test_has_knows_series_and_time(database: Database) -> None:
    add_readings(database, [reading(1), reading("1.5", sensor="T1", at=T0 + 1)])
    assert ReadingTable(database).has("BR", "E7", T0)
    assert ReadingTable(database).has("BR", "T1", T0 + 1)
    assert not ReadingTable(database).has("BR", "E7", T0 + 1)
    assert not ReadingTable(database).has("BR", "E8R", T0)


def test_state_is_none_until_it_is_set(database: Database) -> None:
    assert database.get_state("unit") is None


def test_state_is_replaced(database: Database) -> None:
    database.set_state("unit", "0.1")
    database.set_state("unit", "0.01")
    assert database.get_state("unit") == "0.01"


def test_a_window_takes_its_start_and_leaves_its_end(database: Database) -> None:
    add_readings(database, [reading(v, at=T0 + at) for v, at in [(9, -1), (1, 0), (2, 9), (7, 10)]])
    [summary] = computed(database, T0, T0 + 10)
    assert summary == Summary(T0, "BR", "E7", Decimal("1.5"), Decimal(1), Decimal(2), 2)


def test_series_are_summed_up_separately_in_the_order_they_began(database: Database) -> None:
    add_readings(database, [reading(1, sensor="Z"), reading(2, sensor="A"), reading(3, sensor="Z")])
    found = computed(database, T0, T0 + 1)
    assert [(s.sensor, s.average) for s in found] == [("Z", Decimal(2)), ("A", Decimal(2))]


def test_minimum_and_maximum_have_the_decimals_of_the_series(database: Database) -> None:
    add_readings(database, [reading("12.0"), reading("13.5")])
    [summary] = computed(database, T0, T0 + 1)
    assert (plain(summary.minimum), plain(summary.maximum)) == ("12.0", "13.5")


def test_a_series_that_changes_its_decimals_stays_one_summary(database: Database) -> None:
    add_readings(database, [reading("12"), reading("13.5")])
    [summary] = computed(database, T0, T0 + 1)
    assert (str(summary.average), str(summary.minimum), summary.count) == ("12.75", "12.0", 2)


def test_an_empty_window_has_no_summaries(database: Database) -> None:
    add_readings(database, [reading(1)])
    assert computed(database, T0 + 1, T0 + 2) == []


@pytest.mark.parametrize(
    ("values", "average"),
    [
        (["0.0001", "0.0002"], "0.0002"),  # 0.00015: half to even, up
        (["0.0002", "0.0003"], "0.0002"),  # 0.00025: half to even, down
        (["-0.0001", "-0.0002"], "-0.0002"),
        (["1", "1", "2"], "1.3333"),
        (["500", "524"], "512"),
        (["0.1"] * 10, "0.1"),
        (["900000000000000", "900000000000001"], "900000000000000.5"),
    ],
)
def test_averages_are_exact_and_rounded_half_to_even(
    values: list[str], average: str, database: Database
) -> None:
    add_readings(database, [reading(value) for value in values])
    [summary] = computed(database, T0, T0 + 1)
    assert plain(summary.average) == average


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(st.integers(-(10**18), 10**18), min_size=1), data=st.data())
def test_summaries_agree_with_exact_fractions(
    values: list[int], data: st.DataObject, database: Database
) -> None:
    at = T0 + data.draw(st.integers(0, 10**9)) * 1000
    while ReadingTable(database).has("A", "S", at):
        at += 1
    numbers = [Decimal(f"{value}E-4") for value in values]
    add_readings(database, [Reading(at, "A", "S", number, "0") for number in numbers])
    [summary] = computed(database, at, at + 1)
    exact = sum(map(Fraction, numbers)) / len(numbers)
    assert Fraction(summary.average) == Fraction(round(exact * 10_000), 10_000)
    assert (summary.minimum, summary.maximum) == (min(numbers), max(numbers))


def test_a_failed_call_leaves_nothing_and_later_ones_work(database: Database) -> None:
    unstorable = Reading(2**70, "BR", "NEW", Decimal(2), "x")
    with pytest.raises(OverflowError):
        add_readings(database, [reading(1, sensor="NEW"), unstorable])
    add_readings(database, [reading(3, sensor="NEW")])
    assert readings_in(database) == [reading(3, sensor="NEW")]


def test_unwritten_summaries_are_told_until_they_are_marked(database: Database) -> None:
    summaries = [
        Summary(T0 + n, "BR", "E0", Decimal("1.25"), Decimal("1.0"), Decimal("1.5"), 2)
        for n in range(3)
    ]
    add_summaries(database, summaries)
    waiting = SummaryTable(database).without_line(10)
    assert [summary for _, summary in waiting] == summaries
    assert [str(summary.minimum) for _, summary in waiting] == ["1.0"] * 3

    SummaryTable(database).lines_written(waiting[1][0], date(2026, 11, 23), 100)
    assert [summary for _, summary in SummaryTable(database).without_line(10)] == summaries[2:]


def test_a_window_knows_whether_it_was_computed(database: Database) -> None:
    add_summaries(database, [Summary(T0, "BR", "E7", Decimal(1), Decimal(1), Decimal(1), 1)])
    assert SummaryTable(database).next_ms(T0) == T0
    assert SummaryTable(database).next_ms(T0 + 1) != T0 + 1


def test_the_next_reading_is_the_earliest_of_all_series(database: Database) -> None:
    add_readings(database, [reading(1, at=T0 + 5), reading(1, at=T0 + 3, sensor="E0")])
    assert ReadingTable(database).next_ms(0) == T0 + 3
    assert ReadingTable(database).next_ms(T0 + 4) == T0 + 5
    assert ReadingTable(database).next_ms(T0 + 6) is None


def test_pruning_goes_in_steps_and_keeps_what_is_younger(database: Database) -> None:
    ten_minutes = 600_000
    add_readings(
        database, [reading(n, at=n // 2 * ten_minutes, sensor=f"S{n % 3}") for n in range(10)]
    )
    before_ms = 3 * ten_minutes + 1
    assert [ReadingTable(database).prune(before_ms, 4) for _ in range(3)] == [4, 2, 0]
    assert [item.value for item in readings_in(database)] == [6, 7, 8, 9]
    assert ReadingTable(database).next_ms(0) == 3 * ten_minutes


def test_ids_never_come_again_after_pruning(database: Database) -> None:
    queue = UploadQueue(database)
    add_readings(database, [reading(n, at=n) for n in range(5)])
    queue.register("server", What.READINGS, None)
    while ReadingTable(database).prune(T0, 100):
        pass
    add_readings(database, [reading(7)])
    assert [row.item for row in queue.pending("server", What.READINGS, 10)] == [reading(7)]


def test_a_database_of_the_first_version_is_brought_up_to_date(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "kei.db"
    first = sqlite3.connect(path, isolation_level=None)
    for statement in schema._MIGRATIONS[0]:
        first.execute(statement)
    first.execute("PRAGMA user_version = 1")
    first.execute("INSERT INTO series (unit, sensor, places) VALUES ('BR', 'E7', 0)")
    rows = [(T0 + minute * 60_000, minute * 10_000) for minute in range(30)]
    first.executemany("INSERT INTO readings VALUES (NULL, 1, ?, ?, 'x')", rows)
    first.executemany(
        "INSERT INTO summaries VALUES (NULL, 1, ?, 1, 1, 1, 9, ?)", [(T0, 1), (T0 + 600_000, 0)]
    )
    first.close()

    database = Database.open(path, clock)
    assert ReadingTable(database).has("BR", "E7", T0 + 60_000)
    assert ReadingTable(database).next_ms(T0 + 1) == T0 + 60_000
    (summary,) = computed(database, T0, T0 + 1_800_000)
    assert summary.count == 30
    assert [item.start_ms for _, item in SummaryTable(database).without_line(9)] == [T0 + 600_000]
    database.close()


def test_threads_may_write_at_the_same_time(database: Database) -> None:
    def write(sensor: str) -> None:
        for n in range(50):
            add_readings(database, [reading(n, at=T0 + n, sensor=sensor)])

    threads = [threading.Thread(target=write, args=(f"S{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [summary.count for summary in computed(database, T0, T0 + 50)] == [50] * 4


def test_another_process_may_read_what_was_just_written(database: Database, tmp_path: Path) -> None:
    reader = sqlite3.connect(f"file:{tmp_path / 'kei.db'}?mode=ro", uri=True)
    add_readings(database, [reading(1)])
    assert reader.execute("SELECT count(*) FROM readings").fetchone() == (1,)
    reader.close()


def test_a_reader_in_the_middle_holds_up_neither_writing_nor_syncing(
    database: Database, tmp_path: Path
) -> None:
    add_readings(database, [reading(1)])
    reader = sqlite3.connect(f"file:{tmp_path / 'kei.db'}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM readings").fetchone()
    add_readings(database, [reading(2)])
    database.sync()
    reader.close()
    assert len(readings_in(database)) == 2


def test_closing_moves_the_log_into_the_file(database: Database, tmp_path: Path) -> None:
    add_readings(database, [reading(1)])
    database.close()
    alone = sqlite3.connect(f"file:{tmp_path / 'kei.db'}?mode=ro&immutable=1", uri=True)
    assert alone.execute("SELECT count(*) FROM readings").fetchone() == (1,)
    alone.close()


def test_the_folder_is_made_and_others_may_read(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "a" / "b" / "kei.db"
    Database.open(path, clock).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_closing_twice_is_no_error(database: Database) -> None:
    database.close()
    database.close()


def test_a_closed_database_says_so(database: Database) -> None:
    database.close()
    with pytest.raises(StoreError, match=r"kei\.db: is closed"):
        add_readings(database, [reading(1)])


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "kei.db").mkdir()
    with pytest.raises(StoreError, match=r"kei\.db: unable to open"):
        Database.open(tmp_path / "kei.db", clock)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"kei\.db: Not a directory"):
        Database.open(tmp_path / "file" / "sub" / "kei.db", clock)


def test_a_database_of_a_newer_kei_is_left_alone(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "kei.db"
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreError, match=r"kei\.db: schema version 99 is newer"):
        Database.open(path, clock)
    assert [entry.name for entry in tmp_path.glob("*damaged*")] == []


def test_a_file_locked_by_another_process_is_a_store_error(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(tmp_path / "kei.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with database.access() as connection:
        connection.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(StoreError, match=r"kei\.db: database is locked"):
        add_readings(database, [reading(1)])
    other.execute("ROLLBACK")
    other.close()
    add_readings(database, [reading(1)])


def keys_without_log(path: Path) -> set[str]:
    """The keys of the state in a copy of the file alone."""
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM state").fetchall()}


def test_a_young_file_has_what_its_log_had_some_hours_ago(tmp_path: Path) -> None:
    clock = FakeClock(zone=TOKYO)
    database = Database.open(tmp_path / "kei.db", clock)
    first = keys_without_log(tmp_path / "kei.db")  # a database of kei from the beginning
    for hour in range(8):
        database.set_state(f"hour {hour}", "x")
        there = keys_without_log(tmp_path / "kei.db") - first
        moved = [0, 2, 2, 4, 4, 4, 4, 8][hour]
        assert there == {f"hour {each}" for each in range(moved)}
        clock.advance(MOVE_LOG_AFTER_S)
    database.close()


def test_what_fails_behind_a_commit_has_nobody_repeat_it(tmp_path: Path, clock: FakeClock) -> None:
    database = Database.open(tmp_path / "kei.db", clock)
    clock.advance(MOVE_LOG_AFTER_S)
    with database.transaction() as connection:
        ReadingTable(database).add(connection, [reading(1)])
        (tmp_path / "kei.db").unlink()  # so that the log cannot be moved into it
    assert [each.value for each in readings_in(database)] == [1]
    database.close()
